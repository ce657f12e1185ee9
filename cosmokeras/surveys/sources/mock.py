"""Mock skies of known truth: the committed one, and one through N-body boxes that is made at first use.

The committed one is a GLASS simulation in the file format of the real maps.

It is a partial-sky HEALPix table (explicit PIXEL column) of one convergence per bin, noise included, in whole steps of
an eighth of the noise; `python -m cosmokeras.simulators.sphere` makes it.
"""

from __future__ import annotations

import hashlib
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.registry import PM_MOCK
from cosmokeras.readers.mock_sky import CITATION, PARAMETERS, STEPS, WORDS, read_mock
from cosmokeras.sky.patches import cut_patches
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


def load(cfg: Config) -> RealSky:
    """Patches of the survey's mock sky, cut as those of real maps; maps of our own where the survey names no mock."""
    if cfg.kind.observed == "survey" and cfg.survey.mock is not None:
        path = Path(os.path.normpath(Path(cfg.root) / "data" / "surveys" / cfg.survey.mock))
        return _particle_mesh(cfg, path) if cfg.real.mock == "pm" else _committed(cfg, path)
    return _simulated(cfg)


def _particle_mesh(cfg: Config, path: Path) -> RealSky:
    """A sky through N-body boxes, at the footprint of the committed one."""
    made = import_module(PM_MOCK)
    mask = _read(cfg, path)[1]
    maps, truth = made.noisy_sky(cfg, mask)
    provenance = {
        "statement": made.WORDS,
        "made_by": f"{PM_MOCK}, seed {made.SEED}",
        "steps": [
            f"HEALPix nside {made.nside_of(mask)}, averages over pixels; footprint of the file",
            "shape noise of the survey",
        ],
    }
    return _cut(cfg, path, maps, mask, provenance, truth)


def _simulated(cfg: Config, number: int = 16) -> RealSky:
    """Maps of one cosmology drawn from the prior, by the simulator that also makes the training maps.

    Of maps in files they are those of one simulation of the test split.
    """
    from cosmokeras.params.prior import sample_prior
    from cosmokeras.simulators import SPLITS, realisations, simulator_of

    module, split = simulator_of(cfg), SPLITS["mock"]
    which, words = None, "A SIMULATION by the same code as the training maps, with independent random numbers"
    if cfg.from_files:
        words = "A SIMULATION of the test split, in the user's files: the network was not trained on it"
        maps, theta, which = module.prepare(cfg).of_one_simulation(number)
        number = len(maps)
    else:
        theta = sample_prior(cfg, 1, seed=split)[0]
        maps = module.maps(cfg, module.prepare(cfg), theta, realisations(cfg.data.seed, split, 0), number)
    coverage = np.ones(maps.shape[:3], np.float32)
    if cfg.kind.observed == "survey":
        from cosmokeras.observation.observe import survey_maps
        from cosmokeras.observation.ops.forward import Forward

        seed = int(np.random.SeedSequence([cfg.data.seed, split]).generate_state(1)[0])
        coverage, maps = survey_maps(Forward(cfg), maps, seed, which)
    return RealSky(
        name="mock",
        observed=False,
        maps=maps,
        coverage=coverage,
        ra=np.full(number, np.nan),
        dec=np.full(number, np.nan),
        provenance={
            "kind": "simulated",
            "statement": words,
            "made_by": module.__name__,
        },
        truth=dict(zip(cfg.parameter_names, theta.tolist(), strict=True)),
    )


def _read(cfg: Config, path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Maps, mask and header of the committed mock, which must be that of the survey."""
    maps, mask, header = read_mock(path)
    if header["SURVEY"] != cfg.survey.name or len(maps) != len(cfg.survey.bins):
        stored, asked = f"{len(maps)} bins of {header['SURVEY']}", f"{len(cfg.survey.bins)} bins of {cfg.survey.name}"
        raise UserError(f"{path}: holds {stored}, but lensing.survey asks for {asked}")
    return maps, mask, header


def _committed(cfg: Config, path: Path) -> RealSky:
    maps, mask, header = _read(cfg, path)
    provenance = {
        "statement": WORDS,
        "made_by": f"GLASS {header['GLASSVER']} with CCL (halofit) spectra",
        "command": header["COMMAND"],
        "citation": CITATION,
        "steps": [
            f"HEALPix nside {header['NSIDE']}, lmax {header['LMAX']}, square-pixel window",
            f"white shape noise, rounded to 1/{STEPS} of its sigma",
        ],
    }
    truth = {name: float(header[name.upper()]) for name in PARAMETERS}
    return _cut(cfg, path, maps, mask, provenance, truth)


def _cut(
    cfg: Config, path: Path, maps: np.ndarray, mask: np.ndarray, provenance: dict[str, Any], truth: dict[str, float]
) -> RealSky:
    """Patches of noisy maps (bins, pixels) of the whole sky at the footprint of the file."""
    patches = cut_patches(maps, mask, cfg.data.size, cfg.pixel_arcmin, cfg.real.max_masked)
    steps = [
        *provenance["steps"],
        f"gnomonic patches of {cfg.data.size}^2 pixels of {cfg.pixel_arcmin} arcmin",
        f"at most {cfg.real.max_masked} of the pixels of a patch masked",
    ]
    files = {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
    common = {"kind": "simulated", "files": files, "licence": "that of this project", "steps": steps}
    return RealSky(
        name="mock",
        observed=False,
        maps=patches.maps,
        coverage=patches.coverage,
        ra=patches.ra,
        dec=patches.dec,
        provenance=provenance | common,
        truth=truth,
    )

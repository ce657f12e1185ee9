"""The committed mock sky: a GLASS simulation at known parameters in the file format of the real maps.

It is a partial-sky HEALPix table (explicit PIXEL column) of one convergence per bin, noise included, in whole steps of
an eighth of the noise; `python -m cosmokeras.simulators.sphere` makes it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import textwrap
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.errors import UserError
from cosmokeras.surveys.patches import cut_patches
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.config import Config

STEPS = 8  # steps of the stored numbers per noise sigma: rounding adds 1 / (12 STEPS^2) = 0.13 % to the noise variance
PARAMETERS = ("omega_m", "sigma8", "h", "omega_b", "n_s", "w0")
CITATION = "GLASS: Tessore, Loureiro, Joachimi, von Wietersheim-Kramsta & Jeffrey 2023, OJAp 6, 11, arXiv:2302.01942"
WORDS = "A SIMULATION, not an observation: GLASS lognormal matter shells with white shape noise and an invented mask"


def _command(header: Mapping[str, Any]) -> str:
    """Command that makes the mock of this header again."""
    cosmology = " ".join(f"--{name} {header[name.upper()]}" for name in PARAMETERS)
    numbers = f"--nside {header['NSIDE']} --lmax {header['LMAX']} --seed {header['SEED']} --survey {header['SURVEY']}"
    return f"python -m cosmokeras.simulators.sphere {numbers} {cosmology} --out data/mock"


def write_mock(
    path: Path, kappa: np.ndarray, mask: np.ndarray, sigma: np.ndarray, survey: str, truth: dict[str, float]
) -> None:
    """Write a mock sky; the same input gives the same bytes.

    Parameters
    ----------
    path : of the .fits.gz
    kappa : (bins, 12 nside^2) float32, RING, noise included
    mask : (12 nside^2,) bool, True where observed; only these pixels are written
    sigma : (bins,) noise of a pixel, sets the step of the stored numbers
    survey : name of the preset
    truth : omega_m, sigma8, h, omega_b, n_s, w0, seed, lmax
    """
    import healpy as hp
    from astropy.io import fits

    columns = [fits.Column("PIXEL", "J", array=np.flatnonzero(mask).astype(np.int32))]
    for number, (row, one) in enumerate(zip(kappa, sigma, strict=True), start=1):
        stored = np.round(row[mask] * (STEPS / one)) + 128  # FITS bytes are unsigned: TZERO takes the 128 off again
        if stored.min() < 0 or stored.max() > 255:
            raise UserError(f"{path}: KAPPA_{number} goes beyond 127 steps of sigma / {STEPS}; the noise is too small")
        columns.append(fits.Column(f"KAPPA_{number}", "B", array=stored.astype(np.uint8)))
    table = fits.BinTableHDU.from_columns(columns, name="MOCK")
    header = table.header
    for number, one in enumerate(sigma, start=2):
        step = float(f"{one / STEPS:.8g}")
        header[f"TSCAL{number}"] = (step, f"pixel noise / {STEPS}")
        header[f"TZERO{number}"] = -128 * step
    cards: dict[str, Any] = {"PIXTYPE": "HEALPIX", "ORDERING": "RING", "COORDSYS": "C"}
    cards |= {"INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL"}
    cards |= {"NSIDE": hp.npix2nside(len(mask)), "MOCK": True, "SURVEY": survey}
    cards |= {name.upper(): value for name, value in truth.items()}
    cards["GLASSVER"] = version("glass")
    header.update(cards)
    header["COMMAND"] = _command(header)
    for line in textwrap.wrap(WORDS, 72):
        header["COMMENT"] = line
    raw = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(raw)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(raw.getvalue())
    _replace(path, packed.getvalue())


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def read_mock(path: Path | str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read a mock sky.

    Returns
    -------
    maps : (bins, 12 nside^2) float32, RING, 0 outside the footprint
    mask : (12 nside^2,) bool, True where observed
    header : FITS header of the table
    """
    from astropy.io import fits

    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: the mock sky is missing; run `dvc pull data.dvc`")
    try:
        with fits.open(io.BytesIO(gzip.decompress(path.read_bytes())), memmap=False) as file:
            header, table = dict(file[1].header), file[1].data
            nside, ordering = int(header["NSIDE"]), header["ORDERING"]
            pixels = np.asarray(table["PIXEL"], dtype=np.int64)
            names = [name for name in table.names if name.startswith("KAPPA_")]
            values = np.stack([np.asarray(table[name], dtype=np.float32) for name in names])
            missing = [name.upper() for name in (*PARAMETERS, "command", "survey") if name.upper() not in header]
            if ordering != "RING" or not header["MOCK"] or missing:
                raise ValueError(f"ORDERING {ordering}, MOCK {header['MOCK']}, missing {missing}")
            maps = np.zeros((len(names), 12 * nside**2), dtype=np.float32)
            maps[:, pixels] = values
    except (OSError, EOFError, zlib.error, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or no mock sky ({reason}); remove it and run `dvc pull data.dvc`") from None
    mask = np.zeros(maps.shape[1], dtype=bool)
    mask[pixels] = True
    return maps, mask, header


def load(cfg: Config) -> RealSky:
    """Patches of the survey's mock sky, cut as those of real maps; maps of our own where the survey names no mock."""
    if cfg.kind.observed == "survey" and cfg.survey.mock is not None:
        return _patches(cfg, Path(os.path.normpath(Path(cfg.root) / "data" / "surveys" / cfg.survey.mock)))
    return _own(cfg)


def _own(cfg: Config, number: int = 16) -> RealSky:
    """Maps of one cosmology drawn from the prior, by the simulator that also makes the training maps."""
    from cosmokeras.cosmology import sample_prior
    from cosmokeras.simulators import SPLITS, realisations, simulator

    module, split = simulator(cfg.data.kind), SPLITS["mock"]
    theta = sample_prior(cfg, 1, seed=split)[0]
    maps = module.maps(cfg, module.prepare(cfg), theta, realisations(cfg.data.seed, split, 0), number)
    coverage = np.ones(maps.shape[:3], np.float32)
    if cfg.kind.observed == "survey":
        from cosmokeras.observation import Observer

        seen = Observer(cfg).survey(maps, np.array([cfg.data.seed, split], np.int64))
        coverage, maps = (part.numpy() for part in seen)
    return RealSky(
        name="mock",
        observed=False,
        maps=maps,
        coverage=coverage,
        ra=np.full(number, np.nan),
        dec=np.full(number, np.nan),
        provenance={
            "kind": "simulated",
            "statement": "A SIMULATION by the same code as the training maps, with random numbers of its own",
            "made_by": module.__name__,
        },
        truth=dict(zip(cfg.parameter_names, theta.tolist(), strict=True)),
    )


def _patches(cfg: Config, path: Path) -> RealSky:
    maps, mask, header = read_mock(path)
    if header["SURVEY"] != cfg.survey.name or len(maps) != len(cfg.survey.bins):
        found, asked = f"{len(maps)} bins of {header['SURVEY']}", f"{len(cfg.survey.bins)} bins of {cfg.survey.name}"
        raise UserError(f"{path}: holds {found}, but lensing.survey asks for {asked}")
    patches = cut_patches(maps, mask, cfg.data.size, cfg.pixel_arcmin, cfg.real.max_masked)
    provenance = {
        "kind": "simulated",
        "statement": WORDS,
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest()},
        "made_by": f"GLASS {header['GLASSVER']} with CCL (halofit) spectra",
        "command": header["COMMAND"],
        "citation": CITATION,
        "licence": "that of this project",
        "steps": [
            f"HEALPix nside {header['NSIDE']}, lmax {header['LMAX']}, square-pixel window",
            f"white shape noise, rounded to 1/{STEPS} of its sigma",
            f"gnomonic patches of {cfg.data.size}^2 pixels of {cfg.pixel_arcmin} arcmin",
            f"at most {cfg.real.max_masked} of the pixels of a patch masked",
        ],
    }
    return RealSky(
        name="mock",
        observed=False,
        maps=patches.maps,
        coverage=patches.coverage,
        ra=patches.ra,
        dec=patches.dec,
        provenance=provenance,
        truth={name: float(header[name.upper()]) for name in PARAMETERS},
    )

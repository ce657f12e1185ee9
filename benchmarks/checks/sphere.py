"""Patches of a GLASS sky against maps of the flat-sky simulator at the same cosmology, and the memory of such a sky."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import cli
from study.requirements import required

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

ROOT = Path(__file__).parents[2]
NSIDE, SEED = 1024, 77
EDGES = (200, 300, 400, 550, 700, 900, 1100, 1300, 1500)  # bands that the requirement is for
BEYOND = (1500, 1750, 2000)  # bands that are shown only
TOLERANCE, MEMORY_GB = 0.05, 12


def check() -> tuple[dict[str, Any], bool]:
    """Mean auto and cross C_ell of all bins of about 1,360 patches of either kind, and the sky's peak memory."""
    cfg = _config()
    with tempfile.TemporaryDirectory() as folder:
        # a process of its own, so that its memory is that of the sky alone
        command = [sys.executable, "-m", "benchmarks.checks.sphere", str(Path(folder) / "maps.npy")]
        note = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        ours = _bands(cfg, np.load(Path(folder) / "maps.npy"))
    flat = _bands(cfg, _flat(cfg, len(ours)))
    ratio = ours.mean(axis=0) / flat.mean(axis=0)
    error = np.hypot(*(one.std(axis=0) / one.mean(axis=0) / np.sqrt(len(one)) for one in (ours, flat)))
    inside = len(EDGES) - 1
    for i, edges in enumerate([*itertools.pairwise(EDGES), *itertools.pairwise(BEYOND)]):
        words = f"{ratio[i].min() - 1:+.3f} to {ratio[i].max() - 1:+.3f}, scatter {error[i].max():.3f}"
        print(f"     ell {edges[0]} to {edges[1]}: GLASS / flat - 1 = {words}")
    worst = float(np.abs(ratio[:inside] - 1).max())
    found = {"c_ell_worst": round(worst, 4), "c_ell_scatter": round(float(error[:inside].max()), 4)}
    found |= {"c_ell_beyond": round(float(np.abs(ratio[inside:] - 1).max()), 4), "patches": len(ours), **note}
    good = [
        required("GLASS / flat sky: worst |C_ell ratio - 1|, 200 < ell < 1500", worst, 0, TOLERANCE),
        required("GLASS / flat sky: scatter of that ratio", found["c_ell_scatter"], 0, TOLERANCE / 3),
        required(f"GLASS sky, NSIDE {NSIDE}, {cfg.channels} bins: peak memory [GB]", note["gb"], 0, MEMORY_GB),
    ]
    return found, all(good)


def _config() -> Config:
    from cosmokeras.project import load_params
    from cosmokeras.simulators.sphere import FIDUCIAL

    prior = {f"prior.{name}": value for name, value in FIDUCIAL.items()} | {"prior.omega_m": [0.1, 0.5]}
    return load_params(ROOT / "params.yaml", {**prior, "lensing.survey": "des_y3", "lensing.mask": "none"})


def _sky(path: Path) -> None:
    """In the child process: a noise-free sky, cut into patches without a mask."""
    from cosmokeras.simulators.sphere import FIDUCIAL, full_sky_kappa, peak_gb
    from cosmokeras.sky.patches import cut_patches

    cfg, start = _config(), time.perf_counter()
    kappa = full_sky_kappa(FIDUCIAL, cfg.survey, NSIDE, None, np.random.default_rng(SEED))
    note = {"gb": round(peak_gb(), 2), "seconds": round(time.perf_counter() - start)}
    np.save(path, cut_patches(kappa, np.ones(kappa.shape[1], bool), cfg.data.size, cfg.pixel_arcmin).maps)
    print(json.dumps(note))


def _flat(cfg: Config, count: int) -> np.ndarray:
    """Maps of the flat-sky simulator after the measured transfer of the cutter, without noise."""
    from cosmokeras.observation.observe import observed_by
    from cosmokeras.observation.observer import Observer
    from cosmokeras.observation.ops.forward import Forward
    from cosmokeras.simulators import lensing, realisations
    from cosmokeras.simulators.sphere import FIDUCIAL

    theta = np.array([FIDUCIAL["omega_m"]])
    maps = lensing.maps(cfg, lensing.prepare(cfg), theta, realisations(SEED, 0, 0), count)
    observer = Observer(cfg)
    observer.scale = np.ones_like(observer.scale)
    return observed_by(Forward(cfg, noise=0.0, observer=observer), maps, 0)


def _bands(cfg: Config, maps: np.ndarray) -> np.ndarray:
    """Spectra of each map, (n, bands, pairs of bins), up to a constant; those of BEYOND last."""
    modes = np.fft.fft2(np.moveaxis(maps, -1, 0))
    size, step = cfg.data.size, 360 * 60 / (cfg.data.size * cfg.pixel_arcmin)  # multipole of the longest wave
    ell = step * size * np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    pairs = np.triu_indices(cfg.channels)
    cross = [(modes[a] * modes[b].conj()).real for a, b in zip(*pairs, strict=True)]
    bands = [*itertools.pairwise(EDGES), *itertools.pairwise(BEYOND)]
    return np.array(
        [[c[:, (ell >= low) & (ell < high)].mean(axis=1) for c in cross] for low, high in bands]
    ).T.swapaxes(1, 2)


def main() -> None:
    """Write the patches of the sky."""
    parser = cli.Parser("benchmarks.checks.sphere", __doc__)
    parser.add_argument("out", type=Path, metavar="OUT.npy", help="file to write")
    options = parser.parse_args()
    cli.writable(options.out)
    _sky(options.out)


if __name__ == "__main__":
    cli.entry(main)

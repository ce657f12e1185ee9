"""One-point statistics of a ray-traced N-body map of others beside those of lognormal maps of its cosmology.

The map, `nbody/Mnu_cosmos_kappa.fits` in COSMOKERAS_REAL_DATA or beside the repository in ../shared/real, is of the
massless model of MassiveNuS (Liu et al. 2018, JCAP 03, 049) and 2.2 degrees wide: a few independent patches of the
smoothing. Errors are the scatter of single lognormal maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.readers.fits_images import image
from cosmokeras.redshifts.terms import Bin, Gaussian
from cosmokeras.simulators import lensing, realisations
from cosmokeras.theory import kappa_skewness
from study.perturbation import REAL

ROOT = Path(__file__).parents[2]
FILE = "nbody/Mnu_cosmos_kappa.fits"
FINE, COARSER, SIZE = 0.41, 12, 26  # pixel of the map [arcmin], how many are averaged, averages on a side
OMEGA_M, SIGMA8 = 0.3, 0.852
MAPS = 1000
TAILS = (-1.0, 2.0, 3.0)  # parts of the pixels below the first and above the others, in standard deviations
Statistics = tuple[float, ...]  # standard deviation, skewness, parts of TAILS


def compared(kinds: Sequence[str], smoothing: Sequence[float]) -> dict[str, Any]:
    """Statistics of the N-body map, and mean and scatter of those of lognormal maps of each kind, by smoothing."""
    path = REAL / FILE
    if not path.exists():
        print(f"SKIP N-body map: {path} is missing; set COSMOKERAS_REAL_DATA")
        return {}
    with image(path, None, "give a map of convergence") as (hdu, _):
        fine = np.asarray(hdu.data, float)[: SIZE * COARSER, : SIZE * COARSER]
    nbody = fine.reshape(SIZE, COARSER, SIZE, COARSER).mean(axis=(1, 3))
    maps = {kind: _lognormal(kind) for kind in kinds}
    wanted = kappa_skewness(_config(kinds[0]), np.array([OMEGA_M]), np.array(smoothing))[0, 0]
    found: dict[str, Any] = {}
    for one, theory in zip(smoothing, wanted, strict=True):
        width = one / (FINE * COARSER)
        row: dict[str, Any] = {"nbody": np.round(_statistics(nbody, width), 4).tolist(), "theory": round(theory, 3)}
        print(
            f"N-body map, {one:g} arcmin: rms, skewness, parts {TAILS}: {row['nbody']}; BiHalofit {theory:.3f} all-sky"
        )
        for kind in kinds:
            values = np.array([_statistics(each, width) for each in maps[kind]])
            row[kind] = np.round([values.mean(axis=0), values.std(axis=0)], 4).tolist()
            below = float((values[:, 1] < row["nbody"][1]).mean())
            row[f"{kind}_below"] = round(below, 3)
            print(
                f"  {kind}: mean {row[kind][0]}, scatter of a map {row[kind][1]}; {below:.0%} less skewed than N-body"
            )
        found[f"{one:g}_arcmin"] = row
    return found


def _config(kind: str) -> Config:
    """Parameters of its cosmology and of sources at z = 1, in pixels like its averages."""
    changes = {
        "prior.omega_m": [0.25, 0.35], "prior.sigma8": SIGMA8, "prior.h": 0.7, "prior.omega_b": 0.046,
        "prior.n_s": 0.97, "data.size": SIZE, "lensing.pixel_arcmin": FINE * COARSER, "lensing.mask": "none",
        "lensing.third_moment": kind, "model.spectrum_bins": 8,
    }  # fmt: skip
    cfg = load_params(ROOT / "params.yaml", changes)
    sources = Gaussian(kind="gaussian", weight=1.0, mean=1.0, sigma=0.01)
    one = [Bin(n_eff=10.0, sigma_e=0.3, n_z=[sources])]
    vars(cfg)["survey"] = cfg.survey.model_copy(update={"made_from": "flat", "lmax": None, "z_max": 1.1, "bins": one})
    return cfg


def _lognormal(kind: str) -> np.ndarray:
    """Lognormal maps (MAPS, SIZE, SIZE)."""
    cfg = _config(kind)
    return lensing.maps(cfg, lensing.prepare(cfg), np.array([OMEGA_M]), realisations(7, 9, 0), MAPS)[..., 0]


def _statistics(kappa: np.ndarray, width: float) -> Statistics:
    """Of a map smoothed by a Gaussian of `width` pixels, without the mean that is left."""
    smooth = gaussian_filter(kappa.astype(float), width, mode="reflect")
    smooth -= smooth.mean()
    rms = float(smooth.std())
    x = smooth / rms
    low, *high = TAILS
    return rms, float(np.mean(x**3)), float((x < low).mean()), *(float((x > one).mean()) for one in high)

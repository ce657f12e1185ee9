"""The full sky through particle-mesh boxes (`real.mock: pm`): its spectra beside CCL's, and its skewness."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.project import load_params
from cosmokeras.simulators.pm.mock import SEED, of_the_mock
from cosmokeras.simulators.pm.sky import full_sky
from cosmokeras.simulators.sphere import FIDUCIAL, peak_gb, spectra_ratio
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.skewness import kappa_skewness
from study.requirements import required

PARAMS = Path(__file__).parents[2] / "params.yaml"
NSIDE = 512
EDGES = np.array([30.0, 60, 100, 200, 400, 700, 1024])
SMOOTHING = 10.0  # standard deviation [arcmin]


def check() -> tuple[dict[str, Any], bool]:
    """Spectra of all pairs of bins from ell 100 on; minutes."""
    import healpy as hp

    cfg = of_the_mock(load_params(PARAMS))
    theta, start = np.array([0.0]), time.perf_counter()
    kappa = full_sky(cfg, theta, NSIDE, np.random.default_rng(SEED))
    seconds = time.perf_counter() - start
    ratio = spectra_ratio(kappa, FIDUCIAL, cfg.survey, EDGES)
    bins = np.triu_indices(len(kappa))
    far = np.abs(ratio - 1)[bins][:, EDGES[:-1] >= 100].max()
    smooth = np.array([hp.smoothing(row.astype(float), sigma=SMOOTHING * ARCMIN, iter=1) for row in kappa])
    smooth -= smooth.mean(axis=1, keepdims=True)
    skewness = (smooth**3).mean(axis=1) / (smooth**2).mean(axis=1) ** 1.5
    theory = kappa_skewness(cfg, theta, np.array([SMOOTHING]))[0, :, 0]
    print(f"     NSIDE {NSIDE}: {seconds:.0f} s, {peak_gb():.1f} GB; auto spectra over CCL, bands of ell {EDGES}")
    for number, row in enumerate(np.einsum("aab->ab", ratio), start=1):
        print(f"     bin {number}:", " ".join(f"{one:.3f}" for one in row))
    print(f"     skewness at {SMOOTHING:g} arcmin {skewness.round(3)}, BiHalofit {theory.round(3)}")
    found = {
        "worst": round(float(far), 4),
        "worst_below_100": round(float(np.abs(ratio - 1)[bins][:, EDGES[:-1] < 100].max()), 4),
        "auto": np.einsum("aab->ab", ratio).round(4).tolist(),
        "skewness": skewness.round(3).tolist(),
        "skewness_bihalofit": theory.round(3).tolist(),
        "seconds": round(seconds),
    }
    return found, required("sky of particle meshes: C_ell / CCL - 1, worst of all pairs, ell 100 to 1024", far, 0, 0.07)

"""The theory table over a wide box of all six cosmological parameters against fresh calls of CCL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cosmokeras.params.prior import sample_prior
from cosmokeras.project import load_params
from cosmokeras.theory import limber
from study.requirements import required
from study.shells import ccl_angular_cl

PARAMS = Path(__file__).parents[2] / "params.yaml"
WIDE = {
    "prior.omega_m": [0.1, 0.5], "prior.sigma8": [0.6, 1.0], "prior.h": [0.5, 0.9], "prior.omega_b": [0.03, 0.07],
    "prior.n_s": [0.8, 1.2], "prior.w0": [-1.5, -0.5],
}  # fmt: skip
ELL = np.geomspace(30, 2000, 25)
POINTS = 40


def check() -> tuple[dict[str, Any], bool]:
    """Largest deviation of C_ell over all pairs of bins and multipoles, at random points; five minutes."""
    cfg = load_params(PARAMS, WIDE)
    worst = []
    for row in tqdm(sample_prior(cfg, POINTS, seed=3), desc="fresh calls of CCL"):
        worst.append(np.abs(limber.angular_cl(cfg, row[None], ELL)[0] / ccl_angular_cl(cfg, row, ELL) - 1).max())
    good = required(f"theory table, six free parameters: C_ell / CCL, worst of {POINTS} points", max(worst), 0, 0.005)
    return {"worst": round(float(max(worst)), 5), "median": round(float(np.median(worst)), 5), "points": POINTS}, good

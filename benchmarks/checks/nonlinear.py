"""HMCode-2020, its baryons and massive neutrinos: C_ell beside CCL's, and what each of them changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.project import load_params
from cosmokeras.theory import limber
from study.requirements import required
from study.shells import ccl_angular_cl

PARAMS = Path(__file__).parents[2] / "params.yaml"
ELL = np.geomspace(30, 2000, 25)
HMCODE = {"theory.nonlinear": "hmcode2020"}
# Free parameters, and points at which CCL is called anew
BOXES: dict[str, tuple[dict[str, Any], int]] = {
    "hmcode2020, omega_m free": (HMCODE, 3),
    "halofit, m_nu free": ({"prior.omega_m": 0.3, "prior.m_nu": [0.0, 0.5]}, 2),
    "hmcode2020, log_t_agn free": (HMCODE | {"prior.omega_m": 0.3, "prior.log_t_agn": [7.3, 8.3]}, 2),
}
# At Omega_m 0.3 and sigma8 0.8: what is changed, and limits on the largest change of an auto spectrum
FIXED = {"prior.omega_m": 0.3, "prior.a_ia": [-1.0, 1.0], "data.targets": ["a_ia"]}
CHANGES: dict[str, tuple[dict[str, Any], float, float]] = {
    "hmcode2020 for halofit": (HMCODE, 0.02, 0.06),
    "0.06 eV of neutrinos at fixed sigma8": ({"prior.m_nu": 0.06}, 0.001, 0.01),
    "log_t_agn 7.8 at hmcode2020": (HMCODE | {"prior.log_t_agn": 7.8}, 0.05, 0.2),
}


def check() -> tuple[dict[str, Any], bool]:
    """Largest deviations of C_ell from CCL's at random points, and changes; minutes, most of them CAMB's."""
    found, good = beside_ccl(BOXES)
    halofit, hmcode = auto(load_params(PARAMS, FIXED)), auto(load_params(PARAMS, FIXED | HMCODE))
    for name, (keys, low, high) in CHANGES.items():
        before = hmcode if name.endswith("at hmcode2020") else halofit
        change = auto(load_params(PARAMS, FIXED | keys)) / before - 1
        biggest = float(np.abs(change).max())
        found[name] = {"largest": round(biggest, 4), "lowest": round(float(change.min()), 4)}
        found[name]["rms"] = round(float(np.sqrt(np.mean(change**2))), 4)
        good.append(required(f"{name}: largest change of C_ell, {ELL[0]:.0f} to {ELL[-1]:.0f}", biggest, low, high))
    return found, all(good)


def beside_ccl(boxes: dict[str, tuple[dict[str, Any], int]]) -> tuple[dict[str, Any], list[bool]]:
    """Largest deviation of C_ell of all pairs of bins in each box, and whether requirements are met."""
    found, good = {}, []
    for name, (keys, points) in boxes.items():
        cfg = load_params(PARAMS, keys)
        worst = []
        for row in tqdm(sample_prior(cfg, points, seed=3), desc=f"fresh calls of CCL ({name})"):
            worst.append(np.abs(limber.angular_cl(cfg, row[None], ELL)[0] / ccl_angular_cl(cfg, row, ELL) - 1).max())
        found[name] = {"worst": round(float(max(worst)), 5), "points": points}
        good.append(required(f"{name}: C_ell / CCL, worst of {points} points", max(worst), 0, 0.01))
    return found, good


def auto(cfg: Config) -> np.ndarray:
    """Auto spectra (bins, n_ell) without alignments."""
    return np.einsum("aal->al", limber.angular_cl(cfg, np.array([0.0]), ELL)[0])

"""Skewness of simulated convergence against BiHalofit, with both kinds of lognormal shells, and against N-body maps.

Smoothed by a Gaussian of 5 and 10 arcmin, without noise, for the four bins of DES Y3 at three Omega_m. Skewness of
lognormal shells is known exactly; means over maps approach it slowly, as rare peaks make most of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft
from tqdm import tqdm

from benchmarks.checks import nbody
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.simulators import lensing, realisations
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory import kappa_skewness
from study.requirements import required
from study.setting import of_all_multipoles
from study.shells import Case

PARAMS = Path(__file__).parents[2] / "params.yaml"
OMEGA_M = (0.12, 0.3, 0.48)
SMOOTHING = (5.0, 10.0)  # Gaussian, standard deviation [arcmin]
MAPS = {"shift": 400, "bihalofit": 2400}  # of the whole periodic grid
AT_ONCE = 20
CLEAR = 0.15  # change of the prediction from the first to the last Omega_m that has a sign


def check() -> tuple[dict[str, Any], bool]:
    """Ratios to the prediction, C_ell, the change from the emptiest to the densest universe; N-body maps of others."""
    found: dict[str, Any] = {}
    good, seen = [], {}
    for omega_m in OMEGA_M:
        for kind, count in MAPS.items():
            cfg = of_all_multipoles(load_params(PARAMS, {"lensing.third_moment": kind}))
            case = Case(cfg, [omega_m])
            wanted = kappa_skewness(cfg, np.array([omega_m]), np.array(SMOOTHING))[0]
            exact = np.array([case.smoothed_skewness(one) for one in SMOOTHING]).T
            value, error = _of_maps(case, count)
            seen[kind, omega_m], seen["wanted", omega_m] = exact, wanted
            ratio, off = exact / wanted, np.abs(case.expected() / case.ccl - 1).max()
            name = f"Omega_m {omega_m}, {kind}"
            for at, smoothing in enumerate(SMOOTHING):
                rows = zip(exact[:, at], value[:, at], error[:, at], wanted[:, at], strict=True)
                words = ", ".join(f"{x:.3f} ({v:.3f} +- {e:.3f}) {w:.3f}" for x, v, e, w in rows)
                print(f"{name}, {smoothing:g} arcmin, exact (of maps) BiHalofit's for bins 1, 2, ...: {words}")
            if kind == "bihalofit":
                good.append(required(f"{name}: exact skewness of maps over BiHalofit's, least", ratio.min(), 0.9, 1.1))
                good.append(required(f"{name}: the same, most", ratio.max(), 0.9, 1.1))
                pull = np.abs((value - exact) / error).max()
                good.append(
                    required(f"{name}: skewness of {count} maps about the exact one, worst [sigma]", pull, 0, 4)
                )
                good.append(required(f"{name}: exact mean C_ell / CCL - 1, worst", off, 0, 0.02))
            found[f"{kind}_{omega_m}"] = {
                "exact": exact.round(3).tolist(),
                "maps": value.round(3).tolist(),
                "error": error.round(3).tolist(),
                "bihalofit": wanted.round(3).tolist(),
                "c_ell_off": round(float(off), 4),
            }
    change = {kind: seen[kind, OMEGA_M[-1]] - seen[kind, OMEGA_M[0]] for kind in (*MAPS, "wanted")}
    clear = np.abs(change["wanted"]) > CLEAR * seen["wanted", OMEGA_M[0]]
    for kind in MAPS:
        same = float((np.sign(change[kind]) == np.sign(change["wanted"]))[clear].mean())
        found[f"trend_{kind}"] = round(same, 3)
        words = f"{kind}: part of bins and smoothings whose skewness changes with Omega_m the way BiHalofit's does"
        if kind == "bihalofit":
            good.append(required(words, same, 1, 1))
        else:
            print(f"{words}: {same:.2f}")
    found["nbody"] = nbody.compared(tuple(MAPS), SMOOTHING)
    return found, all(good)


def _of_maps(case: Case, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Skewness of smoothed maps of the whole grid, which have mean 0, and its error, (bins, smoothings) each."""
    cfg = case.cfg
    whole: Config = cfg.model_copy(update={"data": cfg.data.model_copy(update={"size": case.n})})
    windows = [np.exp(-((case.ell * one * ARCMIN) ** 2) / 2) for one in SMOOTHING]
    moments = []  # (maps, 2 powers, smoothings, bins)
    for start in tqdm(range(0, count, AT_ONCE), desc=f"{cfg.lensing.third_moment}, {case.theta[0]:g}", disable=None):
        maps = lensing.maps(whole, case.grid, case.theta, realisations(start, 9, 0), AT_ONCE)
        modes = fft.rfft2(np.moveaxis(maps, -1, 0))
        for one in range(AT_ONCE):
            smooth = [fft.irfft2(modes[:, one] * window, s=(case.n, case.n)) for window in windows]
            moments.append([[np.mean(s**power, axis=(1, 2)) for s in smooth] for power in (2, 3)])
    second, third = np.array(moments, float).transpose(1, 0, 3, 2)
    total = third.mean(axis=0) / second.mean(axis=0) ** 1.5
    # without each map in turn
    left = (third.sum(axis=0) - third) / (second.sum(axis=0) - second) ** 1.5 * np.sqrt(count - 1)
    return total, left.std(axis=0) * np.sqrt(count - 1)

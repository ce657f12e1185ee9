"""The default survey with Omega_m and sigma8 free: S8 against the power spectrum, posterior against error bars."""

from __future__ import annotations

from typing import Any

from study.requirements import required
from study.runs import run_stages

CHANGES = {"prior": {"sigma8": [0.6, 1.0]}, "data": {"n_cosmologies": 4000, "realisations": 2}}


def check() -> tuple[dict[str, Any], bool]:
    """Run generate, train and evaluate."""
    train, evaluate = run_stages("two-parameters", CHANGES)
    s8 = evaluate["S8"]
    good = [
        required("two parameters S8.rmse / S8.baseline_rmse", s8["rmse"] / s8["baseline_rmse"], 0, 1),
        required("two parameters nll - nll_gaussian", evaluate["nll"] - evaluate["nll_gaussian"], -10, 0),
        required("two parameters S8.coverage_68", s8["coverage_68"], 0.63, 0.73),
    ]
    return {"train": train, "evaluate": evaluate}, all(good)

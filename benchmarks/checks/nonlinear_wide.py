"""HMCode-2020, its baryons and massive neutrinos with several parameters free: C_ell beside CCL's."""

from __future__ import annotations

from typing import Any

from benchmarks.checks.nonlinear import HMCODE, beside_ccl

# Free parameters, and points at which CCL is called anew
BOXES: dict[str, tuple[dict[str, Any], int]] = {
    "hmcode2020, omega_m and sigma8 free": (HMCODE | {"prior.sigma8": [0.6, 1.0]}, 8),
    "halofit, omega_m and m_nu free": ({"prior.m_nu": [0.0, 0.5]}, 5),
    "hmcode2020, omega_m, log_t_agn and m_nu free": (
        HMCODE | {"prior.log_t_agn": [7.3, 8.3], "prior.m_nu": [0.0, 0.5]},
        6,
    ),
}


def check() -> tuple[dict[str, Any], bool]:
    """Largest deviations at random points; half an hour of one core, most of it CAMB's."""
    found, good = beside_ccl(BOXES)
    return found, all(good)

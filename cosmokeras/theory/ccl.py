"""Cosmologies of the Core Cosmology Library, CCL (Chisari et al. 2019, ApJS 242, 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params.registry import COSMOLOGY

MASSLESS = {"m_nu": 0.0}  # of which nothing needs to be said

if TYPE_CHECKING:
    import pyccl


def ccl_cosmology(values: dict[str, float], transfer: str = "boltzmann_camb", z_max: float = 5.0) -> pyccl.Cosmology:
    """Flat wCDM of CCL (Chisari et al. 2019, ApJS 242, 2) with massless neutrinos and halofit.

    Halofit is that of Takahashi et al. 2012 (ApJ 761, 152). Spectra are tabulated to `z_max` and no further: in some
    cosmologies CCL's halofit fails at the early times that it would be asked for by default. Parameters must lie in the
    ranges in which the theory codes are trusted, as priors do.
    """
    for name, (low, high) in COSMOLOGY.items():
        slack = arguments.ROUNDING * max(abs(low), abs(high))
        arguments.number(name, values.get(name, MASSLESS.get(name, np.nan)), low - slack, high + slack)
    if values.get("m_nu"):
        raise UserError(f"m_nu={values['m_nu']:g}: these spectra are those of massless neutrinos; set it to 0")
    if values["omega_b"] >= values["omega_m"]:
        raise UserError(f"omega_b={values['omega_b']:g}: must stay below omega_m={values['omega_m']:g}")
    import pyccl

    with _late_times(pyccl.spline_params, 0.98 / (1 + z_max)):
        return pyccl.Cosmology(
            Omega_c=values["omega_m"] - values["omega_b"],
            Omega_b=values["omega_b"],
            h=values["h"],
            n_s=values["n_s"],
            sigma8=values["sigma8"],
            w0=values["w0"],
            m_nu=0.0,
            transfer_function=transfer,
            matter_power_spectrum="halofit",
        )


@contextmanager
def _late_times(splines: pyccl.CCLParameters, first: float) -> Iterator[None]:
    """Let CCL tabulate P(k, a) from the scale factor `first` on.

    CCL copies these global settings into each new cosmology; they are put back at once.
    """
    wanted = {"A_SPLINE_MINLOG_PK": first, "A_SPLINE_MIN_PK": 1.01 * first, "A_SPLINE_NLOG_PK": 3}
    before = {name: splines[name] for name in wanted}
    try:
        for name, value in wanted.items():
            splines[name] = value
        yield
    finally:
        for name, value in before.items():
            splines[name] = value

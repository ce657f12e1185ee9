"""Priors, the BBKS transfer function, and cosmologies of CCL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras import arguments
from cosmokeras.config import Config
from cosmokeras.errors import UserError
from cosmokeras.registry import COSMOLOGY

if TYPE_CHECKING:
    import pyccl


def sample_prior(cfg: Config, n: int, seed: int) -> np.ndarray:
    """Draw `n` cosmologies from the prior box, shape (n, p) float64, columns `cfg.parameter_names`.

    A scrambled Sobol sequence (scipy.stats.qmc): every draw is uniform in the box, and together they fill it evenly.
    """
    from scipy.stats import qmc  # takes a second, which the processes that make maps do without

    names = arguments.checked_config(cfg).parameter_names
    n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
    sampler = qmc.Sobol(d=len(names), scramble=True, rng=np.random.default_rng(seed))
    # powers of two keep the sequence balanced; the rest is thrown away
    unit = sampler.random_base2((n - 1).bit_length())[:n]
    low, high = cfg.bounds.T
    return low + (high - low) * unit


def bbks_transfer(q: np.ndarray) -> np.ndarray:
    """Transfer function of cold dark matter, T(q) with q = k / (Omega_m h), k in h/Mpc.

    Bardeen, Bond, Kaiser & Szalay 1986, ApJ 304, 15, eq. (G3).

    Examples
    --------
    Large scales keep the power that they began with, small ones lost most of it:

    >>> bbks_transfer(np.array([0.0, 0.1, 1.0])).round(3).tolist()
    [1.0, 0.622, 0.073]
    """
    q = arguments.finite("q", q)
    if (q < 0).any():
        raise UserError(f"q={q.min():g}: must be 0 or more")
    return _bbks(q)


def _bbks(q: np.ndarray) -> np.ndarray:
    x = 2.34 * q
    small = x < 1e-6
    log_term = np.where(small, 1.0 - x / 2, np.log1p(x) / np.where(small, 1.0, x))
    return log_term * (1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4) ** -0.25


def bbks_power(k: np.ndarray, omega_m: float, h: float, n_s: float) -> np.ndarray:
    """Spectrum k^n_s T(k / (Omega_m h))^2 with unit amplitude; k in h/Mpc, 0 at k = 0."""
    k = np.asarray(k, dtype=float)
    return np.where(k > 0, np.where(k > 0, k, 1.0) ** n_s, 0.0) * _bbks(k / (omega_m * h)) ** 2


def ccl_cosmology(values: dict[str, float], transfer: str = "boltzmann_camb", z_max: float = 5.0) -> pyccl.Cosmology:
    """Flat wCDM of CCL (Chisari et al. 2019, ApJS 242, 2) with massless neutrinos and halofit.

    Halofit is that of Takahashi et al. 2012 (ApJ 761, 152). Spectra are tabulated to `z_max` and no further: in some
    cosmologies CCL's halofit fails at the early times that it would be asked for by default. Parameters must lie in the
    ranges in which the theory codes are trusted, as priors do.
    """
    for name, (low, high) in COSMOLOGY.items():
        slack = arguments.ROUNDING * max(abs(low), abs(high))
        arguments.number(name, values.get(name, np.nan), low - slack, high + slack)
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

"""The BBKS transfer function (Bardeen, Bond, Kaiser & Szalay 1986, ApJ 304, 15) and the spectrum of `grf` maps."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError


def bbks_transfer(q: np.ndarray) -> np.ndarray:
    """Transfer function of cold dark matter, T(q) with q = k / (Omega_m h), k in h/Mpc.

    Bardeen, Bond, Kaiser & Szalay 1986, ApJ 304, 15, eq. (G3).

    Examples
    --------
    Large scales keep their initial power, small ones lose most of it:

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

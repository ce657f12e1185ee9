"""Growth of the first and the second order of perturbations, from their differential equations.

With N = ln a, and D = 1 today:  D'' + (2 + H'/H) D' = 3/2 Omega_m(a) D,  E'' + (2 + H'/H) E' = 3/2 Omega_m(a) (E - D^2)
(Bouchet et al. 1995, A&A 296, 575), so that E = -3/7 D^2 in a universe of matter alone. Flat, without radiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

FIRST = 1e-3  # scale factor at which matter is all there is
NODES = 400  # in ln a


@dataclass(frozen=True)
class Growth:
    """Growth factors at the scale factors `a` (n,): D, E and dE/dD, with D = 1 at a = 1."""

    a: np.ndarray
    d: np.ndarray
    e: np.ndarray
    slope: np.ndarray

    def first(self, z: np.ndarray | float) -> np.ndarray:
        """D at redshift z."""
        return np.exp(CubicSpline(np.log(self.a), np.log(self.d))(-np.log1p(z)))

    def redshift(self, d: np.ndarray | float) -> np.ndarray:
        """Redshift at which D has the value `d`."""
        return np.expm1(-CubicSpline(np.log(self.d), np.log(self.a))(np.log(d)))

    def second(self, d: float) -> tuple[float, float]:
        """E and dE/dD at which D has the value `d`, 0 or more."""
        if d <= self.d[0]:
            return -3 / 7 * d * d, -6 / 7 * d
        log_d = np.log(self.d)
        ratio, slope = CubicSpline(log_d, self.e / self.d**2), CubicSpline(log_d, self.slope / self.d)
        return float(ratio(np.log(d))) * d * d, float(slope(np.log(d))) * d


def growth(values: dict[str, Any]) -> Growth:
    """Growth factors of a cosmology's parameters by name: omega_m and w0."""
    return _solved(float(values["omega_m"]), float(values["w0"]))


@lru_cache(maxsize=8)  # each box of a cosmology asks for them again
def _solved(omega: float, w0: float) -> Growth:
    def change(log_a: float, y: np.ndarray) -> list[float]:
        matter, dark = omega * np.exp(-3 * log_a), (1 - omega) * np.exp(-3 * (1 + w0) * log_a)
        part = matter / (matter + dark)
        friction = 2 - 1.5 * (part + (1 + w0) * (1 - part))
        d, d_rate, e, e_rate = y
        return [d_rate, 1.5 * part * d - friction * d_rate, e_rate, 1.5 * part * (e - d * d) - friction * e_rate]

    log_a = np.linspace(np.log(FIRST), 0.0, NODES)
    start = [FIRST, FIRST, -3 / 7 * FIRST**2, -6 / 7 * FIRST**2]
    solved = solve_ivp(change, (log_a[0], 0.0), start, t_eval=log_a, rtol=1e-8, atol=1e-14)
    d, d_rate, e, e_rate = solved.y
    today = d[-1]
    return Growth(a=np.exp(log_a), d=d / today, e=e / today**2, slope=e_rate / d_rate / today)

"""Matter bispectrum: tree level, and BiHalofit (Takahashi et al. 2020, ApJ 895, 113), for many redshifts at once.

BiHalofit was fitted to N-body simulations and to one-loop perturbation theory: to 10 % at k < 3 h/Mpc (15 % at k < 10
h/Mpc) and z < 3 in a Planck cosmology, to about 20 % in others. Equations are those of the paper; its factor for
baryons is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from cosmokeras.theory.halofit import FINE, non_linear_scale
from cosmokeras.theory.table import TheoryTable, omega_m_at

HIGHEST_Z = 10.0  # beyond it, as in the authors' code, the bispectrum is that of tree level


@dataclass(frozen=True)
class LinearMatter:
    """Linear matter of one cosmology.

    `k` (n_k,) [h/Mpc] and `power` (n_k,) [(Mpc/h)^3] today; `n_s` and `sigma8` of it; and at the redshifts `z` (n_z,)
    the `growth` factor, 1 today, and `omega_m`, the matter density in units of the critical density of the time.
    """

    k: np.ndarray
    power: np.ndarray
    n_s: float
    sigma8: float
    z: np.ndarray
    growth: np.ndarray
    omega_m: np.ndarray

    def at(self, k: np.ndarray) -> np.ndarray:
        """Linear power today at `k`; that of a power law beyond the tabulated wavenumbers."""
        log_k, ends = np.log(k), np.log(self.k[[0, -1]])
        inside = np.clip(log_k, *ends)
        slope = self._spline(ends, 1)
        beyond = np.where(log_k < ends[0], slope[0], slope[1]) * (log_k - inside)
        power: np.ndarray = np.exp(self._spline(inside) + beyond)
        return power

    @cached_property
    def _spline(self) -> CubicSpline:
        return CubicSpline(np.log(self.k), np.log(self.power))

    @cached_property
    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """k_NL [h/Mpc] and effective index n_eff, (n_z,) each (eqs. B1, B2): halofit's."""
        k_nl, n_eff, _ = non_linear_scale(FINE**3 * self.at(FINE) / (2 * np.pi**2), self.growth)
        return k_nl, n_eff


def linear_matter(table: TheoryTable, values: dict[str, Any], z: np.ndarray) -> LinearMatter:
    """Linear matter at redshifts `z` (n_z,), of a cosmology's parameters by name, from the theory table."""
    (k, power), back = table.linear(values), table.background(values)
    growth = np.interp(z, back.z, back.growth)
    return LinearMatter(k, power, values["n_s"], values["sigma8"], z, growth, omega_m_at(values, z))


def tree_level(k1: np.ndarray, k2: np.ndarray, k3: np.ndarray, matter: LinearMatter) -> np.ndarray:
    """Bispectrum [(Mpc/h)^6] of second-order perturbation theory; arguments as those of `bihalofit`."""
    growth = _by_redshift(matter.growth, k1)
    sides = (k1, k2, k3)
    return _permuted(sides, [matter.at(k) * growth**2 for k in sides], 0.0)


def bihalofit(k1: np.ndarray, k2: np.ndarray, k3: np.ndarray, matter: LinearMatter) -> np.ndarray:
    """Non-linear matter bispectrum B(k1, k2, k3, z) [(Mpc/h)^6].

    Parameters
    ----------
    k1, k2, k3 : (n_z, ...) sides of triangles [h/Mpc], the first axis for the redshifts of `matter`; three lengths of
        which one is longer than the others together are no triangle, and what is given for them means nothing
    matter : linear matter of the cosmology

    Returns
    -------
    (n_z, ...), the sum of the 1-halo term (eq. B4) and the 3-halo term (eq. B5). Where no scale is non-linear, and
    beyond HIGHEST_Z, that of tree level.
    """
    k_nl, n_eff = matter.scale
    halo = np.isfinite(k_nl) & (matter.z <= HIGHEST_Z)
    if not halo.all():
        out = tree_level(k1, k2, k3, matter)
        if halo.any():
            out[halo] = bihalofit(k1[halo], k2[halo], k3[halo], _some(matter, halo))
        return out
    n, sides = _by_redshift(n_eff, k1), (k1, k2, k3)
    q = [k / _by_redshift(k_nl, k1) for k in sides]
    log_q = [np.log(one) for one in q]
    growth = _by_redshift(matter.growth, k1)
    # log10 of sigma8 at each redshift
    s = np.log10(growth * matter.sigma8)
    longest, shortest = np.maximum(np.maximum(k1, k2), k3), np.minimum(np.minimum(k1, k2), k3)
    r1 = shortest / longest  # eq. B8
    r2 = (k1 + k2 + k3) / longest - 2  # (k_mid + k_min - k_max) / k_max

    # eq. B7
    log_a = -2.167 - 2.944 * s - 1.106 * s**2 - 2.865 * s**3 - 0.310 * r1 ** (10 ** (0.182 + 0.57 * n))
    a = 10**log_a
    b = 10 ** (-3.428 - 2.681 * s + 1.624 * s**2 - 0.095 * s**3)
    c = 10 ** (0.159 - 1.107 * n)
    alpha = 10 ** (-4.348 - 3.006 * n - 0.5745 * n**2 + 10 ** (-0.9 + 0.2 * n) * r2**2)
    alpha = np.minimum(alpha, 1 - 2 / 3 * matter.n_s)
    beta = 10 ** (-1.731 - 2.845 * n - 1.4995 * n**2 - 0.2811 * n**3 + 0.007 * r2)
    one_halo = np.ones_like(q[0])
    for x, log_x in zip(q, log_q, strict=True):
        one_halo = one_halo / (a * np.exp(alpha * log_x) + b * np.exp(beta * log_x)) / (1 + 1 / (c * x))

    # eq. B9
    f = 10 ** (-10.533 - 16.838 * n - 9.3048 * n**2 - 1.8263 * n**3)
    g = 10 ** (2.787 + 2.405 * n + 0.4577 * n**2)
    h = 10 ** (-1.118 - 0.394 * n)
    m = 10 ** (-2.605 - 2.434 * s + 5.71 * s**2)
    coefficient_n = 10 ** (-4.468 - 3.08 * s + 1.035 * s**2)
    mu = 10 ** (15.312 + 22.977 * n + 10.9579 * n**2 + 1.6586 * n**3)
    nu = 10 ** (1.347 + 1.246 * n + 0.4525 * n**2)
    p = 10 ** (0.071 - 0.433 * n)
    e = 10 ** (-0.632 + 0.646 * n)
    d = 10 ** (-0.483 + 0.892 * s - 0.086 * _by_redshift(matter.omega_m, k1))
    enhanced = []  # power, eq. B6
    damping = np.ones_like(q[0])
    for k, x, log_x in zip(sides, q, log_q, strict=True):
        linear = (1 + f * x**2) / (1 + g * x + h * x**2) * matter.at(k) * growth**2
        within = 1 / (m * np.exp(mu * log_x) + coefficient_n * np.exp(nu * log_x)) / (1 + (p * x) ** -3)
        enhanced.append(linear + within)
        damping = damping / (1 + e * x)
    return one_halo + damping * _permuted(sides, enhanced, d / _by_redshift(k_nl, k1))


def _permuted(sides: tuple[np.ndarray, ...], power: list[np.ndarray], more: np.ndarray | float) -> np.ndarray:
    """Sum over the three pairs of sides of 2 (F2 + more k) P P, with k the third side (eqs. 5, B5)."""
    squares = [k * k for k in sides]
    out = np.zeros(np.broadcast_shapes(*(k.shape for k in sides)))
    for i, j, third in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product = sides[i] * sides[j]
        cosine = (squares[third] - squares[i] - squares[j]) / (2 * product)
        kernel = 5 / 7 + cosine * (squares[i] + squares[j]) / (2 * product) + 2 / 7 * cosine**2
        out += 2 * (kernel + more * sides[third]) * power[i] * power[j]
    return out


def _by_redshift(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values (n_z,) that broadcast against an array (n_z, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def _some(matter: LinearMatter, chosen: np.ndarray) -> LinearMatter:
    """The same matter at some of its redshifts."""
    at = (matter.z[chosen], matter.growth[chosen], matter.omega_m[chosen])
    return LinearMatter(matter.k, matter.power, matter.n_s, matter.sigma8, *at)

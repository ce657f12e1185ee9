"""Third moments of matter in projection, smoothed: of BiHalofit, and of lognormal fields of the same power.

Matter in a thin sheet at one distance, seen through a Gaussian of standard deviation R [Mpc/h] across the line of
sight. For matter that is projected with a weight w(chi) of unit integral the moments below are integrals over chi of
w^2 (second) and w^3 (third) times those here, in Limber's approximation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import ive, j0

from cosmokeras.theory.bispectrum import LinearMatter, bihalofit

Power = Callable[[np.ndarray, np.ndarray], np.ndarray]  # P(k, z) [(Mpc/h)^3], arguments broadcast
# Of integrals over triangles k1 > k2 > k3: nodes in ln k1, ln k3 and the angle between them, and where they end.
SIDES, SHORTEST, LONGER, ANGLES = 16, 12, 5, 6
LOWEST_K, LOWEST, HIGHEST = 1e-3, 2e-3, 4.5  # in h/Mpc, and in units of 1 / R
# Of equilateral triangles BiHalofit has at most 4.3 at z < 1 and k < 10 h/Mpc for Omega_m 0.3 and sigma8 0.8, but 310
# for Omega_m 0.1 at z = 2 and 18 for Omega_m 0.5 today: it was fitted to models around Planck's.
MOST_REDUCED = 5.0
LINE = np.geomspace(1e-4, 60.0, 1100)  # k R of integrals over one wavenumber
COARSER = 8  # for a double one, of every so many of them
LAGS = np.geomspace(0.01, 12.0, 70)  # distances [R] at which correlations are worked out
BLUR = 0.05  # smoothing of correlations, in units of the distance: sums over waves end


def second_moment(power: Power, radius: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Variance int k dk / 2 pi P(k, z) exp(-(k R)^2) [Mpc/h], (n_z,), at radii R (n_z,) [Mpc/h]."""
    out: np.ndarray = _waves(power, radius, z) @ np.exp(-(LINE**2))
    return out


def third_moment(matter: LinearMatter, power: Power, radius: np.ndarray) -> np.ndarray:
    """Third moment [(Mpc/h)^2] by BiHalofit, (n_z,), at radii R (n_z,) [Mpc/h] for the redshifts of `matter`.

    int d^2k1 d^2k2 / (2 pi)^4 B(k1, k2, k3) exp(-(k1^2 + k2^2 + k3^2) R^2 / 2), k3 = |k1 + k2|: six times that over
    k1 > k2 > k3, in k1, k3 and the angle between the two.

    B is that of BiHalofit, but no more than MOST_REDUCED (P1 P2 + P2 P3 + P3 P1) with the non-linear `power`: the fit
    runs away from the simulations that it was made for, in empty and in dense universes. So a lognormal field of that
    power and third moment has a shift of 1 / MOST_REDUCED at least.
    """
    return third_moments(matter, power, radius)[0]


def third_moments(matter: LinearMatter, power: Power, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`third_moment`, and the same of BiHalofit as it is, (n_z,) each."""
    low, high = np.log(np.maximum(LOWEST_K, LOWEST / radius)), np.log(HIGHEST / radius)
    log_1, weight_1 = _between(low, high, SIDES)
    # k3 up to k1 / 2, and beyond, where the angle is bounded on both sides
    half, whole = log_1 - np.log(2), log_1
    parts = [_between(np.full_like(log_1, np.log(LOWEST_K / 4)), half, SHORTEST), _between(half, whole, LONGER)]
    log_3, weight_3 = (np.concatenate(both, axis=-1) for both in zip(*parts, strict=True))
    k1, k3 = np.broadcast_arrays(np.exp(log_1)[..., None], np.exp(log_3))
    ratio = k3 / k1
    first, last = np.arccos(-ratio / 2), np.arccos(np.maximum(-1.0, -0.5 / ratio))
    angle, weight_angle = _between(first, last, ANGLES)
    weight = (weight_1[..., None] * weight_3 * (k1 * k3) ** 2)[..., None] * weight_angle
    k1, k3 = (np.broadcast_to(k[..., None], angle.shape) for k in (k1, k3))
    k2 = np.sqrt(k1**2 + k3**2 + 2 * k1 * k3 * np.cos(angle))
    window = np.exp(-(k1**2 + k2**2 + k3**2) * radius[:, None, None, None] ** 2 / 2)
    p1, p2, p3 = (power(k, matter.z[:, None, None, None]) for k in (k1, k2, k3))
    free = bihalofit(k1, k2, k3, matter)
    held = np.minimum(free, MOST_REDUCED * (p1 * p2 + p2 * p3 + p3 * p1))
    share = 12 / (2 * np.pi) ** 3 * weight * window
    return np.sum(share * held, axis=(1, 2, 3)), np.sum(share * free, axis=(1, 2, 3))


def _between(low: np.ndarray, high: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes from `low` to `high` along a last axis of their own, and their weights."""
    x, w = np.polynomial.legendre.leggauss(count)
    half = (high - low)[..., None] / 2
    return low[..., None] + half * (1 + x), half * w


def lognormal_moments(power: Power, radius: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the third moment of a lognormal field of shift s is made of: P, Q (n_z,), [(Mpc/h)^2] and [(Mpc/h)^3].

    A lognormal field has <d1 d2 d3> = (x12 x13 + x12 x23 + x13 x23) / s + x12 x13 x23 / s^3 (Hilbert, Hartlap &
    Schneider 2011, A&A 536, A85, eq. 24). With its points distributed as the Gaussian of R says, the first sum becomes
    3 P and the second term Q: the third moment is 3 P / s + Q / s^3. For matter that is not in a sheet but has the
    thickness L, P has a factor 1 / L^2 and Q one of 1 / L^3.
    """
    waves = _waves(power, radius, z)
    coarse = COARSER * waves[:, ::COARSER]
    pairs = np.einsum("zi,ij,zj->z", coarse, _windows(), coarse)
    sides, share = triangles()
    correlation = waves @ _bessel()
    x = np.array([np.interp(np.log(sides), np.log(LAGS), one) for one in correlation])
    triples: np.ndarray = x.prod(axis=1) @ share
    return pairs, triples


def _waves(power: Power, radius: np.ndarray, z: np.ndarray) -> np.ndarray:
    """k dk / 2 pi P(k, z) [Mpc/h], (n_z, k), at wavenumbers LINE / R."""
    k = LINE / radius[:, None]
    out: np.ndarray = power(k, z[:, None]) * k**2 * np.log(LINE[1] / LINE[0]) / (2 * np.pi)
    return out


@cache
def _windows() -> np.ndarray:
    """Mean over directions of exp(-(k1^2 + k2^2 + k3^2) R^2 / 2): exp(-(k1^2 + k2^2) R^2) I_0(k1 k2 R^2)."""
    kr = LINE[::COARSER]
    product = np.outer(kr, kr)
    out: np.ndarray = np.exp(product - kr[:, None] ** 2 - kr**2) * ive(0, product)
    return out


@cache
def _bessel() -> np.ndarray:
    """Of each wave in the correlation at LAGS, (k, lags)."""
    phase = np.outer(LINE, LAGS)
    out: np.ndarray = j0(phase) * np.exp(-((BLUR * phase) ** 2))
    return out


@cache
def triangles() -> tuple[np.ndarray, np.ndarray]:
    """Sides (3, n) of triangles of three points, each normal with unit standard deviation along both axes; shares (n,).

    With u = x1 - x2 and v = x3 - (x1 + x2) / 2, which are independent, of variances 2 and 3 / 2 along each axis.
    """
    nodes, weights = np.polynomial.legendre.leggauss(24)
    # quantiles of u^2 / 4 and v^2 / 3, which are exponentially distributed; finer towards 0
    y, dy = (nodes + 1) / 2, weights / 2
    quantile, density = y**2, 2 * y * dy
    radius = -np.log1p(-quantile)
    angle = (np.arange(16) + 0.5) * np.pi / 16
    u, v, phi = np.meshgrid(2 * np.sqrt(radius), np.sqrt(3 * radius), angle, indexing="ij")
    share = density[:, None, None] * density[None, :, None] * np.full(16, 1 / 16)
    along = u * v * np.cos(phi)
    far, near = np.sqrt(v**2 + u**2 / 4 + along), np.sqrt(np.maximum(v**2 + u**2 / 4 - along, 0.0))
    return np.array([u.ravel(), far.ravel(), near.ravel()]), share.ravel()

"""Power, with aliasing, and third moment of pixel averages of a lognormal field (Hilbert et al. 2011, A&A 536, A85).

A pixel average holds modes beyond the Nyquist frequency, too: they are aliased to lower ones and add to their power.
Everything here is linear in C_ell, or a sum over points of one pixel, so that nothing finer than the pixel is
simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.special import j0

from cosmokeras.common.interpolation import log_bracket
from cosmokeras.sky.pixels import ARCMIN, pixel_window
from cosmokeras.sky.transfer import Sky

Shows = Literal["kappa", "shear"]
ALIASES = 3  # on each side along each axis; those beyond hold less than 0.3 % of a pixel's variance
PER_PIXEL = 4  # sub-pixels along the side of a pixel, for its third moment
NODES = 320  # of C_ell in ln ell
RADII = 40  # distances of points in a pixel that are not on a lattice
SAMPLE = 48  # points in such a pixel
REFERENCE = 100.0  # thickness [Mpc/h] at which the shift is 1
WINDOW = 20_000  # points for the mean window of such pixels


@dataclass(frozen=True)
class PixelAverage:
    """Pixel averages on an n x n periodic grid, from C_ell at the nodes `ell` (m,), linear between them in ln ell.

    `power` (modes, m) gives the power of the modes of a quadrant of the grid, (n // 2 + 1)^2 one after the other;
    `covariance` (lags, m) that of points in a pixel, and `lag` (s, s) which lag each pair of the s points has.
    """

    ell: np.ndarray
    power: sparse.csr_array | np.ndarray
    covariance: np.ndarray
    lag: np.ndarray

    def moments(self, c_ell: np.ndarray) -> np.ndarray:
        """Covariance matrices of the points in a pixel, (fields, s, s), of c_ell (fields, m)."""
        return (c_ell @ self.covariance.T)[:, self.lag]


@lru_cache(maxsize=1)  # a prediction asks for those of the maps again
def pixel_average(n: int, pixel: float, shows: Shows, lowest: float) -> PixelAverage:
    """Averages in square pixels of side `pixel` [rad] of an n x n grid, of modes from multipole `lowest` on.

    `shows` says of what: convergence, or shear from which convergence is made on that grid. Of a shear mode that is
    aliased from k + G, the part cos(2 (phi_{k+G} - phi_k)) looks like E mode at k (Kaiser & Squires 1993); the rest
    is B mode.
    """
    ell = nodes(pixel, lowest)

    def weight(qy: np.ndarray, qx: np.ndarray, ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
        window = np.sinc(qy * pixel / 2 / np.pi) * np.sinc(qx * pixel / 2 / np.pi)
        if shows == "shear":
            window *= np.cos(2 * (np.arctan2(qy, qx) - np.arctan2(ky, kx)))
        return window**2

    y, x = np.divmod(np.arange(PER_PIXEL**2), PER_PIXEL)
    distance = np.hypot(y[:, None] - y, x[:, None] - x) * pixel / PER_PIXEL
    radii, lag = np.unique(distance.round(12), return_inverse=True)
    covariance = covariance_weights(ell, radii, pixel / PER_PIXEL)
    power = aliased_power(n, pixel, ell, weight)
    return PixelAverage(ell=ell, power=power, covariance=covariance, lag=lag.reshape(distance.shape))


@lru_cache(maxsize=1)
def cut_average(n: int, pixel: float, nside: int, sky: Sky, lowest: float) -> PixelAverage:
    """The same for flat pixels that are cut out of a map of HEALPix averages, see `cosmokeras.sky.cut_signal`."""
    from cosmokeras.sky.cut_signal import excess_weights
    from cosmokeras.sky.transfer import signal_displacements

    pixel_arcmin = pixel / ARCMIN
    ell = nodes(pixel, lowest)
    points = signal_displacements(nside, pixel_arcmin, sky)
    few = points[:, :: max(1, points.shape[1] // WINDOW)]
    step = 2 * np.pi / (n * pixel)
    k = step * np.arange((2 * ALIASES + 1) * n // 2 + 1)  # one quadrant holds them all: the window is even
    window = (np.exp(1j * np.outer(k, few[1])) @ np.exp(1j * np.outer(few[0], k))).real / few.shape[1]

    def weight(qy: np.ndarray, qx: np.ndarray, *_: np.ndarray) -> np.ndarray:
        at_modes: np.ndarray = window[np.rint(np.abs(qy) / step).astype(int), np.rint(np.abs(qx) / step).astype(int)]
        return at_modes**2

    power = aliased_power(n, pixel, ell, weight).toarray() + excess_weights(n, ell, nside, pixel_arcmin, sky)
    chosen = points[:, np.random.default_rng(0).integers(0, points.shape[1], SAMPLE)]
    distance = np.hypot(*(chosen[:, :, None] - chosen[:, None]))
    radii = np.linspace(0.0, distance.max(), RADII)
    covariance = covariance_weights(ell, radii, pixel / PER_PIXEL)
    return PixelAverage(ell=ell, power=power, covariance=covariance, lag=np.rint(distance / radii[1]).astype(int))


def nodes(pixel: float, lowest: float) -> np.ndarray:
    """Multipoles from `lowest` to that of the highest mode that is aliased in."""
    return np.geomspace(lowest, 1.001 * (2 * ALIASES + 1) * np.pi / pixel * np.sqrt(2), NODES)


def aliased_power(n: int, pixel: float, ell: np.ndarray, weight: Callable[..., np.ndarray]) -> sparse.csr_array:
    """Weights (modes, m) of C_ell in the power of sampled modes; `weight` (qy, qx, ky, kx) is that of alias q in k."""
    one_way = 2 * np.pi * np.arange(n // 2 + 1) / (n * pixel)
    ky, kx = (axis.ravel() for axis in np.meshgrid(one_way, one_way, indexing="ij"))
    rows, total = np.arange(ky.size), sparse.csr_array((ky.size, ell.size))
    steps = 2 * np.pi / pixel * np.arange(-ALIASES, ALIASES + 1)
    for dy in steps:
        for dx in steps:
            part = weight(ky + dy, kx + dx, ky, kx)
            lower, above = log_bracket(np.hypot(ky + dy, kx + dx), ell)
            values = np.concatenate([part * (1 - above), part * above])
            where = np.concatenate([rows, rows]), np.concatenate([lower, lower + 1])
            total = total + sparse.csr_array((values, where), total.shape)
    return total


def covariance_weights(ell: np.ndarray, radii: np.ndarray, side: float) -> np.ndarray:
    """Weights (len(radii), m) of C_ell in int ell dell / 2 pi W^2 J_0(ell r) C_ell; W is that of squares of `side`."""
    # the Bessel function turns faster than the nodes lie: integrate on a finer grid, on which C_ell is interpolated
    fine = np.geomspace(ell[0], ell[-1], 16 * ell.size)
    measure = np.gradient(np.log(fine)) * fine**2 / (2 * np.pi) * pixel_window(fine, side) ** 2
    lower, fraction = log_bracket(fine, ell)
    out = np.zeros((len(radii), ell.size))
    for row, radius in zip(out, radii, strict=True):
        weight = measure * j0(fine * radius)
        np.add.at(row, lower, weight * (1 - fraction))
        np.add.at(row, lower + 1, weight * fraction)
    return out


def averaged_shift(moments: np.ndarray, variance: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Shifts of lognormal fields with the variance and the third moment that pixel averages of another one have.

    Parameters
    ----------
    moments : (fields, s, s), covariances of the sub-pixels of a pixel of a lognormal field
    variance : (fields,) of its pixel averages
    shift : (fields,) of that field

    A lognormal field of shift s has <d1 d2 d3> = (x12 x13 + x12 x23 + x13 x23) / s + x12 x13 x23 / s^3 (Hilbert,
    Hartlap & Schneider 2011, A&A 536, A85, eq. 24); averaged over three points in the pixel that is the third moment T,
    and the shift a of the averages solves 3 V^2 / a + V^3 / a^3 = T.
    """
    count = moments.shape[-1]
    pairs = np.mean(moments.mean(axis=2) ** 2, axis=1)
    triples = np.einsum("fij,fjk,fki->f", moments, moments, moments, optimize=True) / count**3
    scale = variance / moments.mean(axis=(1, 2))  # the grid's sum over modes and the integral differ a little
    third = scale**2 * 3 * pairs / shift + scale**3 * triples / shift**3
    target = third / variance**2
    # 3 / a + V / a^3 falls with a: Newton in u = 1 / a, where it is convex and rises, comes from above
    u = 1 / np.array(shift, float)
    for _ in range(40):
        u = u - (3 * u + variance * u**3 - target) / (3 + 3 * variance * u**2)
    return 1 / u


def third_moment_shift(variance: np.ndarray, thickness: float) -> np.ndarray:
    """Lognormal shifts with which shells have the skewness parameter of REFERENCE shells of shift 1.

    With shift s the third moment is V^3 / s^3 + 3 V^2 / s; the root of 3 / s + V / s^3 = 3 + V thickness / REFERENCE.
    """
    target = 3 + variance * thickness / REFERENCE
    shift = np.ones_like(variance)
    for _ in range(30):  # Newton: quadratic once close, and the function is convex beyond its only positive root
        shift = shift - (target * shift**3 - 3 * shift**2 - variance) / (3 * target * shift**2 - 6 * shift)
    return shift

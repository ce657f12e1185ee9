"""Noise covariance of flat patches of band-limited Kaiser-Squires maps (Kaiser & Squires 1993, ApJ 404, 441).

Shear noise that is white from one HEALPix pixel to the next has the same power at every multipole. The inversion keeps
the multipoles up to its lmax and no more: the noise of kappa is correlated between pixels, white below lmax and empty
above. The cutter then samples it at the centres of HEALPix pixels: most of it passes by a mean transfer function, as a
signal does, and the rest is aliased to all modes. Both are measured on the cutter itself, as in `transfer`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from cosmokeras.common.kept import kept
from cosmokeras.sky.patches import SUBPIXELS, sub_points, tangent_frame, tangent_grid
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.sky.transfer import POINTINGS, WHOLE_SKY, Sky, by_pixel, overlaps, pointing_count, pointings

SPAN = 9  # flat pixels along a side of each sample
FINE = 4  # sub-steps of a mode over which the edge at lmax is averaged
CORRELATION_STEPS = 4096  # of its table


@cache
def _correlation_table() -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import j1

    x = np.linspace(0.0, 60.0, CORRELATION_STEPS)
    return x, np.concatenate([[1.0], 2 * j1(x[1:]) / x[1:]])


def band_correlation(x: np.ndarray) -> np.ndarray:
    """Correlation 2 J1(x) / x of a field that is white up to lmax, at x = lmax times the angle; 0 beyond x = 60."""
    return np.interp(x, *_correlation_table(), right=0.0)


def _pixel_weights(nside: int, grid: np.ndarray, ra: float, dec: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, overlaps, 3) and weights (n, overlaps) of the HEALPix pixels in each flat pixel of a patch."""
    import healpy

    pixels, counts = overlaps(by_pixel(sub_points(nside, grid, ra, dec), size))
    return np.stack(healpy.pix2vec(nside, pixels), axis=-1), counts / SUBPIXELS**2


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Chords between unit vectors."""
    return np.sqrt(np.maximum(2 - 2 * np.sum(a * b, axis=-1), 0.0))


@kept
def band_variance(nside: int, lmax: int, pixel_arcmin: float, size: int, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Variance of the flat pixels of patches at many pointings, (pointings, size, size) float32.

    Over that of the field in a point: below 1, since a flat pixel is a mean over several HEALPix pixels.
    """
    grid = tangent_grid(size * pixel_arcmin * ARCMIN, size * SUBPIXELS)
    variances = []
    for ra, dec in pointings(sky, pointing_count(size)):
        vectors, weights = _pixel_weights(nside, grid, ra, dec, size)
        variance = np.sum(weights**2, axis=1)
        for i in range(weights.shape[1]):
            for j in range(i):
                correlation = band_correlation(lmax * _distance(vectors[:, i], vectors[:, j]))
                variance += 2 * weights[:, i] * weights[:, j] * correlation
        variances.append(variance.reshape(size, size).astype(np.float32))
    return np.stack(variances)


@kept
def band_covariance(nside: int, lmax: int, pixel_arcmin: float, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Mean covariance of flat pixels at lags up to +-4 along both axes, (9, 9), in units as in `band_variance`."""
    grid = tangent_grid(SPAN * pixel_arcmin * ARCMIN, SPAN * SUBPIXELS)
    middle, covariance = SPAN * SPAN // 2, np.zeros(SPAN * SPAN)
    for ra, dec in pointings(sky, POINTINGS):
        vectors, weights = _pixel_weights(nside, grid, ra, dec, SPAN)
        for vector, weight in zip(vectors[middle], weights[middle], strict=True):
            if weight > 0:
                covariance += weight * np.sum(weights * band_correlation(lmax * _distance(vectors, vector)), axis=1)
    covariance = covariance.reshape(SPAN, SPAN) / POINTINGS
    return (covariance + covariance[::-1, ::-1]) / 2  # no direction of the lag is preferred on average


@cache
def _centre_displacements(nside: int, pixel_arcmin: float, sky: Sky) -> np.ndarray:
    """Centres of the HEALPix pixels that a flat pixel is sampled at, (2, n) [rad] from its centre, west and north."""
    import healpy

    grid = tangent_grid(pixel_arcmin * ARCMIN, SUBPIXELS)
    displacements = []
    for ra, dec in pointings(sky, POINTINGS // 4):
        vectors = np.array(healpy.pix2vec(nside, sub_points(nside, grid, ra, dec)))
        outwards, west, north = tangent_frame(ra, dec)
        displacements.append(np.stack([west @ vectors, north @ vectors]) / (outwards @ vectors))
    return np.concatenate(displacements, axis=1)


def _coherent(nside: int, lmax: int, pixel_arcmin: float, n: int, sky: Sky) -> np.ndarray:
    """Power that passes by the mean transfer function, on n x n modes in fft2 order, aliases included."""
    folds = int(np.ceil(lmax * pixel_arcmin * ARCMIN / (2 * np.pi) + 0.5))
    steps = np.arange(-folds * n * FINE, folds * n * FINE) + 0.5
    k = steps * (2 * np.pi / (n * FINE * pixel_arcmin * ARCMIN))
    k = k[np.abs(k) <= lmax]
    x, y = _centre_displacements(nside, pixel_arcmin, sky)
    transfer = np.abs(np.exp(1j * np.outer(k, y)) @ np.exp(1j * np.outer(x, k)) / x.size) ** 2
    transfer *= np.hypot(k[:, None], k) <= lmax
    mode = np.round(k * (n * pixel_arcmin * ARCMIN) / (2 * np.pi)).astype(int) % n
    power = np.zeros((n, n))
    np.add.at(power, (mode[:, None], mode[None]), transfer / FINE**2)
    return power


@kept
def band_power(nside: int, lmax: int, pixel_arcmin: float, n: int, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Mean power of the noise of flat pixels, n x n modes in fft2 order, over that of white noise of their area."""
    area = (pixel_arcmin * ARCMIN) ** 2 * lmax**2 / (4 * np.pi)  # of a flat pixel, in modes up to lmax
    coherent = _coherent(nside, lmax, pixel_arcmin, n, sky)
    steps = np.arange(SPAN) - SPAN // 2
    near = np.ix_(steps, steps)
    lags = np.zeros((n, n))
    lags[near] = area * band_covariance(nside, lmax, pixel_arcmin, sky) - np.fft.ifft2(coherent).real[near]
    return np.maximum(coherent + np.fft.fft2(lags).real, 0.0)

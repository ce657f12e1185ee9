"""What cutting a flat patch out of a HEALPix map does to its signal and to its noise, measured on the cutter itself.

HEALPix pixels are rhombs of many shapes, and turned against the patch in another way at each latitude: no formula for
square pixels is good to the per cent of the noise power that a weak signal needs. So the geometry is sampled: which
HEALPix pixels the sub-points of neighbouring flat pixels fall into, at many places of the sky.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from cosmokeras.pixels import ARCMIN
from cosmokeras.surveys.patches import SUBPIXELS, sub_points, tangent_grid

PLACES = 1500  # places of the sky; the noise variance comes out to 0.1 %
SPAN = 9  # flat pixels along a side of each sample


@cache
def noise_covariance(nside: int, pixel_arcmin: float) -> np.ndarray:
    """Covariance of the noise of flat pixels at lags up to +-4 along both axes, (9, 9), lag 0 in the middle.

    For noise that is white from one HEALPix pixel to the next, in units of its variance in the area of a flat pixel.
    """
    import healpy

    side = pixel_arcmin * ARCMIN
    area_ratio = side**2 / healpy.nside2pixarea(nside)
    covariance = np.zeros((SPAN, SPAN))
    cells = (SPAN, SUBPIXELS, SPAN, SUBPIXELS)
    middle = SPAN // 2
    grid = tangent_grid(SPAN * side, SPAN * SUBPIXELS)
    for ra, dec in _places():
        pixels = sub_points(nside, grid, ra, dec).reshape(cells).transpose(0, 2, 1, 3).reshape(SPAN, SPAN, -1)
        # parts of each flat pixel that two flat pixels take from the same HEALPix pixel
        centre, counts = np.unique(pixels[middle, middle], return_counts=True)
        shared = (pixels[..., None] == centre).sum(axis=2)
        covariance += shared @ counts
    covariance *= area_ratio / SUBPIXELS**4 / PLACES
    # no direction of the lag is preferred on average
    return (covariance + covariance[::-1, ::-1]) / 2


@cache
def signal_displacements(nside: int, pixel_arcmin: float) -> np.ndarray:
    """Where the signal in a flat pixel comes from, (2, n) [rad] from its centre: x to the west, y to the north.

    A sub-point takes the value of a HEALPix pixel, which is an average over all of that pixel.
    """
    import healpy

    rng = np.random.default_rng(0)
    grid = tangent_grid(pixel_arcmin * ARCMIN, SUBPIXELS)
    found = []
    for ra, dec in _places():
        pixels = np.repeat(sub_points(nside, grid, ra, dec), 8)
        inside = healpy.ring2nest(nside, pixels) * 256 + rng.integers(0, 256, pixels.size)
        there = np.array(healpy.pix2vec(16 * nside, inside, nest=True))
        centre = healpy.ang2vec(ra, dec, lonlat=True)
        a, d = np.radians(ra), np.radians(dec)
        west = np.array([np.sin(a), -np.cos(a), 0.0])
        north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
        found.append(np.stack([west @ there, north @ there]) / (centre @ there))
    return np.concatenate(found, axis=1)


def _places() -> list[tuple[float, float]]:
    """Evenly spread places (ra, dec) [deg], by the golden angle."""
    i = np.arange(PLACES)
    dec = np.degrees(np.arcsin(2 * (i + 0.5) / PLACES - 1))
    return list(zip((i * 137.50776405) % 360.0, dec, strict=True))


def cutting_transfers(nside: int, pixel_arcmin: float, size: int, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Transfer of the signal and amplitude of the noise of a patch of `size` pixels, on n x n modes in fft2 order."""
    k = 2 * np.pi * np.fft.fftfreq(n, pixel_arcmin * ARCMIN)
    x, y = signal_displacements(nside, pixel_arcmin)
    # the average of exp(i k.d) factorises into sums over points; its imaginary part is a sampling error
    signal = (np.exp(1j * np.outer(k, y)) @ np.exp(1j * np.outer(x, k))).real / x.size
    lags = np.zeros((n, n))
    covariance, half = noise_covariance(nside, pixel_arcmin), SPAN // 2
    steps = np.arange(-half, half + 1)
    lags[np.ix_(steps, steps)] = covariance
    # away from the point of tangency a pixel sees less sky, by cos^3 of the distance, and has more noise
    tangent = tangent_grid(size * pixel_arcmin * ARCMIN, size)
    crowding = np.mean((1 + np.sum(tangent**2, axis=0)) ** 1.5)
    return signal, np.sqrt(np.maximum(np.fft.fft2(lags).real, 0.0) * crowding)

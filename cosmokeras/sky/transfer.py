"""What cutting a flat patch out of a HEALPix map does to its signal and to its noise, measured on the cutter itself.

HEALPix pixels are rhombs of many shapes, and turned against the patch in another way at each latitude: no formula for
square pixels is good to the per cent of the noise power that a weak signal needs. So the geometry is sampled: which
HEALPix pixels the sub-points of flat pixels fall into, at many places of the sky.

The signal is smooth: the mean of the cutter, and what folds into it (`cosmokeras.sky.cut_signal`), do for it. The
noise is not: the grids of the two kinds of pixels beat, and the variance of flat pixels and their correlation come in
stripes. A network takes the stripes for structure: with stationary noise of the same power the mean estimate of Omega_m
from DES-like patches was off by 0.005. So noise is drawn in HEALPix pixels and put through the geometry of a place.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from cosmokeras.sky.footprint import SMALL
from cosmokeras.sky.patches import SUBPIXELS, sub_points, tangent_frame, tangent_grid
from cosmokeras.sky.pixels import ARCMIN

PLACES = 1500  # places of the sky for averages; the noise variance comes out to 0.1 %
GEOMETRIES = 2**20  # flat pixels whose geometry is kept for drawing noise: 256 patches of 64 x 64, never more patches
SPAN = 9  # flat pixels along a side of each sample
WHOLE_SKY = ((0.0, 360.0, -90.0, 90.0),)

Sky = tuple[tuple[float, float, float, float], ...]


def places(sky: Sky, count: int) -> list[tuple[float, float]]:
    """Evenly spread places (ra, dec) [deg] in boxes (RA from, to, Dec from, to) [deg], by the golden angle."""
    west, east, south, north = np.radians(sky).T
    low, high = np.sin(south), np.sin(north)
    areas = (east - west) * (high - low)
    ends = np.cumsum(areas) / areas.sum()
    i = np.arange(count)
    along = (i + 0.5) / count
    box = np.searchsorted(ends, along)
    within = (along - (ends - areas / areas.sum())[box]) / (areas / areas.sum())[box]
    dec = np.degrees(np.arcsin(low[box] + (high - low)[box] * within))
    ra = np.degrees(west[box] + (east - west)[box] * ((i * 0.38196601125) % 1.0)) % 360.0
    return list(zip(ra.tolist(), dec.tolist(), strict=True))


def place_count(size: int) -> int:
    """Places whose geometry is kept for patches of `size` pixels."""
    return min(max(GEOMETRIES // size**2, 16), 256)


@cache
def noise_geometry(nside: int, pixel_arcmin: float, size: int, sky: Sky = WHOLE_SKY) -> tuple[np.ndarray, np.ndarray]:
    """How flat pixels of patches at many places are averages of HEALPix pixels.

    Returns
    -------
    pixels : (places, size^2, overlaps) int32, numbers of HEALPix pixels, counted afresh from 0 in each patch
    parts : of the same shape, float16, the part of the flat pixel that each takes; they add up to 1
    """
    grid = tangent_grid(size * pixel_arcmin * ARCMIN, size * SUBPIXELS)
    found = []
    for ra, dec in places(sky, place_count(size)):
        below = np.unique(sub_points(nside, grid, ra, dec), return_inverse=True)[1].astype(np.int32)
        found.append(overlaps(by_pixel(below, size)))
    most = max(pixels.shape[1] for pixels, _ in found)
    wide = [[np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in pair] for pair in found]
    pixels, counts = (np.stack(column) for column in zip(*wide, strict=True))
    return pixels, (counts / SUBPIXELS**2).astype(np.float16)


def by_pixel(below: np.ndarray, size: int) -> np.ndarray:
    """Sub-points (size SUBPIXELS)^2 as rows of flat pixels, (size^2, SUBPIXELS^2)."""
    cells = below.reshape(size, SUBPIXELS, size, SUBPIXELS)
    return cells.transpose(0, 2, 1, 3).reshape(size * size, -1)


def overlaps(below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The HEALPix pixels in each row of sub-points, and how many of the row each has, (rows, overlaps) both.

    Rows with fewer pixels than others name their first again, with 0 sub-points.
    """
    below = np.sort(below, axis=1)
    rows = np.arange(len(below))[:, None]
    slot = np.cumsum(np.diff(below, axis=1, prepend=below[:, :1]) > 0, axis=1)
    pixels = np.repeat(below[:, :1], slot.max() + 1, axis=1)
    counts = np.zeros_like(pixels)
    pixels[rows, slot] = below
    np.add.at(counts, (rows, slot), 1)
    return pixels, counts


@cache
def noise_boost(nside: int, pixel_arcmin: float, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Noise of partly observed flat pixels over that of whole ones, for 0, 1, ... 16 observed sub-points, (17,).

    Masks hide HEALPix pixels as a whole, here those with centres in star holes at random. Losing a small part costs
    more than 1 / sqrt(coverage), as what is left weighs the HEALPix pixels less evenly. 1 where nothing is left.
    """
    import healpy

    rng = np.random.default_rng(0)
    side = pixel_arcmin * ARCMIN
    grid = tangent_grid(side, SUBPIXELS)
    total, number = np.zeros((2, SUBPIXELS**2 + 1))
    for ra, dec in places(sky, PLACES):
        below, counts = np.unique(sub_points(nside, grid, ra, dec), return_counts=True)
        outwards, west, north = tangent_frame(ra, dec)
        there = np.array(healpy.pix2vec(nside, below))
        centres = np.stack([west @ there, north @ there]) / (outwards @ there)
        radius = rng.uniform(*SMALL, (256, 1)) * ARCMIN
        holes = rng.uniform(-1, 1, (2, 256, 1)) * (side + radius)
        kept = counts * (np.hypot(*(centres[:, None] - holes)) > radius)
        hits = kept.sum(axis=1)
        np.add.at(total, hits, np.sum(kept**2, axis=1) / np.maximum(hits, 1) ** 2)
        np.add.at(number, hits, 1)
    mean = total / np.maximum(number, 1)
    known = np.flatnonzero(mean)
    mean = np.interp(np.arange(mean.size), known, mean[known])
    boost = np.sqrt(mean / mean[-1])
    boost[0] = 1.0
    return boost


@cache
def noise_covariance(nside: int, pixel_arcmin: float, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Mean covariance of the noise of flat pixels at lags up to +-4 along both axes, (9, 9), lag 0 in the middle.

    For noise that is white from one HEALPix pixel to the next, in units of its variance in the area of a flat pixel.
    """
    import healpy

    side = pixel_arcmin * ARCMIN
    area_ratio = side**2 / healpy.nside2pixarea(nside)
    covariance = np.zeros((SPAN, SPAN))
    cells = (SPAN, SUBPIXELS, SPAN, SUBPIXELS)
    middle = SPAN // 2
    grid = tangent_grid(SPAN * side, SPAN * SUBPIXELS)
    for ra, dec in places(sky, PLACES):
        pixels = sub_points(nside, grid, ra, dec).reshape(cells).transpose(0, 2, 1, 3).reshape(SPAN, SPAN, -1)
        # parts of each flat pixel that two flat pixels take from the same HEALPix pixel
        centre, counts = np.unique(pixels[middle, middle], return_counts=True)
        shared = (pixels[..., None] == centre).sum(axis=2)
        covariance += shared @ counts
    covariance *= area_ratio / SUBPIXELS**4 / PLACES
    # no direction of the lag is preferred on average
    return (covariance + covariance[::-1, ::-1]) / 2


@cache
def signal_displacements(nside: int, pixel_arcmin: float, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Where the signal in a flat pixel comes from, (2, n) [rad] from its centre: x to the west, y to the north.

    A sub-point takes the value of a HEALPix pixel, which is an average over all of that pixel.
    """
    import healpy

    rng = np.random.default_rng(0)
    grid = tangent_grid(pixel_arcmin * ARCMIN, SUBPIXELS)
    found = []
    for ra, dec in places(sky, PLACES):
        pixels = np.repeat(sub_points(nside, grid, ra, dec), 8)
        inside = healpy.ring2nest(nside, pixels) * 256 + rng.integers(0, 256, pixels.size)
        there = np.array(healpy.pix2vec(16 * nside, inside, nest=True))
        outwards, west, north = tangent_frame(ra, dec)
        found.append(np.stack([west @ there, north @ there]) / (outwards @ there))
    return np.concatenate(found, axis=1)


def noise_amplitude(nside: int, pixel_arcmin: float, size: int, n: int = 64, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Mean amplitude of the noise of a patch of `size` pixels, over white noise in flat pixels; (n, n), fft2 order."""
    lags = np.zeros((n, n))
    covariance, half = noise_covariance(nside, pixel_arcmin, sky), SPAN // 2
    steps = np.arange(-half, half + 1)
    lags[np.ix_(steps, steps)] = covariance
    # away from the point of tangency a pixel sees less sky, by cos^3 of the distance, and has more noise
    tangent = tangent_grid(size * pixel_arcmin * ARCMIN, size)
    crowding = np.mean((1 + np.sum(tangent**2, axis=0)) ** 1.5)
    return np.sqrt(np.maximum(np.fft.fft2(lags).real, 0.0) * crowding)

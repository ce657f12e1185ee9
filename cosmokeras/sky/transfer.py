"""Transfer function and noise covariance of flat patches cut out of HEALPix maps (Gorski et al. 2005, ApJ 622, 759).

HEALPix pixels are rhombs of many shapes, and turned against the patch in another way at each latitude: no formula for
square pixels is good to the per cent of the noise power that a weak signal needs. So the resampling is measured by
Monte Carlo, at many pointings: which HEALPix pixels the sub-points of flat pixels fall into.

The signal is smooth: the mean transfer function, and what is aliased into it (`cosmokeras.sky.cut_signal`), do for it.
The noise is not: the two pixel grids make a moire pattern, in which the variance of flat pixels and their correlation
vary over the patch. A network takes the pattern for structure: with stationary noise of the same power the mean
estimate of Omega_m from DES-like patches was off by 0.005. So noise is drawn in HEALPix pixels and resampled at one
pointing.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.common.kept import kept
from cosmokeras.sky.footprint import SMALL
from cosmokeras.sky.patches import SUBPIXELS, sub_points, tangent_frame, tangent_grid
from cosmokeras.sky.pixels import ARCMIN

POINTINGS = 1500  # on the sky, for averages; the noise variance comes out to 0.1 %
# Flat pixels whose geometry is kept for drawing noise: 256 patches of 64 x 64 pixels, never more patches. With 6
# HEALPix pixels to a flat one (NSIDE 1024, 5 arcmin: the last axis of `noise_geometry`), 4 bytes each for number and
# weight: 50 MB
GEOMETRY_PIXELS = 2**20
SPAN = 9  # flat pixels along a side of each sample
WHOLE_SKY = ((0.0, 360.0, -90.0, 90.0),)

Sky = tuple[tuple[float, float, float, float], ...]


def pointings(sky: Sky, count: int) -> list[tuple[float, float]]:
    """Evenly spread pointings (ra, dec) [deg] in boxes (RA from, to, Dec from, to) [deg], by the golden angle.

    A spherical Fibonacci lattice (Gonzalez 2010, Math. Geosci. 42, 49): even in area, golden-ratio steps in RA.
    """
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


def pointing_count(size: int) -> int:
    """Pointings whose geometry is kept for patches of `size` pixels."""
    return min(max(GEOMETRY_PIXELS // size**2, 16), 256)


@kept
def noise_geometry(nside: int, pixel_arcmin: float, size: int, sky: Sky = WHOLE_SKY) -> tuple[np.ndarray, np.ndarray]:
    """How flat pixels of patches at many pointings are averages of HEALPix pixels.

    Returns
    -------
    pixels : (pointings, size^2, overlaps) int32, numbers of HEALPix pixels, counted afresh from 0 in each patch
    weights : of the same shape, float16, the part of the flat pixel that each covers; they add up to 1
    """
    grid = tangent_grid(size * pixel_arcmin * ARCMIN, size * SUBPIXELS)
    pairs = []
    for ra, dec in pointings(sky, pointing_count(size)):
        below = np.unique(sub_points(nside, grid, ra, dec), return_inverse=True)[1].astype(np.int32)
        pairs.append(overlaps(by_pixel(below, size)))
    most = max(pixels.shape[1] for pixels, _ in pairs)
    padded = [[np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in pair] for pair in pairs]
    pixels, counts = (np.stack(column) for column in zip(*padded, strict=True))
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


@kept
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
    for ra, dec in pointings(sky, POINTINGS):
        below, counts = np.unique(sub_points(nside, grid, ra, dec), return_counts=True)
        outwards, west, north = tangent_frame(ra, dec)
        vectors = np.array(healpy.pix2vec(nside, below))
        centres = np.stack([west @ vectors, north @ vectors]) / (outwards @ vectors)
        radius = rng.uniform(*SMALL, (256, 1)) * ARCMIN
        holes = rng.uniform(-1, 1, (2, 256, 1)) * (side + radius)
        kept = counts * (np.hypot(*(centres[:, None] - holes)) > radius)
        hits = kept.sum(axis=1)
        np.add.at(total, hits, np.sum(kept**2, axis=1) / np.maximum(hits, 1) ** 2)
        np.add.at(number, hits, 1)
    mean = total / np.maximum(number, 1)
    sampled = np.flatnonzero(mean)
    mean = np.interp(np.arange(mean.size), sampled, mean[sampled])
    boost = np.sqrt(mean / mean[-1])
    boost[0] = 1.0
    return boost


@kept
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
    for ra, dec in pointings(sky, POINTINGS):
        pixels = sub_points(nside, grid, ra, dec).reshape(cells).transpose(0, 2, 1, 3).reshape(SPAN, SPAN, -1)
        # sub-points of two flat pixels that share a HEALPix pixel
        centre, counts = np.unique(pixels[middle, middle], return_counts=True)
        shared = (pixels[..., None] == centre).sum(axis=2)
        covariance += shared @ counts
    covariance *= area_ratio / SUBPIXELS**4 / POINTINGS
    # no direction of the lag is preferred on average
    return (covariance + covariance[::-1, ::-1]) / 2


@kept
def signal_displacements(nside: int, pixel_arcmin: float, sky: Sky = WHOLE_SKY) -> np.ndarray:
    """Where the signal in a flat pixel comes from, (2, n) [rad] from its centre: x to the west, y to the north.

    A sub-point takes the value of a HEALPix pixel, which is an average over all of that pixel.
    """
    import healpy

    rng = np.random.default_rng(0)
    grid = tangent_grid(pixel_arcmin * ARCMIN, SUBPIXELS)
    displacements = []
    for ra, dec in pointings(sky, POINTINGS):
        pixels = np.repeat(sub_points(nside, grid, ra, dec), 8)
        inside = healpy.ring2nest(nside, pixels) * 256 + rng.integers(0, 256, pixels.size)
        vectors = np.array(healpy.pix2vec(16 * nside, inside, nest=True))
        outwards, west, north = tangent_frame(ra, dec)
        displacements.append(np.stack([west @ vectors, north @ vectors]) / (outwards @ vectors))
    return np.concatenate(displacements, axis=1)


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

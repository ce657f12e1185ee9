"""Square flat-sky patches out of HEALPix maps (Gorski et al. 2005, ApJ 622, 759), by gnomonic projection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.sky.pixels import USED
from cosmokeras.sky.sky_maps import SkyMaps

# A tangent plane is no flat sky beyond: at r [rad] from its centre a pixel sees (1 + r^2)^(-3/2) of the area of the
# central one, 18 % less in the corners of 30 deg (r = 0.37)
MAX_SIDE_DEG = 30.0
SUBPIXELS = 4  # sub-points along each side of a flat pixel
# Pixels around a patch whose masked shear counts in its convergence. Holes further away change the noise inside by 2.9
# % of its rms, 0.1 % of its variance (without a margin: 10 %); `python -m study.masked_inversion --skies 6`, where 12 %
# of the area is masked.
MARGIN = 16
UNSEEN_LIMIT = 1e20  # HEALPix marks missing pixels with -1.6375e30


class Patches(NamedTuple):
    """Patches of sky; `ra` and `dec` [deg] of their centres."""

    maps: np.ndarray  # (n, size, size, channels) float32
    coverage: np.ndarray  # (n, size, size) float32, observed fraction of each pixel
    ra: np.ndarray  # (n,)
    dec: np.ndarray  # (n,)


def cut_patches(
    healpix_map: np.ndarray,
    mask: np.ndarray,
    size: int = 64,
    pixel_arcmin: float = 5.0,
    max_masked: float = 0.1,
) -> Patches:
    """Cut a HEALPix map into patches that do not overlap, by gnomonic (tangent-plane) projection.

    Each flat pixel is the mean of the HEALPix pixels under 4 x 4 sub-points, unmasked ones only, so that its window is
    pixel_window(ell, a) / pixel_window(ell, a / 4), times that of the HEALPix pixel. Orientation: rows
    (axis 1) grow to the north, columns (axis 2) to the west, so that RA grows to the left with `origin="lower"`. Values
    are taken as they are, which is right for convergence and counts; for shear see `shear_patches.cut_shear_patches`.

    Patches stand in rows of declination, each row in a band of its own; along a row they are placed greedily from the
    edge of the footprint, so the tiling depends on `mask`, `size`, `pixel_arcmin` and `max_masked` alone.

    Parameters
    ----------
    healpix_map : (npix,) or (channels, npix), full sky, RING order, celestial coordinates
    mask : (npix,) True (1) where observed
    size : pixels along a side
    pixel_arcmin : side of a flat pixel [arcmin]
    max_masked : patches with more than this fraction of pixels of coverage < 0.5 are dropped

    Returns
    -------
    Patches, from south to north; there may be none
    """
    sky = SkyMaps.inside(*_checked(healpix_map, mask, size, pixel_arcmin, max_masked))
    return cut(sky, size, pixel_arcmin, max_masked)


def cut(sky: SkyMaps, size: int, pixel_arcmin: float, max_masked: float) -> Patches:
    """`cut_patches` of maps that hold their observed pixels alone, all finite."""
    import healpy

    nside = sky.nside
    side = math.radians(size * pixel_arcmin / 60.0)
    points = tangent_grid(side, size * SUBPIXELS)
    # A patch with a fraction m of pixels under half coverage has at most m + (1 - m) / 2 of its area masked, so this
    # cheap estimate from 16 x 16 points, with a margin for its error, drops no patch that the full one would keep.
    coarse_points, coarse_limit = tangent_grid(side, 16), 0.5 + 0.5 * max_masked + 0.1

    accepted = []
    sky_ra, sky_dec = healpy.pix2ang(nside, sky.pixels, lonlat=True)
    for dec, south, north in _rows(side, sky_dec.min(), sky_dec.max()):
        occupied = sky_ra[(sky_dec >= south) & (sky_dec <= north)]
        if occupied.size == 0:
            continue
        width = 2 * _half_width(math.radians(dec), side)  # [deg] of RA
        start = _after_largest_gap(occupied)
        ra, end = start + width / 2, start + 360.0 - width / 2
        while ra <= end + 1e-9:
            if 1.0 - sky.seen(sub_points(nside, coarse_points, ra, dec)).mean() <= coarse_limit:
                patch, coverage = average(*sky.at(sub_points(nside, points, ra, dec)), size)
                if np.mean(coverage < USED) <= max_masked:
                    accepted.append((patch, coverage, ra % 360.0, dec))
                    ra += width
                    continue
            ra += width / 4
    if not accepted:
        shape = (0, size, size)
        none = np.zeros((*shape, len(sky.values)), np.float32)
        return Patches(none, np.zeros(shape, np.float32), np.zeros(0), np.zeros(0))
    patches, coverages, right_ascensions, declinations = (np.stack(column) for column in zip(*accepted, strict=True))
    return Patches(maps=patches, coverage=coverages, ra=right_ascensions, dec=declinations)


def _checked(
    healpix_map: np.ndarray, mask: np.ndarray, size: int, pixel_arcmin: float, max_masked: float
) -> tuple[np.ndarray, np.ndarray]:
    """Map as (channels, npix), mask as (npix,) bool, after every check that needs no projection."""
    import healpy

    # what healpy.ma hides is found below, where the mask does not hide it too
    plain = healpix_map.data if isinstance(healpix_map, np.ma.MaskedArray) else healpix_map
    maps, mask = np.atleast_2d(arguments.real("healpix_map", plain)), arguments.real("mask", mask, mask=True)
    size = arguments.whole("size", size, 1)
    pixel_arcmin = arguments.number("pixel_arcmin", pixel_arcmin, 0.0, above=True)
    max_masked = arguments.number("max_masked", max_masked, 0.0, 1.0)
    if size * pixel_arcmin / 60.0 > MAX_SIDE_DEG:
        msg = (
            f"size={size} x pixel_arcmin={pixel_arcmin} = {size * pixel_arcmin / 60:.1f} deg: patch larger than the "
            f"sphere allows; at most {MAX_SIDE_DEG:.0f} deg"
        )
        raise UserError(msg)
    if maps.ndim != 2 or not healpy.isnpixok(maps.shape[1]):
        raise UserError(f"map of shape {np.shape(healpix_map)} is not HEALPix: its length must be 12 nside^2")
    if mask.ndim != 1 or not healpy.isnpixok(mask.size):
        raise UserError(f"mask of shape {mask.shape} is not HEALPix: it must be one array of length 12 nside^2")
    if mask.size != maps.shape[1]:
        got, want = healpy.npix2nside(mask.size), healpy.npix2nside(maps.shape[1])
        raise UserError(f"mask has NSIDE {got}, the map has NSIDE {want}; give a mask of NSIDE {want}")
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise UserError("mask must be True/False or 1/0 (1 = observed); threshold a map of fractions first")
    mask = mask.astype(bool)
    if not mask.any():
        raise UserError("mask is empty: no pixel is marked as observed (1)")
    bad = np.zeros(mask.size, dtype=bool)
    for one in maps:
        # a comparison with NaN is False, so this catches NaN, infinities and UNSEEN in one pass
        bad |= ~(np.abs(one) < UNSEEN_LIMIT)
    bad &= mask
    if bad.any():
        msg = (
            f"map holds NaN or UNSEEN in {np.count_nonzero(bad)} pixels inside the mask "
            f"(first: pixel {int(bad.argmax())}); take them out of the mask"
        )
        raise UserError(msg)
    return maps, mask


def tangent_grid(side: float, n: int) -> np.ndarray:
    """Centres of n x n cells of a square of tangent plane, (2, n * n): x to the west, y to the north [radians]."""
    centres = ((np.arange(n) + 0.5) / n - 0.5) * side
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x.ravel(), y.ravel()])


def tangent_frame(ra: float, dec: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors at (ra, dec) [deg]: outwards, to the west and to the north.

    Examples
    --------
    At the vernal equinox the west is where right ascensions are just below 360 degrees:

    >>> outwards, west, north = tangent_frame(0.0, 0.0)
    >>> outwards.tolist(), west.tolist(), north.tolist()
    ([1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [-0.0, -0.0, 1.0])
    """
    a, d = math.radians(ra), math.radians(dec)
    outwards = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    west = np.array([math.sin(a), -math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    return outwards, west, north


def sub_points(nside: int, points: np.ndarray, ra: float, dec: float) -> np.ndarray:
    """HEALPix pixels (RING) under `points` of the plane that touches the sphere at (ra, dec) [deg]."""
    import healpy

    centre, west, north = tangent_frame(ra, dec)
    # a gnomonic point lies on the ray through its place in the tangent plane; vec2pix needs no unit vectors
    vectors = centre[:, None] + west[:, None] * points[0] + north[:, None] * points[1]
    return healpy.vec2pix(nside, *vectors)


def average(values: np.ndarray, seen: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over the observed sub-points of each flat pixel: (size, size, channels) and coverage (size, size).

    `values` (channels, points) count where `seen` (points,) is True.
    """
    cells = (size, SUBPIXELS, size, SUBPIXELS)
    hits = seen.reshape(cells).sum(axis=(1, 3))
    coverage = (hits / SUBPIXELS**2).astype(np.float32)
    # masked values may be NaN or UNSEEN: replace, do not multiply
    sums = np.where(seen, values, 0.0).reshape(len(values), *cells).sum(axis=(2, 4), dtype=np.float64)
    means = np.where(coverage >= USED, sums / np.maximum(hits, 1), 0.0)
    return np.moveaxis(means, 0, -1).astype(np.float32), coverage


def _rows(side: float, south: float, north: float) -> Iterator[tuple[float, float, float]]:
    """Rows of patches from declination `south` to `north` [deg]: (centre, lower end, upper end), bands disjoint."""
    from scipy.optimize import brentq

    limit = math.pi / 2 - math.atan(side / 2) - 1e-6  # patches do not reach over a pole
    edge = math.radians(south)
    while edge < math.radians(north):
        if _lower(-limit, side) >= edge:
            dec = -limit
        elif _lower(limit, side) <= edge:
            return
        else:
            dec = brentq(lambda d, lowest=edge: _lower(d, side) - lowest, -limit, limit, xtol=1e-12)
        lower, edge = _lower(dec, side), -_lower(-dec, side)
        yield math.degrees(dec), math.degrees(lower), math.degrees(edge)


def _lower(dec: float, side: float) -> float:
    """Southernmost declination [rad] of a patch centred at `dec` [rad]; the northernmost is -_lower(-dec).

    The lower edge is a piece of a great circle: in the north it sags towards the corners, so those count.
    """
    half = side / 2
    z = math.sin(dec) - half * math.cos(dec)
    return math.asin(z / math.sqrt(1 + 2 * half**2)) if z > 0 else dec - math.atan(half)


def _half_width(dec: float, side: float) -> float:
    """Largest distance in RA [deg] from the centre of a patch at `dec` [rad] to its edge: that of a poleward corner."""
    half = side / 2
    return math.degrees(math.atan2(half, math.cos(dec) - half * abs(math.sin(dec))))


def _after_largest_gap(ra: np.ndarray) -> float:
    """RA [deg] where the footprint begins: the eastern end of the largest empty stretch, so that 0 h splits nothing."""
    if ra.size == 1:
        return float(ra[0])
    ra = np.sort(ra)
    gaps = np.diff(ra, append=ra[0] + 360.0)
    last = int(gaps.argmax())
    return float(ra[(last + 1) % ra.size])

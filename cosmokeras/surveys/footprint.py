"""A footprint for mock skies: about that of DES, but with an outline and star holes of our own invention."""

from __future__ import annotations

import numpy as np

HOLE_FRACTION = 0.03
SMALL, LARGE = (2.0, 8.0), (10.0, 30.0)  # radii of star holes [arcmin]
LARGE_FRACTION = 0.02  # part of the holes that are large
# Outline of the mock footprint, invented: (RA, lower Dec, upper Dec) [deg] at corners, straight lines between them.
SOUTH = np.array([[-60, -57, -46], [-45, -64, -37], [0, -66, -33], [50, -66, -33], [85, -64, -36], [100, -56, -45]])
EQUATOR = np.array([[-48, -3, 2], [-20, -7, 4], [25, -10, 6], [55, -8, 4], [62, -4, 0]])
REGIONS = (SOUTH, EQUATOR)


def inside(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Whether positions [deg] lie inside the invented outline."""
    ra = (np.asarray(ra) + 180) % 360 - 180
    found = np.zeros(ra.shape, dtype=bool)
    for region in REGIONS:
        corners, low, high = region.T
        in_ra = (ra > corners[0]) & (ra < corners[-1])
        found |= in_ra & (dec > np.interp(ra, corners, low)) & (dec < np.interp(ra, corners, high))
    return found


def des_like_footprint(nside: int, rng: np.random.Generator, hole_fraction: float = HOLE_FRACTION) -> np.ndarray:
    """Footprint of about 4100 deg^2 like that of DES but of our own outline: (12 nside^2,) bool, RING, True = observed.

    Star holes are discs at random places, 98 % of them of 2 to 8 arcmin radius and the rest of 10 to 30 arcmin, as many
    as take `hole_fraction` of the area on average, overlaps counted once.
    """
    import healpy as hp

    ra, dec = hp.pix2ang(nside, np.arange(hp.nside2npix(nside)), lonlat=True)
    mask = inside(ra, dec)
    area = np.count_nonzero(mask) * hp.nside2pixarea(nside)  # [sr]
    arcmin = np.pi / 180 / 60
    disc = np.pi * arcmin**2 * ((1 - LARGE_FRACTION) * _mean_square(*SMALL) + LARGE_FRACTION * _mean_square(*LARGE))
    holes = round(-np.log1p(-hole_fraction) * area / disc)
    centres = np.empty((0, 2))
    while len(centres) < holes:  # uniform on the sphere around both regions, kept if inside
        tries = np.stack([rng.uniform(-60, 100, holes), np.degrees(np.arcsin(rng.uniform(-0.92, 0.11, holes)))], axis=1)
        centres = np.concatenate([centres, tries[inside(*tries.T)]])
    large = rng.uniform(size=holes) < LARGE_FRACTION
    radii = np.where(large, rng.uniform(*LARGE, holes), rng.uniform(*SMALL, holes)) * arcmin
    for (lon, lat), radius in zip(centres[:holes], radii, strict=True):
        mask[hp.query_disc(nside, hp.ang2vec(lon, lat, lonlat=True), radius)] = False
    return mask


def _mean_square(low: float, high: float) -> float:
    """Mean of r^2 for r uniform between `low` and `high`."""
    return (low**2 + low * high + high**2) / 3

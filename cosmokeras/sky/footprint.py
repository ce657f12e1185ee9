"""Footprints: an invented one about that of DES, and masks of patches at random pointings in any footprint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic
from cosmokeras.sky.patches import MARGIN, SUBPIXELS, cut_patches, sub_points, tangent_grid
from cosmokeras.sky.pixels import ARCMIN

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
    inside_any = np.zeros(ra.shape, dtype=bool)
    for region in REGIONS:
        corners, low, high = region.T
        in_ra = (ra > corners[0]) & (ra < corners[-1])
        inside_any |= in_ra & (dec > np.interp(ra, corners, low)) & (dec < np.interp(ra, corners, high))
    return inside_any


def des_like_footprint(nside: int, rng: np.random.Generator, hole_fraction: float = HOLE_FRACTION) -> np.ndarray:
    """Footprint of about 4100 deg^2 like that of DES but of our own outline: (12 nside^2,) bool, RING, True = observed.

    Star holes are discs at random positions, 98 % of them of 2 to 8 arcmin radius and the rest of 10 to 30 arcmin, as
    many as take `hole_fraction` of the area on average, overlaps counted once.
    """
    import healpy as hp

    ra, dec = hp.pix2ang(nside, np.arange(hp.nside2npix(nside)), lonlat=True)
    mask = inside(ra, dec)
    area = np.count_nonzero(mask) * hp.nside2pixarea(nside)  # [sr]
    arcmin = np.pi / 180 / 60
    disc = np.pi * arcmin**2 * ((1 - LARGE_FRACTION) * _mean_square(*SMALL) + LARGE_FRACTION * _mean_square(*LARGE))
    holes = round(-np.log1p(-hole_fraction) * area / disc)
    centres = np.empty((0, 2))
    while len(centres) < holes:  # rejection sampling: uniform on the sphere around both regions, kept if inside
        trials = np.stack(
            [rng.uniform(-60, 100, holes), np.degrees(np.arcsin(rng.uniform(-0.92, 0.11, holes)))], axis=1
        )
        centres = np.concatenate([centres, trials[inside(*trials.T)]])
    large = rng.uniform(size=holes) < LARGE_FRACTION
    radii = np.where(large, rng.uniform(*LARGE, holes), rng.uniform(*SMALL, holes)) * arcmin
    for (lon, lat), radius in zip(centres[:holes], radii, strict=True):
        mask[hp.query_disc(nside, hp.ang2vec(lon, lat, lonlat=True), radius)] = False
    return mask


def _mean_square(low: float, high: float) -> float:
    """Mean of r^2 for r uniform between `low` and `high`."""
    return (low**2 + low * high + high**2) / 3


def write_masks(
    path: Path,
    mask: np.ndarray,
    rng: np.random.Generator,
    number: int = 128,
    size: int = 64,
    pixel_arcmin: float = 5.0,
    max_masked: float = 0.1,
    margin: int = MARGIN,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Write coverage maps of patches at random positions and orientations in a footprint, to put on simulated maps.

    The footprint is turned at random as a whole and cut as a real one is, again and again until there are `number`
    patches of `size` pixels of `pixel_arcmin` with at most a part `max_masked` of them masked. Each comes with
    `margin` pixels around it: masked shear there changes the convergence of the patch, too.

    `noise`, of the shape of `mask`, is that of each of its pixels over the survey's, above 0 where observed; with it
    the file is an .npz of `coverage` and `noise`.

    Returns
    -------
    (number, size + 2 margin, size + 2 margin) float16, observed part of each pixel; what an .npy file holds
    """
    library: list[np.ndarray] = []
    depth: list[np.ndarray] = []
    wide = size + 2 * margin
    for _ in range(100):
        below = _rotated_pixels(mask.size, rng)
        rotated = mask[below]
        cut = cut_patches(rotated.astype(np.float32), rotated, size, pixel_arcmin, max_masked)
        pointings = list(zip(cut.ra, cut.dec, strict=True))
        library += [covered(rotated, *at, wide, pixel_arcmin) for at in pointings]
        if noise is not None:
            square = np.where(rotated, noise[below] ** 2, 0.0)
            power = [covered(square, *at, wide, pixel_arcmin) for at in pointings]
            seen = library[-len(pointings) :]
            depth += [np.sqrt(np.where(c > 0, p / np.maximum(c, 1e-9), 1.0)) for p, c in zip(power, seen, strict=True)]
        if len(library) >= number:
            break
    else:
        side = f"{size} x {pixel_arcmin:g} arcmin"
        raise UserError(
            f"{path}: the footprint holds too few patches of {side} with at most {max_masked:g} masked to make "
            f"{number} masks; take smaller patches or a higher limit"
        )
    chosen = rng.permutation(len(library))[:number]
    masks = np.stack([library[one] for one in chosen]).astype(np.float16)
    with atomic(path) as handle:
        if noise is None:
            np.save(handle, masks)
        else:
            np.savez(handle, coverage=masks, noise=np.stack([depth[one] for one in chosen]).astype(np.float32))
    return masks


def covered(mask: np.ndarray, ra: float, dec: float, size: int, pixel_arcmin: float) -> np.ndarray:
    """Observed part of the flat pixels of a patch centred at (ra, dec) [deg], or mean of numbers; (size, size)."""
    import healpy as hp

    points = tangent_grid(size * pixel_arcmin * ARCMIN, size * SUBPIXELS)
    hits = mask[sub_points(hp.npix2nside(mask.size), points, ra, dec)]
    return hits.reshape(size, SUBPIXELS, size, SUBPIXELS).mean(axis=(1, 3))


def _rotated_pixels(count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of `count` pixels of the sphere lies at each position after a random rotation, by nearest pixels."""
    import healpy as hp
    from scipy.spatial.transform import Rotation

    nside = hp.npix2nside(count)
    rotation = Rotation.from_quat(rng.standard_normal(4)).as_matrix()  # uniform over all rotations
    out = np.empty(count, np.int64)
    for pixels in np.array_split(np.arange(count), 12):  # a twelfth of the sky at a time to save memory
        out[pixels] = hp.vec2pix(nside, *(rotation @ np.stack(hp.pix2vec(nside, pixels))))
    return out

"""Square flat-sky patches of shear out of HEALPix maps, in the axes of the patch.

Axes
----
On the sphere (`spherical_ks`, and catalogues of galaxies as a rule) (g1, g2) refer to x = east and y = north at each
point. On flat patches (`patches`, `kaiser_squires`) x, along columns, is to the west and y, along rows, to the north of
the patch's centre. The other sense of x is the other sign of g2; and away from the centre the directions to east and
north differ from those of the patch, by dRA sin(Dec) or so, for which shear is turned by twice that angle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky.patches import SUBPIXELS, cut_patches, sub_points, tangent_frame, tangent_grid


class ShearPatches(NamedTuple):
    """Patches of shear, x to the west and y to the north; `ra` and `dec` [deg] of their centres."""

    g1: np.ndarray  # (n, size, size, channels) float32
    g2: np.ndarray  # the same
    coverage: np.ndarray  # (n, size, size) float32, observed fraction of each pixel
    ra: np.ndarray  # (n,)
    dec: np.ndarray  # (n,)


def cut_shear_patches(
    g1: np.ndarray,
    g2: np.ndarray,
    mask: np.ndarray,
    size: int = 64,
    pixel_arcmin: float = 5.0,
    max_masked: float = 0.1,
) -> ShearPatches:
    """Cut shear on the sphere into the patches of `cut_patches`, each in the axes of its patch.

    `kaiser_squires(np.moveaxis(g1, -1, 1), np.moveaxis(g2, -1, 1))` of the patches is then their convergence.

    Parameters
    ----------
    g1, g2 : (npix,) or (channels, npix), full sky, RING order; x to the east, y to the north at each point
    mask, size, pixel_arcmin, max_masked : as for `cut_patches`

    Returns
    -------
    ShearPatches, at the positions of `cut_patches` with the same arguments
    """
    import healpy

    first, second = (np.atleast_2d(np.asarray(one)) for one in (g1, g2))
    if first.shape != second.shape:
        raise UserError(f"g1 and g2 must be HEALPix maps of one shape, got {np.shape(g1)} and {np.shape(g2)}")
    cut = cut_patches(np.concatenate([first, second]), mask, size, pixel_arcmin, max_masked)  # with all its checks
    mask = np.asarray(mask).astype(bool)
    nside = healpy.npix2nside(mask.size)
    grid = tangent_grid(np.radians(size * pixel_arcmin / 60), size * SUBPIXELS)
    cells = (size, SUBPIXELS, size, SUBPIXELS)
    shear = np.zeros((*cut.coverage.shape, len(first)), np.complex128)
    for patch, covered, ra, dec in zip(shear, cut.coverage, cut.ra, cut.dec, strict=True):
        pixels = sub_points(nside, grid, ra, dec)
        seen = mask[pixels]
        # to the west of each point: the other sign of g2
        rotated = np.where(seen, first[:, pixels] - 1j * second[:, pixels], 0) * spin2_rotation(nside, pixels, ra, dec)
        sums = rotated.reshape(len(first), *cells).sum(axis=(2, 4))
        hits = seen.reshape(cells).sum(axis=(1, 3))
        patch[:] = np.moveaxis(np.where(covered >= 0.5, sums / np.maximum(hits, 1), 0), 0, -1)
    g1, g2 = shear.real.astype(np.float32), shear.imag.astype(np.float32)
    return ShearPatches(g1=g1, g2=g2, coverage=cut.coverage, ra=cut.ra, dec=cut.dec)


def spin2_rotation(nside: int, pixels: np.ndarray, ra: float, dec: float) -> np.ndarray:
    """Factors exp(2i psi) that rotate g1 + i g2, x to the west, of HEALPix pixels into the axes at (ra, dec) [deg].

    psi is the angle from the patch's west to the west of a pixel's centre, parallel-transported along the great circle
    to (ra, dec): the gnomonic projection keeps the angle to that circle.
    """
    import healpy

    x, y, z = position = np.array(healpy.pix2vec(nside, pixels))
    centre, west, north = tangent_frame(ra, dec)
    local_west = np.stack([y, -x, np.zeros_like(z)]) / np.hypot(x, y)
    transported = local_west - (centre @ local_west) / (1 + centre @ position) * (position + centre[:, None])
    return (west @ transported + 1j * (north @ transported)) ** 2

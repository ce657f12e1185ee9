"""Excess power of flat pixels cut out of a map of HEALPix averages, beyond that of their mean pixel window.

The pixel windows differ from one flat pixel to the next: which HEALPix pixels lie under one, and where those are.
Neighbours share HEALPix pixels, so that their windows are correlated over a few pixels. Like the noise of
`cosmokeras.sky.transfer` this covariance of the windows is sampled from the geometry itself.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.common.interpolation import log_bracket
from cosmokeras.common.kept import kept
from cosmokeras.sky.patches import SUBPIXELS, sub_points, tangent_frame, tangent_grid
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.sky.transfer import Sky, by_pixel, pointings

BLOCK = 3  # flat pixels along the side of a sample: lags up to 2
SAMPLES = 160  # pointings
DIRECTIONS = 12
MULTIPOLES = 40  # at which the windows are worked out
INSIDE = 16  # points that stand for the area of a HEALPix pixel: the centres of its parts at four times NSIDE


@kept
def _windows(nside: int, pixel_arcmin: float, sky: Sky, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Multipoles (MULTIPOLES,), E[w_p w_q*] - E[w_p] E[w_q*] of pairs of pixels, times exp(i q lag), over directions.

    Shape (MULTIPOLES, 2 BLOCK - 1, 2 BLOCK - 1) by the lag (y, x) of the pair, no lag in the middle.
    """
    import healpy

    side = pixel_arcmin * ARCMIN
    grid = tangent_grid(BLOCK * side, BLOCK * SUBPIXELS)
    ell = np.geomspace(0.05 / side, highest, MULTIPOLES)
    angle = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    qx, qy = np.outer(np.cos(angle), ell), np.outer(np.sin(angle), ell)  # (directions, multipoles)
    sampled = np.empty((SAMPLES, DIRECTIONS, MULTIPOLES, BLOCK**2), complex)
    for windows, (ra, dec) in zip(sampled, pointings(sky, SAMPLES), strict=True):
        # each sub-point shows the average over its HEALPix pixel
        numbers, below = np.unique(sub_points(nside, grid, ra, dec), return_inverse=True)
        inside = healpy.ring2nest(nside, numbers)[:, None] * INSIDE + np.arange(INSIDE)
        vectors = np.array(healpy.pix2vec(4 * nside, inside.ravel(), nest=True))
        outwards, west, north = tangent_frame(ra, dec)
        x, y = np.stack([west @ vectors, north @ vectors]) / (outwards @ vectors)
        phases = np.exp(1j * (qx[..., None] * x + qy[..., None] * y)).reshape(*qx.shape, -1, INSIDE).mean(axis=-1)
        windows[:] = phases[..., by_pixel(below, BLOCK)].mean(axis=-1)
    mean = sampled.mean(axis=0)
    both = np.einsum("sdwp,sdwq->dwpq", sampled, sampled.conj()) / SAMPLES
    excess = (both - mean[..., :, None] * mean[..., None, :].conj()).real.mean(axis=0)
    out, count = np.zeros((2, MULTIPOLES, 2 * BLOCK - 1, 2 * BLOCK - 1))
    row, column = np.divmod(np.arange(BLOCK**2), BLOCK)
    dy, dx = (axis[:, None] - axis + BLOCK - 1 for axis in (row, column))
    for p in range(BLOCK**2):
        for q in range(BLOCK**2):
            out[:, dy[p, q], dx[p, q]] += excess[:, p, q]
            count[:, dy[p, q], dx[p, q]] += 1
    out /= count
    return ell, (out + out[:, ::-1, ::-1]) / 2


def excess_weights(n: int, ell: np.ndarray, nside: int, pixel_arcmin: float, sky: Sky) -> np.ndarray:
    """Weights (modes, m) of C_ell at nodes `ell` in that power, for a quadrant of the modes of an n x n grid."""
    multipoles, excess = _windows(nside, pixel_arcmin, sky, float(ell[-1]))
    side = pixel_arcmin * ARCMIN
    measure = np.gradient(np.log(ell)) * ell**2 / (2 * np.pi)
    lags = np.arange(1 - BLOCK, BLOCK)
    phase = np.cos(2 * np.pi / n * np.outer(np.arange(n // 2 + 1), lags))  # even in both axes after the mean
    by_multipole = np.einsum("ya,xb,wab->yxw", phase, phase, excess).reshape(-1, MULTIPOLES)
    lower, fraction = log_bracket(ell, multipoles)
    return (by_multipole[:, lower] * (1 - fraction) + by_multipole[:, lower + 1] * fraction) * measure * side**2

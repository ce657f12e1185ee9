"""Pixels of maps: side, highest multipole and window function (HEALPix: Gorski et al. 2005, ApJ 622, 759)."""

from __future__ import annotations

import numpy as np

ARCMIN = np.pi / 180.0 / 60.0  # radians
USED = 0.5  # a pixel counts as observed when at least this part of it is


def healpix_side(nside: int) -> float:
    """Side [rad] of a square with the area of a HEALPix pixel.

    Examples
    --------
    Maps of NSIDE 1024 have pixels of 3.4 arcmin:

    >>> round(healpix_side(1024) / ARCMIN, 3)
    3.435
    """
    return float(np.sqrt(4 * np.pi / (12 * nside**2)))


def pixel_window(ell: np.ndarray, side: float) -> np.ndarray:
    """Window of a square pixel of `side` radians, averaged over its orientation.

    W(ell) = < sinc(ell a cos(phi) / 2) sinc(ell a sin(phi) / 2) >_phi. For HEALPix pixels (side = `healpix_side`),
    whose shapes vary over the sky, good to 0.5 % at ell a = 1; healpy.pixwin would fetch its tables from the network.

    Parameters
    ----------
    ell : array of multipoles
    side : pixel side [rad]

    Returns
    -------
    array of the shape of `ell`

    Examples
    --------
    Pixels of 5 arcmin leave the largest scales alone, and 40 % of the amplitude at multipole 3000:

    >>> pixel_window(np.array([0, 1000, 3000]), 5 * ARCMIN).round(2).tolist()
    [1.0, 0.91, 0.4]
    """
    phi = (np.arange(32) + 0.5) * (np.pi / 2 / 32)
    # np.sinc(x) is sin(pi x) / (pi x)
    x = np.asarray(ell, dtype=float)[..., None] * side / (2 * np.pi)
    return np.mean(np.sinc(x * np.cos(phi)) * np.sinc(x * np.sin(phi)), axis=-1)


def full_lmax(nside: int) -> int:
    """Highest multipole that HEALPix maps can hold, 3 nside - 1."""
    return 3 * nside - 1

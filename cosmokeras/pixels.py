"""Pixel windows: what averaging over a pixel does to a spectrum."""

from __future__ import annotations

import numpy as np

ARCMIN = np.pi / 180.0 / 60.0  # radians


def pixel_window(ell: np.ndarray, side: float) -> np.ndarray:
    """Window of a square pixel of `side` radians, averaged over its orientation.

    W(ell) = < sinc(ell a cos(phi) / 2) sinc(ell a sin(phi) / 2) >_phi. Good for HEALPix pixels too (side = sqrt of their
    area), whose shapes and orientations vary over the sky, for ell a < 3.

    Parameters
    ----------
    ell : array of multipoles
    side : pixel side [rad]

    Returns
    -------
    array of the shape of `ell`
    """
    phi = (np.arange(32) + 0.5) * (np.pi / 2 / 32)
    # np.sinc(x) is sin(pi x) / (pi x)
    x = np.asarray(ell, dtype=float)[..., None] * side / (2 * np.pi)
    return np.mean(np.sinc(x * np.cos(phi)) * np.sinc(x * np.sin(phi)), axis=-1)


def healpix_side(nside: int) -> float:
    """Side [rad] of a square with the area of a HEALPix pixel."""
    return float(np.sqrt(4 * np.pi / (12 * nside**2)))

"""Kaiser & Squires (1993, ApJ 404, 441) on the sphere: shear to convergence and back, by spin-2 harmonics.

Shear components refer to x = east and y = north at each point: g1 > 0 stretches along the parallel, g2 > 0 from the
south-west to the north-east. HEALPix itself has x to the south and y to the east, which for a spin-2 field is the same
with the other sign: (g1, g2) here are minus those of that frame. So, with healpy's harmonics (E, B) of the two maps as
they are, kappa_lm = -sqrt(l (l + 1) / ((l + 2)(l - 1))) E_lm, and the shear about a mass is tangential, as tests check.
"""

from __future__ import annotations

import numpy as np

ITERATIONS = 3  # of the transform: the quadrature of HEALPix alone is good to a per cent near lmax only


def shear_factor(lmax: int) -> np.ndarray:
    """Harmonics of the shear (healpy's E) over those of kappa, (lmax + 1,); 0 for l < 2, which no shear has."""
    ell = np.arange(2, lmax + 1)
    return np.concatenate([np.zeros(2), -np.sqrt((ell + 2.0) * (ell - 1.0) / (ell * (ell + 1.0)))])


def kaiser_squires_sphere(
    g1: np.ndarray, g2: np.ndarray, lmax: int | None = None, iterations: int = ITERATIONS
) -> tuple[np.ndarray, np.ndarray]:
    """Convergence of a shear map on the sphere.

    Parameters
    ----------
    g1, g2 : (npix,) RING, components as above; 0 where nothing was observed
    lmax : highest multipole, default 3 nside - 1. White noise of the pixels has 12 nside^2 modes, of which (lmax + 1)^2
        are kept: noise of variance s^2 per component leaves about s^2 (lmax + 1)^2 / (12 nside^2) in E and in B
    iterations : of the harmonic transform

    Returns
    -------
    kappa_e, kappa_b : (npix,) without multipoles 0 and 1, which shear does not have; lensing makes no B modes
    """
    import healpy

    shear = [np.asarray(g, np.float64) for g in (g1, g2)]
    if shear[0].shape != shear[1].shape or shear[0].ndim != 1:
        msg = f"g1 and g2 must be HEALPix maps of one shape, got {shear[0].shape} and {shear[1].shape}"
        raise ValueError(msg)
    nside = healpy.npix2nside(shear[0].size)
    lmax = 3 * nside - 1 if lmax is None else lmax
    alms = np.array(healpy.map2alm_spin(shear, 2, lmax=lmax))
    for _ in range(iterations):
        rest = np.subtract(shear, healpy.alm2map_spin(list(alms), nside, 2, lmax))
        alms += np.array(healpy.map2alm_spin(list(rest), 2, lmax=lmax))
    factor = shear_factor(lmax)
    inverse = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0)
    e, b = (healpy.alm2map(healpy.almxfl(alm, inverse), nside, lmax=lmax, pixwin=False) for alm in alms)
    return e, b


def shear_sphere(kappa: np.ndarray, lmax: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Shear (g1, g2), (npix,) each, of a convergence map (npix,) RING with multipoles 2 to `lmax`."""
    import healpy

    nside = healpy.npix2nside(np.size(kappa))
    lmax = 3 * nside - 1 if lmax is None else lmax
    alm = healpy.map2alm(np.asarray(kappa, np.float64), lmax=lmax, iter=ITERATIONS, use_pixel_weights=False)
    alm = healpy.almxfl(alm, shear_factor(lmax))
    g1, g2 = healpy.alm2map_spin([alm, np.zeros_like(alm)], nside, 2, lmax)
    return g1, g2

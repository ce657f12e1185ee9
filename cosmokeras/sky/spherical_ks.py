"""Kaiser & Squires (1993, ApJ 404, 441) on the sphere: shear to convergence and back, by spin-2 harmonics.

Shear components refer to x = east and y = north at each point: g1 > 0 stretches along the parallel, g2 > 0 from the
south-west to the north-east. HEALPix itself has x to the south and y to the east, which for a spin-2 field is the same
with the other sign: (g1, g2) here are minus those of that frame. So, with healpy's harmonics (E, B) of the two maps as
they are, kappa_lm = -sqrt(l (l + 1) / ((l + 2)(l - 1))) E_lm, and the shear about a mass is tangential, as tests check.

On flat patches x is to the west: `shear_patches.cut_shear_patches` turns the shear of the sphere into that of a patch.

The quadrature of HEALPix is not exact for the highest multipoles of spin 2, and iterations mend that only up to about
2.5 NSIDE. Errors of kappa_E, and kappa_B that is left where there is none, in parts of the rms of a field with equal
power in all multipoles up to lmax, after three iterations (NSIDE 64 and 128):

    lmax / NSIDE     kappa_E            kappa_B
    2                0.0001 %           0.0001 %
    2.5              0.02 %             0.002 %
    2.75             5 to 6 %           0.3 %
    3 - 1 / NSIDE    13 to 14 %         1 %

At 3 NSIDE - 1 iterations go to and fro and do not converge (kappa_E without any 11 %, after one 14 %, after ten 9 to
10 %), while kappa_B looks clean after every odd one. So `lmax` is 2 NSIDE by default; above 2.5 NSIDE it is refused.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.sky.patches import UNSEEN_LIMIT

ITERATIONS = 3  # of the transform
DEFAULT_LMAX, HIGHEST_LMAX = 2.0, 2.5  # in units of NSIDE


def highest_lmax(nside: int) -> int:
    """Highest multipole that the inversion gives back to 0.02 %."""
    return int(HIGHEST_LMAX * nside)


def checked_lmax(lmax: int | None, nside: int) -> int:
    """`lmax`, by default 2 NSIDE; an error above 2.5 NSIDE, where spin-2 transforms do not converge."""
    if lmax is None:
        return int(DEFAULT_LMAX * nside)
    lmax = arguments.whole("lmax", lmax, 2)  # shear has no lower one, and healpy ends the program
    if lmax > highest_lmax(nside):
        raise UserError(
            f"lmax={lmax}: Kaiser-Squires on the sphere at NSIDE {nside} goes up to 2.5 NSIDE = {highest_lmax(nside)}; "
            "beyond, harmonic transforms of shear do not converge (13 % of error in kappa_E at 3 NSIDE - 1); "
            f"2 NSIDE = {int(DEFAULT_LMAX * nside)} is usual"
        )
    return lmax


def _observed(name: str, values: np.ndarray) -> np.ndarray:
    """A map as float64, without marks of missing pixels: in harmonics they would spread over the whole sky."""
    array = arguments.real(name, values).astype(np.float64)
    if (bad := ~(np.abs(array) < UNSEEN_LIMIT)).any():
        raise UserError(
            f"{name}: {np.count_nonzero(bad)} of {array.size} pixels are NaN, UNSEEN or another mark of missing data; "
            "set them to 0"
        )
    return array


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
    lmax : highest multipole, default 2 nside, at most 2.5 nside. White noise of the pixels has 12 nside^2 modes, of
        which (lmax + 1)^2 are kept: noise of variance s^2 per component leaves about s^2 (lmax + 1)^2 / (12 nside^2) in
        E and in B. A shear without multipoles above lmax is inverted to 0.0001 % at 2 nside, 0.02 % at 2.5 nside
    iterations : of the harmonic transform; without any, the errors are 0.1 % at 2 nside and 1.3 % at 2.5 nside

    Returns
    -------
    kappa_e, kappa_b : (npix,) without multipoles 0 and 1, which shear does not have; lensing makes no B modes
    """
    import healpy

    shear = [_observed(name, g) for name, g in (("g1", g1), ("g2", g2))]
    if shear[0].shape != shear[1].shape or shear[0].ndim != 1:
        msg = f"g1 and g2 must be HEALPix maps of one shape, got {shear[0].shape} and {shear[1].shape}"
        raise ValueError(msg)
    nside = healpy.npix2nside(shear[0].size)
    lmax = checked_lmax(lmax, nside)
    alms = np.array(healpy.map2alm_spin(shear, 2, lmax=lmax))
    for _ in range(iterations):
        rest = np.subtract(shear, healpy.alm2map_spin(list(alms), nside, 2, lmax))
        alms += np.array(healpy.map2alm_spin(list(rest), 2, lmax=lmax))
    factor = shear_factor(lmax)
    inverse = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0)
    e, b = (healpy.alm2map(healpy.almxfl(alm, inverse), nside, lmax=lmax, pixwin=False) for alm in alms)
    return e, b


def shear_sphere(kappa: np.ndarray, lmax: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Shear (g1, g2), (npix,) each, of a convergence map (npix,) RING with multipoles 2 to `lmax`.

    `lmax` is 2 nside by default and at most 2.5 nside, as for `kaiser_squires_sphere`.
    """
    import healpy

    nside = healpy.npix2nside(np.size(kappa))
    lmax = checked_lmax(lmax, nside)
    alm = healpy.map2alm(_observed("kappa", kappa), lmax=lmax, iter=ITERATIONS, use_pixel_weights=False)
    alm = healpy.almxfl(alm, shear_factor(lmax))
    g1, g2 = healpy.alm2map_spin([alm, np.zeros_like(alm)], nside, 2, lmax)
    return g1, g2

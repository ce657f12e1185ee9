"""Flat-sky Kaiser & Squires (1993, ApJ 404, 441): shear to convergence and back.

Axes: the last one (columns) is x, the one before (rows) is y; (g1, g2) are defined with respect to them. On patches of
the sky x is to the west and y to the north, as `sky.patches` cuts them; shear of the sphere and of catalogues, with x
to the east, is brought there by `sky.shear_patches` (at the least g2 has the other sign). Maps are periodic. With
complex shear g = g1 + i g2 and D(k) = (kx + i ky)^2 / k^2, the pair is g = D kappa and kappa_E + i kappa_B = D* g.
As |D| = 1 for every k except 0, both ways are unitary: white shear noise of variance s^2 per component becomes white
noise of variance s^2 in kappa_E and, independently, in kappa_B. Complex transforms keep this exact at the Nyquist
frequency too, where a real transform would drop half of a mode.
"""

from __future__ import annotations

import numpy as np


def spin2_phase(shape: tuple[int, int]) -> np.ndarray:
    """D(k) on the FFT grid of a (ny, nx) map of square pixels; 0 at k = 0 (the mean of kappa is not observable)."""
    k = np.fft.fftfreq(shape[1])[None, :] + 1j * np.fft.fftfreq(shape[0])[:, None]
    k[0, 0] = 1.0
    phase = k**2 / np.abs(k) ** 2
    phase[0, 0] = 0.0
    return phase


def kaiser_squires(g1: np.ndarray, g2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convergence of a shear map.

    Parameters
    ----------
    g1, g2 : (..., ny, nx) shear components with respect to x (last axis) and y

    Returns
    -------
    kappa_e, kappa_b : (..., ny, nx) of zero mean; lensing makes no B modes, so `kappa_b` is a test for systematics

    Examples
    --------
    Shear turned by 45 degrees, (g1, g2) -> (-g2, g1), is a pure B mode:

    >>> kappa = np.random.default_rng(1).standard_normal((8, 8))
    >>> g1, g2 = shear_from_kappa(kappa - kappa.mean())
    >>> kappa_e, kappa_b = kaiser_squires(-g2, g1)
    >>> np.allclose(kappa_e, 0), np.allclose(kappa_b, kappa - kappa.mean())
    (True, True)
    """
    g1, g2 = np.asarray(g1), np.asarray(g2)
    if g1.shape != g2.shape or g1.ndim < 2:
        msg = f"g1 and g2 must be maps of one shape, got {g1.shape} and {g2.shape}"
        raise ValueError(msg)
    kappa = np.fft.ifft2(np.conj(spin2_phase(g1.shape[-2:])) * np.fft.fft2(g1 + 1j * g2))
    return kappa.real, kappa.imag


def shear_from_kappa(kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shear of a convergence map, the inverse of `kaiser_squires` up to the mean of `kappa`.

    Parameters
    ----------
    kappa : (..., ny, nx)

    Returns
    -------
    g1, g2 : (..., ny, nx)
    """
    kappa = np.asarray(kappa)
    if kappa.ndim < 2:
        msg = f"kappa must be a map, got shape {kappa.shape}"
        raise ValueError(msg)
    shear = np.fft.ifft2(spin2_phase(kappa.shape[-2:]) * np.fft.fft2(kappa))
    return shear.real, shear.imag

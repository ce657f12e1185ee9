"""Gaussian fields on a periodic grid, in single precision, many at once."""

from __future__ import annotations

import numpy as np
from scipy import fft


def map_rng(seed: int, split: int, cosmology: int, realisation: int) -> np.random.Generator:
    """The generator of one map: the same wherever and in whatever order maps are made."""
    return np.random.default_rng(np.random.SeedSequence([seed, split, cosmology, realisation]))


def wavenumbers(n: int, spacing: float) -> np.ndarray:
    """|k| of the modes of rfft2 on an n x n grid, shape (n, n // 2 + 1), in radians per unit of `spacing`."""
    kx = 2 * np.pi * np.fft.rfftfreq(n, spacing)
    ky = 2 * np.pi * np.fft.fftfreq(n, spacing)
    return np.hypot(ky[:, None], kx[None, :])


def gaussian_field(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
    """A real Gaussian field, (n, n) float32, whose rfft2 modes have <|mode|^2> = amplitude^2.

    `amplitude` is (n, n // 2 + 1) float32. Modes are drawn independently in the half plane. On the two columns that
    hold their own conjugates irfft2 keeps the Hermitian part only, half of the power: a factor sqrt(2) makes up for it.
    """
    n = amplitude.shape[0]
    noise = rng.standard_normal((n, n // 2 + 1, 2), dtype=np.float32)
    modes = noise.view(np.complex64)[..., 0]
    modes *= amplitude * np.float32(np.sqrt(0.5))
    modes[:, 0] *= np.float32(np.sqrt(2))
    modes[:, -1] *= np.float32(np.sqrt(2))
    return fft.irfft2(modes, s=(n, n), workers=1)

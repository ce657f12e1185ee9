"""Periodic Gaussian random fields with a two-dimensional BBKS spectrum (Bardeen et al. 1986, ApJ 304, 15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import mode_amplitude, normal_modes, wavenumbers
from cosmokeras.theory.matter import bbks

LABELS = ("k [h/Mpc]", "P(k) [(Mpc/h)$^2$]")
BATCH = 64  # fields transformed at once: they stay in the cache


@dataclass(frozen=True)
class Grid:
    """Modes of the box: the different |k| [h/Mpc], and which of them each mode of rfft2 has."""

    k: np.ndarray
    which: np.ndarray


def prepare(cfg: Config, progress: bool = False) -> Grid:
    """What all cosmologies share."""
    k = wavenumbers(cfg.data.size, cfg.grf.box_mpc_h / cfg.data.size)
    different, which = np.unique(k, return_inverse=True)
    return Grid(k=different, which=which.reshape(k.shape))


def spectrum(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """What the maps' spectra should be, (n, 1, len(k))."""
    return bbks(cfg, theta, k)[:, None]


def maps(
    cfg: Config, grid: Grid, theta: np.ndarray, rng_of: Callable[[int], np.random.Generator], count: int
) -> np.ndarray:
    """Density contrast, (count, size, size, 1) float32, of one cosmology, at unit amplitude.

    The estimator |rfft2(map)|^2 L^2 / N^4 has mean P(k) [(Mpc/h)^2]; the k = 0 mode is 0.
    """
    n = cfg.data.size
    one_cosmology = bbks(cfg, np.asarray(theta)[None], grid.k)[0] * (n**2 / cfg.grf.box_mpc_h) ** 2
    amplitude = mode_amplitude(one_cosmology[grid.which])
    out = np.empty((count, n, n, 1), np.float32)
    modes = np.empty((min(count, BATCH), n, n // 2 + 1), np.complex64)
    for start in range(0, count, BATCH):
        batch = modes[: min(BATCH, count - start)]
        for i in range(len(batch)):
            normal_modes(rng_of(start + i), batch[i].shape, out=batch[i])
        batch *= amplitude
        out[start : start + len(batch), ..., 0] = fft.irfft2(batch, s=(n, n), workers=1)
    return out

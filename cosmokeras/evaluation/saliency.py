"""Sensitivity of the posterior mean to the power of a map in bands of wavenumbers, by central finite differences."""

from __future__ import annotations

import numpy as np

from cosmokeras.inference.estimator import Estimator
from cosmokeras.models.layers import band_edges

STEP = 0.05  # relative change of the amplitude of modes; an answer linear in ln C_ell has an error of STEP^2 / 3, 0.1 %
MAPS = 128  # at most


def sensitivity(est: Estimator, obs: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """d (posterior mean) / d ln C_ell, averaged over observed maps (n, size, size, channels); the first MAPS count.

    The modes of a band, noise included, are made larger and smaller by STEP, which changes ln C_ell by 2 STEP either
    way.

    Returns
    -------
    k : (bins,) middle of each band [radians^-1 for lensing, h/Mpc else], geometric
    slopes : (d, channels, bins) in units of the targets, for each channel's own power
    """
    obs = obs[:MAPS]
    size, channels = obs.shape[1], obs.shape[-1]
    edges = band_edges(size, bins)
    wave = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) * size
    modes = np.fft.rfft2(obs, axes=(1, 2))
    slopes = np.empty((len(est.parameters), channels, bins))
    for b in range(bins):
        band = ((wave >= edges[b]) & (wave < edges[b + 1]))[:, :, None]
        part = np.fft.irfft2(modes * band, s=(size, size), axes=(1, 2)).astype(np.float32)
        for c in range(channels):
            change = STEP * part * (np.arange(channels) == c)
            slopes[:, c, b] = np.mean(est.mean(obs + change) - est.mean(obs - change), axis=0) / (4 * STEP)
    return np.sqrt(edges[1:] * edges[:-1]) * 2 * np.pi / (size * est.cfg.pixel_side), slopes

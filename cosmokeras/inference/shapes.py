"""Non-Gaussian statistics: skewness and kurtosis (moments), numbers of peaks and troughs of smoothed maps.

Moments of mass maps as in Gatti et al. 2020, MNRAS 498, 4060; peaks by height as in Dietrich & Hartlap 2010, MNRAS 402,
1049. Both are in units of the smoothed map's own standard deviation, so that they depend little on amplitudes,
which spectra measure.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

SCALES = (0.0, 0.7, 1.4, 2.8)  # Gaussian smoothing, sigma [pixels]
HEIGHTS = (1.0, 2.0, 3.0)  # of peaks above the mean, of troughs below it
BATCH = 64  # maps that are measured together: 4 channels of 64^2 pixels are 4 MiB, which stay in the cache


def smoothed_channels(obs: np.ndarray, scale: float = SCALES[-1]) -> np.ndarray:
    """Smoothed maps less their means, (channels, n, size^2) float32, of observed ones (n, size, size, channels)."""
    smooth = _smooth(np.moveaxis(obs, -1, 1), scale)
    smooth -= smooth.mean(axis=(2, 3), keepdims=True)
    return np.moveaxis(smooth, 1, 0).reshape(obs.shape[-1], len(obs), -1)


def signal_weights(smooth: np.ndarray) -> np.ndarray:
    """Weights (channels,) of the channels in the sum of highest signal-to-noise ratio.

    Noise is independent from channel to channel and of the same size in observed maps: the leading eigenvector of the
    covariance of smoothed maps is the Karhunen-Loeve mode of most signal (Tegmark, Taylor & Heavens 1997,
    astro-ph/9603021). `smooth` (channels, n, size^2) as of `smoothed_channels`.
    """
    flat = smooth.reshape(len(smooth), -1)
    leading = np.linalg.eigh(flat @ flat.T / flat.shape[1])[1][:, -1]
    return (leading * np.sign(leading.sum())).astype(np.float32)


def measure(obs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape features of observed maps (n, size, size, channels), (n, f) float32.

    For each of SCALES: skewness and excess kurtosis of each channel and, where there are several, of their sum with
    `weights`; then numbers of peaks above and of troughs below each of HEIGHTS in that sum.
    """
    parts = [obs[i : i + BATCH] for i in range(0, len(obs), BATCH)]
    # a thread for each core: products of small matrices are not shared out by themselves
    with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return np.concatenate(list(pool.map(lambda part: _measure(part, weights), parts)))


def _measure(obs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    planes = np.moveaxis(np.asarray(obs, np.float32), -1, 1)
    if len(weights) > 1:
        planes = np.concatenate([planes, np.einsum("ncyx,c->nyx", planes, weights)[:, None]], axis=1)
    columns = []
    for scale in SCALES:
        smooth = _smooth(planes, scale)
        smooth -= smooth.mean(axis=(2, 3), keepdims=True)
        square = np.square(smooth)
        std = np.sqrt(square.mean(axis=(2, 3), dtype=float)) + 1e-12
        columns.append((square * smooth).mean(axis=(2, 3), dtype=float) / std**3)
        columns.append(np.square(square).mean(axis=(2, 3), dtype=float) / std**4 - 3)
        unit = smooth[:, -1] / std[:, -1, None, None].astype(np.float32)
        columns += [_peaks(unit), _peaks(-unit)]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _smooth(planes: np.ndarray, scale: float) -> np.ndarray:
    """Planes (n, c, size, size) under a Gaussian that ends at the edges; matrix products are faster than filters."""
    if scale == 0:
        return planes.copy()
    pixel = np.arange(planes.shape[-1])
    kernel = np.exp(-0.5 * ((pixel[:, None] - pixel) / scale) ** 2)
    kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernel @ planes @ kernel.T


def _peaks(unit: np.ndarray) -> np.ndarray:
    """Numbers (n, heights) of pixels of (n, size, size) maps above each height and above their eight neighbours."""
    rows = np.maximum(np.maximum(unit[:, :-2], unit[:, 2:]), unit[:, 1:-1])
    around = np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 2:]), rows[:, :, 1:-1])
    inner = unit[:, 1:-1, 1:-1]
    top = np.where(inner >= around, inner, -np.inf)
    return np.stack([np.count_nonzero(top > height, axis=(1, 2)) for height in HEIGHTS], axis=1)


def of_negated(features: np.ndarray) -> np.ndarray:
    """Features (..., f) of the maps times -1, from those of the maps: equal on average in a Gaussian field only."""
    blocks = features.reshape(*features.shape[:-1], len(SCALES), -1)
    heights = len(HEIGHTS)
    planes = (blocks.shape[-1] - 2 * heights) // 2
    skewness, kurtosis, peaks, troughs = np.split(blocks, np.cumsum([planes, planes, heights]), axis=-1)
    return np.concatenate([-skewness, kurtosis, troughs, peaks], axis=-1).reshape(features.shape)


def names(channels: int) -> list[str]:
    """What each feature is, for people."""
    planes = [f"bin {c + 1}" for c in range(channels)] + ["the sum of bins"] if channels > 1 else ["the map"]
    out = []
    for scale in SCALES:
        smoothed = f" smoothed by {scale:g} pixels" if scale else ""
        for what in ("skewness", "kurtosis"):
            out += [f"{what} of {plane}{smoothed}" for plane in planes]
        out += [f"peaks above {height:g} sigma in {planes[-1]}{smoothed}" for height in HEIGHTS]
        out += [f"troughs below -{height:g} sigma in {planes[-1]}{smoothed}" for height in HEIGHTS]
    return out

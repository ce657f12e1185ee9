"""Bands of wavenumbers on the grid of rfft2, where a mode stands for two, but those of the outer columns for one."""

from __future__ import annotations

import itertools

import numpy as np


def bands(power: np.ndarray, k: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means over the modes of each band, (..., bands), of something on the grid of rfft2 with wavenumbers `k`."""
    weight = np.full(k.shape, 2.0)
    weight[:, [0, -1]] = 1.0
    inside = [(k >= low) & (k < high) for low, high in itertools.pairwise(edges)]
    return np.stack([power[..., i] @ weight[i] / weight[i].sum() for i in inside], axis=-1)


def band_centres(k: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean wavenumber of the modes of each band."""
    return bands(k, k, edges)


def wave_bands(n: int, side: float) -> np.ndarray:
    """Edges of bands of |k| about as wide as they are far from 0, each holding waves, within the Nyquist frequency."""
    return 2 * np.pi / side * (np.unique(np.rint(np.geomspace(1, n // 2, 14))) - 0.5)


def wave_pairs(k: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Independent waves in each band of the grid of rfft2 (a few per cent more: the outer columns hold some twice)."""
    return np.array([np.sum((k >= low) & (k < high)) for low, high in itertools.pairwise(edges)])

"""Summary statistics of observed maps: binned spectra, and any other along the stream of a split."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from cosmokeras.dataset.observed import observed_blocks
from cosmokeras.dataset.shards import Split
from cosmokeras.models.layers import Spectra
from cosmokeras.observation.ops.forward import Forward


def spectra(obs: np.ndarray, bins: int) -> np.ndarray:
    """Log auto- and plain cross-spectra of observed maps, (n, features); see `cosmokeras.models.layers.Spectra`."""
    layer = Spectra(bins)
    return np.concatenate([keras.ops.convert_to_numpy(layer(part)) for part in _parts(obs)])


def observed_features(
    split: Split, forward: Forward, features: Callable[[np.ndarray], np.ndarray], seeds: list[int]
) -> np.ndarray:
    """Features of a split's maps with the noise of each seed, (seeds, n, f); maps are not kept in memory."""
    return np.array([np.concatenate([features(m) for m in observed_blocks(split, forward, seed)]) for seed in seeds])


def _parts(obs: np.ndarray, batch: int = 256) -> list[np.ndarray]:
    return [obs[i : i + batch] for i in range(0, len(obs), batch)]

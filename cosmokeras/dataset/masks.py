"""Which mask each map of a split is behind: its own, or one that is drawn once and for all."""

from __future__ import annotations

import numpy as np

from cosmokeras.dataset.shards import Split
from cosmokeras.observation.ops.counters import pick


def mask_numbers(split: Split, seed: int, numbers: np.ndarray, masks: int) -> np.ndarray:
    """Masks (n,) int32 of maps `numbers` (n,), by number, of `masks` that there are; `seed` of those that are drawn."""
    return pick(seed, numbers, masks) if split.masks is None else split.masks[numbers]

"""All maps of a split as a survey shows them, in order, on the backend that runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosmokeras.common.in_order import in_order
from cosmokeras.dataset.masks import mask_numbers
from cosmokeras.dataset.shards import Split
from cosmokeras.dataset.signal import release_pages
from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.forward import Forward

BATCH = 256  # maps of a split that are handed out together
AHEAD = 2  # batches that are made while one is used


def observed_blocks(split: Split, forward: Forward, seed: int) -> Iterator[np.ndarray]:
    """All maps of a split with the noise of `seed`, in order, as blocks (BATCH, size, size, channels).

    Memory is that of a few blocks, however many maps there are: files are let go of when they were read.
    """
    forward.prepare()  # before there are threads
    starts = range(0, len(split), BATCH)

    def block(start: int) -> np.ndarray:
        numbers = np.arange(start, min(start + BATCH, len(split)))
        which = mask_numbers(split, seed, numbers, forward.masks)
        return observed_by(forward, split.read(numbers), seed, start, which=which)

    for maps in in_order(block, starts, AHEAD, threads=2):
        yield maps
        for array in split.arrays:
            release_pages(array)


def observed(split: Split, forward: Forward, seed: int) -> np.ndarray:
    """The same in memory, (n, size, size, channels)."""
    out, start = np.empty((len(split), forward.size, forward.size, forward.channels), np.float32), 0
    for maps in observed_blocks(split, forward, seed):
        out[start : start + len(maps)] = maps
        start += len(maps)
    return out

"""Functions of tensors on arrays of any length, in blocks of a few sizes: each size is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

BLOCK = 64  # maps at once, at most: their Fourier transforms take 2 MB for each map of 64^2 pixels


def in_blocks(function: Callable[..., Any], arrays: tuple[np.ndarray, ...], most: int = BLOCK) -> np.ndarray:
    """`function` of arrays of equal length, block by block, each row by itself; blocks are powers of 2.

    What a block lacks is filled up with its last row.
    """
    count = len(arrays[0])
    size = min(1 << (min(most, BLOCK).bit_length() - 1), 1 << max(0, count - 1).bit_length())
    parts = []
    for start in range(0, count, size):
        row = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(ops.convert_to_numpy(function(*(one[row] for one in arrays)))[: count - start])
    return np.concatenate(parts)

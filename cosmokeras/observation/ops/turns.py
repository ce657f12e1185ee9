"""Turns of square maps, by the symmetries of the square, and shifts of periodic ones: places to take pixels from."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from cosmokeras.observation.ops.counters import SHIFT, TURN, integers, whole_number, words

SYMMETRIES = 8


def turn_table(size: int) -> np.ndarray:
    """For each symmetry the pixels (8, size^2) int32 that the pixels of a turned map come from; the first is none."""
    place = np.arange(size * size, dtype=np.int32).reshape(size, size)
    found = []
    for code in range(SYMMETRIES):
        one = place.T if code & 4 else place
        one = one[:, ::-1] if code & 2 else one
        found.append((one[::-1] if code & 1 else one).ravel())
    return np.stack(found)


def turns(keys: Any) -> Any:
    """A symmetry for each row, int32 (n,)."""
    return integers(keys, SYMMETRIES, TURN)


def shifts(keys: Any, size: int) -> tuple[Any, Any]:
    """Pixels to shift by along both axes for each row, int32 (n, 1) each."""
    first, second = words(keys, 1, SHIFT)[:2]
    return whole_number(first, size), whole_number(second, size)


def sources(table: Any, code: Any, shift: tuple[Any, Any] | None = None) -> Any:
    """Pixels (n, size^2) that those of turned, and shifted, maps come from; `table` as `turn_table` makes it."""
    if shift is None:
        return ops.take(table, code, axis=0)
    size = round(table.shape[1] ** 0.5)
    place = np.arange(size * size, dtype=np.int32)[None]
    y, x = (
        (ops.convert_to_tensor(place // size) + shift[0]) % size,
        (ops.convert_to_tensor(place % size) + shift[1]) % size,
    )
    return ops.take(ops.reshape(table, (-1,)), code[:, None] * (size * size) + y * size + x, axis=0)


def taken(maps: Any, which: Any, source: Any) -> Any:
    """Pixels `source` (n, pixels) of maps `which` (n,) out of some (m, size, size, ...), as (n, pixels, ...).

    One gather of rows of a flat table, which all backends do fast.
    """
    flat = ops.reshape(maps, (-1, *maps.shape[3:]))
    return ops.take(flat, which[:, None] * (maps.shape[1] * maps.shape[2]) + source, axis=0)

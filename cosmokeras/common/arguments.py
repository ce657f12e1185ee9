"""Checks of what is passed to public functions: kind of number, shape, range. As strict as those of `params.yaml`.

A function that people call checks its arguments once, before any work; the loops behind it do not. What is wrong ends
in a `UserError` that names the argument, its value and what is allowed.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError

# An edge of the prior box is still the edge after it was stored as float32.
ROUNDING = float(np.finfo(np.float32).eps)
LARGEST = 2**63 - 1  # of the seeds that TensorFlow takes
NOTHING = "must hold at least one"


def shown(value: Any) -> str:
    """A value as it stands in a message: on one line, and not endless."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def path_of(name: str, value: Path | str) -> Path:
    """The path of a file or a folder."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or "\0" in os.fspath(value):
        raise UserError(f"{name}={shown(value)}: must be a path")
    return Path(value)


def keyed(name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A mapping whose keys are text."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UserError(f'{name}={shown(value)}: must be a mapping of keys, e.g. {{"data.size": 32}}')
    return value


def whole(name: str, value: int, least: int = 0, most: int | None = None) -> int:
    """A whole number of Python or NumPy, `least` or more; True and False are none."""
    allowed = f"{least} or more" if most is None else f"{least} to {most}"
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        raise UserError(f"{name}={shown(value)}: must be a whole number, {allowed}")
    return number


def number(name: str, value: float, low: float = -np.inf, high: float = np.inf, above: bool = False) -> float:
    """A finite real number from `low` to `high`; `above`: not `low` itself."""
    allowed = "a finite number"
    if np.isfinite(low):
        allowed += f" above {low:g}" if above else f", {low:g} or more" if np.isinf(high) else f" from {low:g}"
    if np.isfinite(high):
        allowed += f"{' and at most' if above else ' to'} {high:g}"
    try:
        array = real(name, value)
    except UserError:
        raise UserError(f"{name}={shown(value)}: must be {allowed}") from None
    if array.ndim or not np.isfinite(array) or not low <= array <= high or (above and array == low):
        raise UserError(f"{name}={shown(value)}: must be {allowed}")
    return float(array)


def real(name: str, values: Any, mask: bool = False) -> np.ndarray:
    """An array of integers or floats, of any shape and with NaN or not; `mask`: or of True and False.

    Text, complex numbers and objects are refused, and masked arrays too: what they hide would count as seen.
    """
    if np.ma.is_masked(values):
        raise UserError(f"{name}: a masked array; fill its masked values first")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{name}={shown(values)}: must be an array of real numbers, in rows of one length") from None
    if array.dtype.kind not in ("biuf" if mask else "iuf"):
        raise UserError(f"{name}: an array of {array.dtype}; must be of real numbers")
    return array


def finite(name: str, values: Any) -> np.ndarray:
    """A float64 array of any shape, without NaN and infinities."""
    array = real(name, values).astype(float)
    bad = ~np.isfinite(array)
    if bad.any():
        raise UserError(f"{name}: {int(bad.sum())} of {bad.size} numbers are NaN or infinite; must be finite")
    return array


def axis(name: str, values: Any, low: float = 0.0, above: bool = False) -> np.ndarray:
    """Wavenumbers, multipoles or distances: (n,) float64, finite and not below `low`; `above`: nor `low` itself."""
    array = finite(name, values)
    if array.ndim != 1:
        raise UserError(f"{name} of shape {array.shape}: must be one-dimensional, (n,)")
    if not array.size:
        raise UserError(f"{name} of shape {array.shape}: {NOTHING} number")
    lowest = array.min()
    if lowest < low or (above and lowest == low):
        raise UserError(f"{name}={lowest:g}: must be {f'above {low:g}' if above else f'{low:g} or more'}")
    return array


def rows(name: str, values: Any, names: Sequence[str], count: int | None = None) -> np.ndarray:
    """Parameters (n, p) float64, finite, columns `names`; `count` rows, where that is given."""
    array = real(name, values)
    want = f"({'n' if count is None else count}, {len(names)})"
    if array.ndim != 2 or array.shape[1] != len(names) or (count is not None and len(array) != count):
        hint = f"; a column is made by {name}[:, None]" if array.ndim == len(names) == 1 else ""
        raise UserError(f"{name} of shape {array.shape}: must be {want}, columns {', '.join(names)}{hint}")
    if not len(array):
        raise UserError(f"{name} of shape {array.shape}: {NOTHING} row; columns {', '.join(names)}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = bad[0]
        raise UserError(f"{name}: {names[column]}={array[row, column]:g} in row {row}; must be a finite number")
    return array.astype(float)


def in_box(
    name: str, values: Any, names: Sequence[str], bounds: np.ndarray, count: int | None = None, one: bool = False
) -> np.ndarray:
    """Parameters (n, p) as in `rows` that lie in a box, `bounds` (p, 2); `one`: a single row (p,) is one of n = 1.

    What lies outside an edge by the rounding of float32 is put onto the edge.
    """
    array = real(name, values)
    if one and array.shape == (len(names),):
        array = array[None]
    theta = rows(name, array, names, count)
    low, high = bounds.T
    theta = on_edges(theta, bounds)
    bad = np.argwhere((theta < low) | (theta > high))
    if len(bad):
        row, column = bad[0]
        many = len(np.unique(bad[:, 0]))
        more = f" ({many} rows in all)" if many > 1 else ""
        raise UserError(
            f"{name}: {names[column]}={theta[row, column]:.7g} in row {row}{more} is outside the prior box, "
            f"{low[column]:g} to {high[column]:g}; a wider prior in params.yaml allows it"
        )
    return theta


def on_edges(theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Rows (n, p), with what lies outside an edge of the box (p, 2) by the rounding of float32 put onto the edge."""
    inside = np.clip(theta, *bounds.T)
    return np.where(np.abs(theta - inside) <= ROUNDING * np.abs(bounds).max(axis=1), inside, theta)


def row_in_box(name: str, values: Any, names: Sequence[str], bounds: np.ndarray) -> list[float]:
    """One row (p,) that lies in a box, as plain numbers; quick, as simulators ask for it once per cosmology."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and values.shape == (len(names),):
        row: list[float] = values.tolist()
        if all(low <= x <= high for x, (low, high) in zip(row, bounds.tolist(), strict=True)):
            return row
    array = real(name, values)
    if array.shape != (len(names),):
        raise UserError(f"{name} of shape {array.shape}: must be ({len(names)},), for {', '.join(names)}")
    return in_box(name, array[None], names, bounds)[0].tolist()

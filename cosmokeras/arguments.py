"""Checks of what is passed to public functions: kind of number, shape, range. As strict as those of `params.yaml`.

A function that people call checks its arguments once, before any work; the loops behind it do not. What is wrong ends
in a `UserError` that names the argument, its value and what is allowed.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from cosmokeras.config import Config

# An edge of the prior box is still the edge after it was stored as float32.
ROUNDING = float(np.finfo(np.float32).eps)
LARGEST = 2**63 - 1  # of the seeds that TensorFlow takes
NOTHING = "must hold at least one"


def shown(value: Any) -> str:
    """A value as it stands in a message: on one line, and not endless."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def checked_config(cfg: Config) -> Config:
    """The first argument of most functions, and not the file that it is read from."""
    from cosmokeras.config import Config

    if not isinstance(cfg, Config):
        raise UserError(f"cfg={shown(cfg)}: must be the parameters that ck.load_params returns")
    return cfg


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
        raise UserError(f"{name}: a masked array, with numbers hidden; fill them first")
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


def cosmologies(cfg: Config, theta: Any) -> np.ndarray:
    """Free parameters (n, p), or (p,) of one cosmology, in the prior box: (n, p) float64."""
    return in_box("theta", theta, checked_config(cfg).parameter_names, cfg.bounds, one=True)


def cosmology(cfg: Config, theta: Any) -> list[float]:
    """The same of one row (p,), as plain numbers; quick, as simulators ask for it once per cosmology."""
    names = cfg.parameter_names
    if isinstance(theta, np.ndarray) and theta.dtype == np.float64 and theta.shape == (len(names),):
        row: list[float] = theta.tolist()
        if all(low <= x <= high for x, (low, high) in zip(row, cfg.bounds.tolist(), strict=True)):
            return row
    array = real("theta", theta)
    if array.shape != (len(names),):
        raise UserError(f"theta of shape {array.shape}: must be ({len(names)},), for {', '.join(names)}")
    return in_box("theta", array[None], names, cfg.bounds)[0].tolist()


def maps(
    cfg: Config, values: Any, name: str = "maps", varied: bool = False, dtype: DTypeLike | None = np.float32
) -> np.ndarray:
    """Maps (n, size, size, channels), free of NaN, as `dtype` (None: as they are).

    `varied`: no map is the same everywhere.
    """
    want = (checked_config(cfg).data.size, cfg.data.size, cfg.channels)
    array = real(name, values)
    if array.ndim != 4 or array.shape[1:] != want:
        raise UserError(f"{name} of shape {array.shape}: must be (n, {want[0]}, {want[1]}, {want[2]})")
    if not len(array):
        raise UserError(f"{name} of shape {array.shape}: {NOTHING} map")
    with np.errstate(over="ignore"):  # numbers beyond float32 are refused like infinities
        array = array.astype(array.dtype if dtype is None else dtype, copy=False)
    bad = ~np.isfinite(array).all(axis=(1, 2, 3))
    if bad.any():
        raise UserError(
            f"{name}: NaN or infinite pixels in map {int(np.flatnonzero(bad)[0])} ({int(bad.sum())} maps in all)"
        )
    if varied and (same := (array == array[:, :1, :1]).all(axis=(1, 2)).any(axis=1)).any():
        raise UserError(f"{name}: map {int(np.flatnonzero(same)[0])} is the same everywhere, and has no spectrum")
    return array


def coverage(cfg: Config, values: Any, count: int) -> np.ndarray:
    """Observed parts of the pixels of `count` maps, (count, size, size) as float32, from 0 to 1; or a mask."""
    array = real("coverage", values, mask=True)
    want = (count, cfg.data.size, cfg.data.size)
    if array.shape != want:
        raise UserError(f"coverage of shape {array.shape}: must be {want}, one for each map")
    array = array.astype(np.float32)
    bad = ~((array >= 0) & (array <= 1 + ROUNDING))
    if bad.any():
        raise UserError(f"coverage={array[bad][0]:g}: must be the observed part of each pixel, 0 to 1")
    if not (seen := array.any(axis=(1, 2))).all():
        raise UserError(f"coverage: no pixel of map {int(np.flatnonzero(~seen)[0])} is observed; leave such maps out")
    return array

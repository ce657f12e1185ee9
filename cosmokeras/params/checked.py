"""Checks of arguments that go with parameters: rows of the prior box, maps and coverage of the right shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

from cosmokeras.common.arguments import NOTHING, ROUNDING, in_box, real, shown
from cosmokeras.params.config import Config


def checked_config(cfg: Config) -> Config:
    """The first argument of most functions, and not the file that it is read from."""
    if not isinstance(cfg, Config):
        raise UserError(f"cfg={shown(cfg)}: must be the parameters that ck.load_params returns")
    return cfg


def cosmologies(cfg: Config, theta: Any) -> np.ndarray:
    """Free parameters (n, p), or (p,) of one cosmology, in the prior box: (n, p) float64."""
    return in_box("theta", theta, checked_config(cfg).parameter_names, cfg.bounds, one=True)


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
        raise UserError(f"coverage={array[bad][0]:g}: must be the observed fraction of each pixel, 0 to 1")
    if not (seen := array.any(axis=(1, 2))).all():
        raise UserError(f"coverage: no pixel of map {int(np.flatnonzero(~seen)[0])} is observed; leave such maps out")
    return array

"""Pixels without data that are not marked as such: values that no noisy observation has.

Noise does not repeat one number: each number that a file can hold is about as frequent as its neighbours. A value far
more frequent than those (0 in star holes, the fill value of a strip) stands for missing data, and so does one far
beyond all others (-99). Maps stored in coarse steps repeat all their values alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError

Missing = float | Literal["nan"] | None

MIN_FRACTION = 1e-4  # of the observed pixels of a file; fewer are too few to shift a result
MIN_PIXELS = 4
NEIGHBOURS = 64  # values on either side; sums of rounded numbers, as float16 of signal and noise, favour one in some
EXCESS = 4.0  # a value more frequent than this factor times the most frequent of its neighbours is none of noise
SCATTER = 8  # pixels more, by chance
ZERO_EXCESS = 1.1  # in coarse steps, by this factor 0 may be more frequent than the values around it predict
MIN_COUNT = 200  # pixels around 0, for that prediction
OUTLIER = 30.0  # standard deviations from the median
MAX_KAPPA = 10.0  # no convergence is as large in one pixel
BLOCK = 8  # pixels along the side of the squares whose noise is looked at
WITH_NOISE = 0.5  # maps of which most squares have less than this part of the expected noise have none of it
NOISELESS = 0.2  # a square with less than this part of the expected noise holds no data


def must_be_a_mask(path: Path, values: np.ndarray) -> None:
    """Refuse numbers in a mask that are neither 0 nor 1."""
    if values.dtype == bool:
        return
    odd = ~((values == 0) | (values == 1))
    if odd.any():
        raise UserError(f"{path}: a mask is 0 or 1 (observed), but it holds {values[odd][0]:.6g}; threshold it first")


class RepeatedValue(NamedTuple):
    """A value that stands for missing data, and how many of the observed pixels have it."""

    value: float
    pixels: int


def is_missing(maps: np.ndarray, value: Missing) -> np.ndarray:
    """Where maps of any shape have the value that stands for missing pixels, as float32 at most."""
    if value is None:
        return np.zeros(maps.shape, bool)
    if value == "nan":
        return np.isnan(maps)
    with np.errstate(over="ignore"):
        stored = np.float32(maps.dtype.type(value))
        same: np.ndarray = maps.astype(np.float32, copy=False) == stored
    return same


def repeated_values(values: np.ndarray, noise: bool = True) -> list[RepeatedValue]:
    """Values of noisy pixels that stand for missing data, the most frequent first.

    Parameters
    ----------
    values : (n,) observed pixels of one map, finite
    noise : all values are looked at, else (maps without noise) only 0

    Examples
    --------
    >>> pixels = np.random.default_rng(0).normal(size=1000)
    >>> pixels[:30] = 0
    >>> repeated_values(pixels), repeated_values(np.round(8 * pixels[30:]) / 8)
    ([RepeatedValue(value=0.0, pixels=30)], [])
    """
    if values.dtype == np.float16:
        values = values.astype(np.float32)  # numpy 2.4.6 leaves millions of float16 numbers out of order
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) < 2:
        return [RepeatedValue(float(levels[0]), int(counts[0]))] if len(levels) and (noise or levels[0] == 0) else []
    bad = np.zeros(len(levels), bool)
    frequent = np.flatnonzero((counts >= MIN_PIXELS) & ((counts > EXCESS + SCATTER) | (levels == 0)))
    steps = np.delete(np.arange(-NEIGHBOURS, NEIGHBOURS + 1), NEIGHBOURS)
    expected = np.pad(counts, NEIGHBOURS)[NEIGHBOURS + frequent[:, None] + steps].max(axis=1)
    bad[frequent] = counts[frequent] > EXCESS * expected + np.where(levels[frequent] == 0, 0, SCATTER)
    middle = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - middle)))
    zero = int(np.searchsorted(levels, 0))
    if zero < len(levels) and levels[zero] == 0:
        bad[zero] |= _too_many_zeros(levels, counts, zero, sigma)
    if noise:
        bad |= _outliers(levels, counts, middle, sigma)
    else:
        bad &= levels == 0
    order = np.flatnonzero(bad)[np.argsort(-counts[bad], kind="stable")]
    return [RepeatedValue(float(levels[i]), int(counts[i])) for i in order]


def _too_many_zeros(levels: np.ndarray, counts: np.ndarray, zero: int, sigma: float) -> bool:
    """Whether 0, among values in equal steps, is more frequent than those around it say."""
    if not 2 <= zero < len(levels) - 2:
        return False
    step = float(levels[zero + 1])
    reach = int(np.clip(sigma / (2 * step), 2, NEIGHBOURS))  # over half a sigma a Gaussian changes by 12 %
    if not reach <= zero < len(levels) - reach:
        return False
    steps = np.diff(levels[zero - reach : zero + reach + 1].astype(np.float64))
    around = np.delete(counts[zero - reach : zero + reach + 1], reach)
    if np.ptp(steps) > 0.02 * step or around.sum() < MIN_COUNT:
        return False
    count = int(counts[zero])
    if reach > 2:
        predicted, variance = float(np.log(around.mean())), 1 / around.sum()
    else:  # of a parabola in ln(count), which a Gaussian is
        weights = np.array([-1, 4, 4, -1]) / 6
        predicted, variance = float(weights @ np.log(around)), float(weights**2 @ (1 / around))
    return bool(np.log(count) - predicted > np.log(ZERO_EXCESS) + 6 * np.sqrt(1 / count + variance))


def _outliers(levels: np.ndarray, counts: np.ndarray, middle: float, sigma: float) -> np.ndarray:
    """Values OUTLIER standard deviations from the median, if they are repeated or too large for a convergence."""
    far = np.zeros(len(levels), bool)
    if sigma > 0:  # levels rise
        with np.errstate(over="ignore"):
            low, high = (levels.dtype.type(middle + side * OUTLIER * sigma) for side in (-1, 1))
        first, last = np.searchsorted(levels, low), np.searchsorted(levels, high, side="right")
        far[:first], far[last:] = True, True
        far &= (counts > 1) | (np.abs(levels) >= MAX_KAPPA)
    return far


def must_be_marked(maps: np.ndarray, observed: np.ndarray, where: str, advice: str, noise: bool = True) -> None:
    """Refuse maps with values among the observed pixels that no observation has.

    Parameters
    ----------
    maps : (n, pixels, channels), finite where observed
    observed : (n, pixels) bool
    where, advice : the file, and what to do about it, for the message
    noise : False for maps in which values may repeat, of which only zeros are looked for
    """
    total: dict[float, int] = {}
    outlier = False
    for one, seen in zip(maps, observed, strict=True):
        for channel in range(one.shape[-1]):
            for value, pixels in repeated_values(one[seen, channel], noise):
                total[value] = total.get(value, 0) + pixels
                outlier |= abs(value) >= MAX_KAPPA
    pixels, of = sum(total.values()), int(np.count_nonzero(observed)) * maps.shape[-1]
    if not total or (not outlier and pixels < max(MIN_PIXELS, MIN_FRACTION * of)):
        return
    value = max(total, key=lambda one: total[one])
    name = str(maps.dtype.type(value) + 0).removesuffix(".0")  # as few digits as tell it from others
    others = f" (and {len(total) - 1} other such values)" if len(total) > 1 else ""
    raise UserError(
        f"{where}: {total[value]} of {of} observed pixels are exactly {name}{others}, many more "
        f"than by chance: missing data; {advice.format(value=name)}"
    )


def must_differ(maps: np.ndarray, observed: np.ndarray, where: str) -> None:
    """Refuse bins that are one and the same map: other galaxies have other noise.

    Parameters
    ----------
    maps : (n, pixels, channels)
    observed : (n, pixels) bool
    """
    for second in range(1, maps.shape[-1]):
        for first in range(second):
            if np.array_equal(maps[observed, first], maps[observed, second]):
                raise UserError(
                    f"{where}: bins {first + 1} and {second + 1} are the same in all observed pixels; "
                    "give each tomographic bin its own map"
                )


def noiseless_pixels(maps: np.ndarray, observed: np.ndarray, sigma: np.ndarray) -> int:
    """Observed pixels in squares that have hardly any noise: filled, smoothed or beyond the footprint.

    Parameters
    ----------
    maps : (n, h, w, channels)
    observed : (n, h, w) bool
    sigma : (channels,) noise of a pixel
    """
    n, height, width, channels = maps.shape
    rows, columns = height // BLOCK, width // BLOCK
    if not rows or not columns:
        return 0
    seen = observed[:, : rows * BLOCK, : columns * BLOCK]
    part = np.where(seen[..., None], maps[:, : rows * BLOCK, : columns * BLOCK], 0).astype(np.float64)
    shape = (n, rows, BLOCK, columns, BLOCK)
    hits = seen.reshape(shape).sum(axis=(2, 4))
    first, second = (np.sum(x.reshape(*shape, channels), axis=(2, 4)) for x in (part, part**2))
    count = np.maximum(hits, 1)[..., None]
    scatter = np.sqrt(np.maximum(second / count - (first / count) ** 2, 0))
    good = hits >= BLOCK**2 // 2
    noiseless = np.zeros(hits.shape, bool)
    for channel, one in enumerate(sigma):
        noiseless |= lacks_noise(scatter[..., channel], good, float(one))
    return int(hits[noiseless].sum())


def lacks_noise(scatter: np.ndarray, good: np.ndarray, sigma: float) -> np.ndarray:
    """Squares whose scatter is none of noise `sigma`, of those that are `good` to judge.

    Of maps without noise, of which most squares have little scatter, there are none.
    """
    typical = float(np.median(scatter[good])) if good.any() else 0.0
    if typical < WITH_NOISE * sigma:
        return np.zeros(scatter.shape, bool)
    noiseless: np.ndarray = good & (scatter < NOISELESS * min(sigma, typical))
    return noiseless

"""Delete-a-group jack-knife over the sky: does the result depend on a few patches?

Blocks of neighbouring patches are left out in turn. The spread of the estimates without each block is an error that no
simulation goes into: it holds whatever varies over the sky, systematics included. Blocks differ in size by a patch:
unequal groups (Busing, Meijer & van der Leeden 1999, Statistics and Computing 9, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosmokeras.sky.positions import unwrapped

BLOCKS = 20  # the error from g blocks is known to 1 / sqrt(2 (g - 1)): 16 %
MIN_PATCHES = 8  # the same is 27 %


@dataclass(frozen=True)
class Jackknife:
    """`std` (d,) of the estimate; `max_pull` (d,), the largest pull of a block, and that block's number `block` (d,).

    A pull is the difference of a block's pseudo-value from the mean of the others', in units of its expected scatter:
    an externally studentised residual, Student's t with (blocks - 2) degrees of freedom under the null hypothesis.
    Positive: the block raises the estimate.
    """

    blocks: list[np.ndarray]
    std: np.ndarray
    max_pull: np.ndarray
    block: np.ndarray


def neighbours(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Order (n,) of positions [deg] in which successive ones are neighbours: strips of declination, to and fro.

    Positions that are unknown (NaN) stay as they are.
    """
    n = len(ra)
    if not np.isfinite([ra, dec]).all():
        return np.arange(n)
    ra = unwrapped(ra)
    # as wide as a strip's blocks are long
    strips = np.array_split(np.argsort(dec, kind="stable"), max(1, round(np.sqrt(min(n, BLOCKS)))))
    rows = [strip[np.argsort(ra[strip], kind="stable")] for strip in strips]
    return np.concatenate([row[:: 1 - 2 * (i % 2)] for i, row in enumerate(rows)])


def blocks_of(ra: np.ndarray, dec: np.ndarray) -> list[np.ndarray]:
    """Patches (their numbers) in at most 20 blocks of neighbours, equal in size to within one patch."""
    order = neighbours(ra, dec)
    return np.array_split(order, min(BLOCKS, len(order)))


def jackknife(estimate: Callable[[np.ndarray], np.ndarray], ra: np.ndarray, dec: np.ndarray) -> Jackknife | None:
    """Leave blocks out in turn; None with fewer than 8 patches.

    Parameters
    ----------
    estimate : numbers of the patches to use (m,) -> their combined estimate (d,)
    ra, dec : (n,) positions of the patches [deg], NaN where unknown
    """
    n = len(ra)
    if n < MIN_PATCHES:
        return None
    blocks, everything = blocks_of(ra, dec), np.arange(n)
    without = np.array([estimate(np.setdiff1d(everything, block)) for block in blocks])  # (g, d)
    share = np.array([n / len(block) for block in blocks])[:, None]  # h of Busing et al.
    own = share * estimate(everything) - (share - 1) * without  # pseudo-values
    total = np.sum(own / share, axis=0)
    scaled = (own - total) / np.sqrt(share - 1)
    std = np.sqrt(np.mean(scaled**2, axis=0))
    pulls = _pulls(scaled)
    block = np.abs(pulls).argmax(axis=0)
    max_pull = np.take_along_axis(pulls, block[None], axis=0)[0]
    return Jackknife(blocks=blocks, std=std, max_pull=max_pull, block=block)


def _pulls(values: np.ndarray) -> np.ndarray:
    """Externally studentised residuals of values (g, d): from the mean of the others, by the error these expect."""
    g = len(values)
    mean = (values.sum(axis=0) - values) / (g - 1)
    square = (np.sum(values**2, axis=0) - values**2) / (g - 1)
    variance = np.maximum(square - mean**2, 0) * (g - 1) / (g - 2) * g / (g - 1)
    difference = values - mean
    # blocks that agree to the last digit are no outliers
    return np.divide(difference, np.sqrt(variance), out=np.zeros_like(difference), where=variance > 0)

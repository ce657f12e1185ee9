"""Does the result hang on a few patches? Blocks of neighbouring patches are left out in turn.

The spread of the answers without each block is an error bar that no simulation goes into: it holds whatever varies from
place to place, systematics included. Blocks differ in size by a patch, so that it is the delete-a-group jack-knife for
unequal groups (Busing, Meijer & van der Leeden 1999, Statistics and Computing 9, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosmokeras.sky.positions import unwrapped

BLOCKS = 20
FEWEST = 8  # patches; a spread of fewer numbers is itself known to no better than 30 %


@dataclass(frozen=True)
class Jackknife:
    """`std` (d,) of the estimate; `max_pull` (d,) of the block that stands out most, and its number `block` (d,).

    A pull is how far what a block says by itself is from what the other blocks say, in units of the scatter of those:
    Student's t with (blocks - 2) degrees of freedom if nothing is wrong. Positive: the block pulls the answer up.
    """

    blocks: list[np.ndarray]
    std: np.ndarray
    max_pull: np.ndarray
    block: np.ndarray


def neighbours(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Order (n,) of places [deg] in which those that follow each other are close: strips of declination, to and fro.

    Places without coordinates (NaN) stay as they are.
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
    estimate : numbers of the patches to use (m,) -> what they say together (d,)
    ra, dec : (n,) places of the patches [deg], NaN where there are none
    """
    n = len(ra)
    if n < FEWEST:
        return None
    blocks, everything = blocks_of(ra, dec), np.arange(n)
    without = np.array([estimate(np.setdiff1d(everything, block)) for block in blocks])  # (g, d)
    share = np.array([n / len(block) for block in blocks])[:, None]  # h of Busing et al.
    own = share * estimate(everything) - (share - 1) * without  # pseudo-values: what each block says by itself
    total = np.sum(own / share, axis=0)
    scaled = (own - total) / np.sqrt(share - 1)
    std = np.sqrt(np.mean(scaled**2, axis=0))
    pulls = _pulls(scaled)
    block = np.abs(pulls).argmax(axis=0)
    return Jackknife(blocks, std, np.take_along_axis(pulls, block[None], axis=0)[0], block)


def _pulls(values: np.ndarray) -> np.ndarray:
    """How far each of values (g, d) is from the mean of the others, in units of the error expected from these."""
    g = len(values)
    mean = (values.sum(axis=0) - values) / (g - 1)
    square = (np.sum(values**2, axis=0) - values**2) / (g - 1)
    variance = np.maximum(square - mean**2, 0) * (g - 1) / (g - 2) * g / (g - 1)
    away = values - mean
    # blocks that agree to the last digit are no outliers
    return np.divide(away, np.sqrt(variance), out=np.zeros_like(away), where=variance > 0)

"""Where square patches are cut out of a flat map, so that as much observed sky as possible is kept.

Patches do not overlap. They stand in rows, each row at the height and its patches at the columns that keep most; or in
columns likewise; or on the grid that begins in the upper left corner; or each is the first from the top, or from
the left, that fits. The best is taken, and of equal ones the grid.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.sky.pixels import USED

Corners = list[tuple[int, int]]


def best_corners(coverage: np.ndarray, size: int, max_masked: float) -> Corners:
    """Upper left corners of the patches of `size` pixels, row by row.

    Parameters
    ----------
    coverage : (h, w) observed fraction of each pixel; pixels of USED and more count
    max_masked : largest part of a patch that may be masked

    Examples
    --------
    Two patches lie in this mask, on no grid that begins in a corner:

    >>> mask = np.zeros((8, 12))
    >>> mask[2:6, 1:9] = 1
    >>> best_corners(mask, 4, 0.0)
    [(2, 1), (2, 5)]
    """
    if min(coverage.shape) < size:
        return []
    worth = _worth(coverage, size, max_masked)
    grid = [(int(y) * size, int(x) * size) for y, x in np.argwhere(worth[::size, ::size])]
    rows = _best_rows(worth, size)
    columns = [(y, x) for x, y in _best_rows(worth.T, size)]
    greedy = greedy_corners(coverage, size, max_masked)
    transposed = [(y, x) for x, y in greedy_corners(coverage.T, size, max_masked)]
    candidates = [grid, rows, columns, greedy, transposed]
    kept = [_kept(coverage, corners, size) for corners in candidates]
    return sorted(candidates[kept.index(max(kept))])


def used_part(coverage: np.ndarray, corners: Corners, size: int) -> float:
    """Part of the observed pixels of a map (h, w) that lies in the patches."""
    return _kept(coverage, corners, size) / max(int(np.count_nonzero(coverage >= USED)), 1)


def words(patches: int, part: float) -> str:
    """How many patches there are and what part of the observed sky they hold, for the provenance."""
    return f"{patches} patch{'es' if patches != 1 else ''} with {part:.1%} of the observed sky"


def _kept(coverage: np.ndarray, corners: Corners, size: int) -> int:
    return sum(int(np.count_nonzero(coverage[y : y + size, x : x + size] >= USED)) for y, x in corners)


def _worth(coverage: np.ndarray, size: int, max_masked: float) -> np.ndarray:
    """Observed pixels of the patch at each corner, 0 where too much of it is masked."""
    masked = masked_fraction(coverage, size)
    return np.where(masked <= max_masked, np.rint((1 - masked) * size**2), 0).astype(np.int64)


def _best_rows(worth: np.ndarray, size: int) -> Corners:
    """Corners of most worth, of patches in rows that do not overlap: the best row at each height, then the best rows.

    Both are the choice of intervals of one length with the largest sum (dynamic programming, from the end, so that of
    equal choices the first is found).
    """
    columns = worth.shape[1]
    best = np.zeros((worth.shape[0], columns + size), np.int64)
    for x in range(columns - 1, -1, -1):
        best[:, x] = np.maximum(best[:, x + 1], worth[:, x] + best[:, x + size])
    row = best[:, 0]
    heights = _intervals(row, size)
    return [(y, x) for y in heights for x in _intervals(worth[y], size)]


def _intervals(worth: np.ndarray, size: int) -> list[int]:
    """Starts of the intervals of length `size`, of largest total worth; those without any are left out."""
    best = [0] * (len(worth) + size)
    for i in range(len(worth) - 1, -1, -1):
        best[i] = max(best[i + 1], int(worth[i]) + best[i + size])
    chosen, i = [], 0
    while i < len(worth) and best[i]:
        if worth[i] and best[i] == worth[i] + best[i + size]:
            chosen.append(i)
            i += size
        else:
            i += 1
    return chosen


def masked_fraction(coverage: np.ndarray, size: int) -> np.ndarray:
    """Masked fraction of every square of `size` pixels in a map (h, w), (h - size + 1, w - size + 1) by its corner."""
    total = np.pad(np.cumsum(np.cumsum(coverage < USED, axis=0), axis=1), ((1, 0), (1, 0)))
    return (total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]) / size**2


def greedy_corners(coverage: np.ndarray, size: int, max_masked: float) -> list[tuple[int, int]]:
    """Corners of squares that do not overlap, each the first from the top, then from the left, that is good enough.

    Finds more squares than a fixed grid in a footprint that is not one. `coverage` is (h, w).
    """
    free = masked_fraction(coverage, size) <= max_masked
    corners = []
    while free.any():
        y, x = (int(i) for i in np.unravel_index(free.argmax(), free.shape))
        corners.append((y, x))
        free[max(0, y - size + 1) : y + size, max(0, x - size + 1) : x + size] = False
    return corners


def cut(images: np.ndarray, corners: list[tuple[int, int]], size: int) -> np.ndarray:
    """Squares (len(corners), size, size, ...) of an image (h, w, ...)."""
    shape = (len(corners), size, size, *images.shape[2:])
    return np.array([images[y : y + size, x : x + size] for y, x in corners], images.dtype).reshape(shape)

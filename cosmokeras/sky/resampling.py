"""Maps brought to the pixels that are trained on: unmasked pixels put back on their mask, averaged, cut into patches.

A pixel of training is the mean of what lies in it, as pixels of simulated maps are (`simulators.averaging`). Means over
pixels twice, three times as large are means of the files' pixels, and have the window of the larger pixel exactly; over
others they have it but for the error of an interpolation: 1e-3 of a mode at half of the highest wavenumber of the new
pixels if these are 1.2 times as large, 2e-4 if 1.5 times (averages by overlap: 0.11 and 0.09).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cosmokeras.common.errors import UserError

SAME = 0.01  # by which pixels may differ and be taken for the same
POINTS = 10  # edges of pixels that an interpolation goes through
MOST_BLUR = 1 - SAME  # pixels of training may not be finer than those of the files


def unpack(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Map (y, x, channels) of the unmasked pixels (pixels, channels), row by row, 0 where masked."""
    out = np.zeros((*mask.shape, values.shape[-1]), values.dtype)
    out[mask] = values
    return out


def ratio(own: float, trained: float, key: str) -> float:
    """How many pixels of the files, along a side, a pixel of training has: 1 where they are the same."""
    found = trained / own
    if abs(found - 1) <= SAME:
        return 1.0
    if found < MOST_BLUR:
        raise UserError(
            f"{key}={own:g}: coarser than the pixels that are trained on, {trained:g}; what is between them is not in "
            "the files: set lensing.pixel_arcmin (or data.size) to pixels of theirs"
        )
    return float(round(found)) if abs(found / round(found) - 1) <= SAME / 10 else found


@lru_cache(maxsize=8)
def averaging(count: int, times: float, points: int = POINTS) -> np.ndarray:
    """Weights (m, count) float32 by which `count` pixels are averaged to m, `times` as large; rows sum to 1.

    The integral of a map up to the edges of its pixels is known exactly; between them it is interpolated by polynomials
    through `points` edges (2: pixels are averaged by overlap), and its differences are means over the new pixels.
    """
    m = int(np.floor(count / times + 1e-6))
    edges = np.minimum(np.arange(m + 1) * times, count)
    first = np.clip(np.floor(edges + 1e-9).astype(int) - points // 2 + 1, 0, count + 1 - points)
    nodes = first[:, None] + np.arange(points)
    integral = np.zeros((m + 1, count + 1))
    for j in range(points):  # Lagrange's polynomials
        others = np.delete(nodes, j, axis=1)
        factors = (edges[:, None] - others) / (nodes[:, j : j + 1] - others)
        integral[np.arange(m + 1), nodes[:, j]] = factors.prod(axis=1)
    summed = np.tri(count + 1, count, -1)  # of the pixels before an edge
    return (np.diff(integral, axis=0) @ summed / times).astype(np.float32)


def resampled(maps: np.ndarray, times: float, mask: np.ndarray | None = None) -> np.ndarray:
    """Maps (n, y, x, channels) averaged over pixels `times` as large; masked pixels (y, x) do not count."""
    if times == 1:
        return maps
    points = POINTS if mask is None else 2  # weights of what is seen are not below 0
    rows, columns = (averaging(n, times, min(points, n + 1)) for n in maps.shape[1:3])
    if mask is None:
        return _averaged(maps, rows, columns)
    seen = mask.astype(np.float32)[None, :, :, None]
    weight = _averaged(seen, rows, columns)
    return np.where(weight > 0, _averaged(maps * seen, rows, columns) / np.maximum(weight, 1e-6), 0).astype(np.float32)


def _averaged(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("iy,nyxc,jx->nijc", rows, maps.astype(np.float32), columns, optimize=True)


def grid_corners(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Upper left corners of the patches of `size` pixels in a map without a mask: as many as fit, in its middle."""
    rows, columns = height // size, width // size
    top, left = (height - rows * size) // 2, (width - columns * size) // 2
    return [(top + y * size, left + x * size) for y in range(rows) for x in range(columns)]

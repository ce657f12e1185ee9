"""Sums over galaxies in HEALPix pixels, for the pixels that have some: memory goes with the footprint.

Galaxies are added one by one in the order of the file, so that no sum depends on how large the pieces were.
"""

from __future__ import annotations

import numpy as np
from numba import njit

COUNT, WEIGHT, E1, E2, SQUARE = range(5)  # columns of sums: of 1, w, w e1, w e2, w^2 |e|^2
PAIRS = 5  # first column of the pairs that follow: means of the PSF, of additive biases, of rotated galaxies


class PixelSums:
    """Sums (pixels, bins, columns) of a catalogue, with the numbers (pixels,) of pixels that have galaxies, RING.

    `extra` is how many pairs of columns each galaxy brings besides its ellipticity, `rotations` how often each is
    turned by a random angle: shape noise of the same galaxies with their weights and places.
    """

    def __init__(self, nside: int, bins: int, extra: int = 0, rotations: int = 0) -> None:
        self.nside, self.bins, self.extra, self.rotations = nside, bins, extra, rotations
        self.place = np.full(12 * nside**2, -1, np.int32)  # row of each pixel of the sphere
        self.pixels = np.zeros(0, np.int64)
        self.used = 0
        self.sums = np.zeros((0, bins, PAIRS + 2 * (extra + rotations)))

    def add(
        self, pixel: np.ndarray, number: np.ndarray, weight: np.ndarray, e: np.ndarray, extra: np.ndarray,
        turns: np.ndarray,
    ) -> None:  # fmt: skip
        """Add galaxies.

        Parameters
        ----------
        pixel, number : (n,) int64, pixel and bin
        weight : (n,)
        e : (2, n)
        extra : (2 extra, n)
        turns : (n, rotations), from 0 to 1: angles of 2 phi over 2 pi
        """
        rows = np.empty(pixel.size, np.int64)
        new = np.empty(min(pixel.size, self.place.size), np.int64)
        total = _rows(pixel, self.place, self.used, rows, new)
        if total > len(self.sums):
            room = max(total, min(int(1.5 * len(self.sums)), self.place.size))
            grown = np.zeros((room, *self.sums.shape[1:]))
            grown[: self.used] = self.sums[: self.used]
            self.sums = grown
            self.pixels = np.append(self.pixels, np.zeros(room - self.pixels.size, np.int64))
        self.pixels[self.used : total] = new[: total - self.used]
        self.used = total
        _add(self.sums, rows, number, weight, e[0], e[1], extra, turns)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of pixels (pixels,), ascending, and their sums (pixels, bins, columns)."""
        order = np.argsort(self.pixels[: self.used])
        return self.pixels[order], self.sums[order]


@njit(cache=True)
def _rows(pixel: np.ndarray, place: np.ndarray, used: int, rows: np.ndarray, new: np.ndarray) -> int:
    """Row of the pixel of each galaxy, where a pixel seen first gets the next one; returns how many are in use."""
    first = used
    for i in range(pixel.size):
        p = pixel[i]
        if place[p] < 0:
            place[p] = used
            new[used - first] = p
            used += 1
        rows[i] = place[p]
    return used


@njit(cache=True, error_model="numpy")
def _add(
    sums: np.ndarray, rows: np.ndarray, number: np.ndarray, weight: np.ndarray, e1: np.ndarray, e2: np.ndarray,
    extra: np.ndarray, turns: np.ndarray,
) -> None:  # fmt: skip
    """Add each galaxy to the sums of its pixel and bin."""
    pairs = extra.shape[0]
    for i in range(rows.size):
        one = sums[rows[i], number[i]]
        w, a, b = weight[i], e1[i], e2[i]
        one[0] += 1.0
        one[1] += w
        one[2] += w * a
        one[3] += w * b
        one[4] += w * w * (a * a + b * b)
        for k in range(pairs):
            one[5 + k] += w * extra[k, i]
        for r in range(turns.shape[1]):
            angle = 2.0 * np.pi * turns[i, r]
            c, s = np.cos(angle), np.sin(angle)
            one[5 + pairs + 2 * r] += w * (a * c - b * s)
            one[6 + pairs + 2 * r] += w * (a * s + b * c)

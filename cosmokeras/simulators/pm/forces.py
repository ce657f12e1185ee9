"""Gravity among particles in a periodic cube, on a mesh with as many points as there are particles.

Cloud-in-cell (Hockney & Eastwood 1988, Computer Simulation Using Particles) both ways, its window divided out twice,
-1/k^2, and differences of four points for the gradient. Positions are in cells of the mesh, and need not lie inside of
the cube. One thread, particles in their order, whole numbers from the processor's own arithmetic: the same bytes in
every run.

A mesh at rest adds power near its Nyquist frequency with every step, as particles start on its points: it is moved by
a random part of a cell at each step.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import fft

ONE, TWO = np.float32(1), np.uint64(2)
NEAR, FAR = np.float32(2 / 3), np.float32(-1 / 12)  # of a derivative by differences of four points


def density(x: np.ndarray, offset: np.ndarray, n: int) -> np.ndarray:
    """Density contrast (n, n, n) float32 of particles at x (3, n^3) [cells] on a mesh moved by `offset` (3,) [cells].

    n is a power of two.
    """
    mesh = np.zeros((n, n, n), np.float32)
    _paint(x, np.asarray(offset, np.float32), mesh.reshape(-1), np.uint64(n))
    mesh -= 1
    return mesh


def inverse_laplacian(n: int, sharpen: bool = True) -> np.ndarray:
    """-1/k^2 [cells^2] of the modes of rfftn of a cube of n^3 points, 0 at k = 0, float32.

    `sharpen`: the window of clouds in cells is divided out twice, once for painting and once for reading.
    """
    frequency = np.fft.fftfreq(n)
    k2 = ((2 * np.pi * frequency) ** 2).astype(np.float32)
    square = k2[:, None, None] + k2[None, :, None] + k2[None, None, : n // 2 + 1]
    square[0, 0, 0] = np.inf
    if sharpen:
        clouds = (np.sinc(frequency) ** 4).astype(np.float32)
        for one in (clouds[:, None, None], clouds[None, :, None], clouds[None, None, : n // 2 + 1]):
            square *= one
    return np.divide(-1, square, out=square)


def potential(modes: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Field (n, n, n) float32 whose Laplacian has the `modes` of rfftn, given `inverse_laplacian`."""
    return fft.irfftn(modes * inverse, s=(len(modes),) * 3, workers=1, overwrite_x=True)


def kick(
    x: np.ndarray, v: np.ndarray, offset: np.ndarray, field: np.ndarray, keep: float, gain: float, drift: float
) -> None:
    """v = keep v - gain grad(field) at the particles, then x += drift v, in place; (3, n^3) float32 [cells]."""
    n, slope = np.uint64(len(field)), np.empty((field.size, 3), np.float32)
    _gradient(field.reshape(-1), slope, n)
    _kick(x, v, np.asarray(offset, np.float32), slope, np.float32(keep), np.float32(gain), np.float32(drift), n)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cell(a: np.float32) -> tuple[np.int64, np.float32]:
    """Mesh point below a coordinate, not wrapped around, and how far beyond it that is."""
    i = np.int64(np.floor(a))
    return i, np.float32(a - np.float32(i))


@njit(cache=True, nogil=True, error_model="numpy")
def _paint(x: np.ndarray, offset: np.ndarray, mesh: np.ndarray, n: np.uint64) -> None:
    mask, one, plane = n - np.uint64(1), np.uint64(1), n * n
    for p in range(x.shape[1]):
        ci, a = _cell(x[0, p] + offset[0])
        cj, b = _cell(x[1, p] + offset[1])
        ck, c = _cell(x[2, p] + offset[2])
        # a power of two wraps around by its lowest bits, negative numbers too; indices without sign need no check
        i, j, k = np.uint64(ci) & mask, np.uint64(cj) & mask, np.uint64(ck) & mask
        i1, j1, k1 = (i + one) & mask, (j + one) & mask, (k + one) & mask
        i, i1, j, j1 = i * plane, i1 * plane, j * n, j1 * n
        w00, w01, w10, w11 = (ONE - a) * (ONE - b), (ONE - a) * b, a * (ONE - b), a * b
        d = ONE - c
        mesh[i + j + k] += w00 * d
        mesh[i + j + k1] += w00 * c
        mesh[i + j1 + k] += w01 * d
        mesh[i + j1 + k1] += w01 * c
        mesh[i1 + j + k] += w10 * d
        mesh[i1 + j + k1] += w10 * c
        mesh[i1 + j1 + k] += w11 * d
        mesh[i1 + j1 + k1] += w11 * c


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient(field: np.ndarray, out: np.ndarray, n: np.uint64) -> None:
    """Gradient of a cube (n^3,) by differences of four points, its components side by side, (n^3, 3)."""
    mask, one, plane = n - np.uint64(1), np.uint64(1), n * n
    for i in range(n):
        u = np.uint64(i)
        a, b = ((u - TWO) & mask) * plane, ((u - one) & mask) * plane
        c, d = ((u + one) & mask) * plane, ((u + TWO) & mask) * plane
        for j in range(n):
            v = np.uint64(j)
            row, line = u * plane, v * n
            e, f = row + ((v - TWO) & mask) * n, row + ((v - one) & mask) * n
            g, h = row + ((v + one) & mask) * n, row + ((v + TWO) & mask) * n
            for k in range(n):
                w = np.uint64(k)
                at, here = row + line + w, line + w
                out[at, 0] = NEAR * (field[c + here] - field[b + here]) + FAR * (field[d + here] - field[a + here])
                out[at, 1] = NEAR * (field[g + w] - field[f + w]) + FAR * (field[h + w] - field[e + w])
                out[at, 2] = NEAR * (
                    field[row + line + ((w + one) & mask)] - field[row + line + ((w - one) & mask)]
                ) + FAR * (field[row + line + ((w + TWO) & mask)] - field[row + line + ((w - TWO) & mask)])


@njit(cache=True, nogil=True, error_model="numpy")
def _kick(
    x: np.ndarray,
    v: np.ndarray,
    offset: np.ndarray,
    slope: np.ndarray,
    keep: np.float32,
    gain: np.float32,
    drift: np.float32,
    n: np.uint64,
) -> None:
    """`kick` with the `slope` that `_gradient` gives."""
    mask, one, plane = n - np.uint64(1), np.uint64(1), n * n
    for p in range(x.shape[1]):
        ci, a = _cell(x[0, p] + offset[0])
        cj, b = _cell(x[1, p] + offset[1])
        ck, c = _cell(x[2, p] + offset[2])
        i, j, k = np.uint64(ci) & mask, np.uint64(cj) & mask, np.uint64(ck) & mask
        i1, j1, k1 = (i + one) & mask, (j + one) & mask, (k + one) & mask
        i, i1, j, j1 = i * plane, i1 * plane, j * n, j1 * n
        w00, w01, w10, w11 = (ONE - a) * (ONE - b), (ONE - a) * b, a * (ONE - b), a * b
        d = ONE - c
        q0, q1, q2, q3 = i + j + k, i + j1 + k, i1 + j + k, i1 + j1 + k
        r0, r1, r2, r3 = i + j + k1, i + j1 + k1, i1 + j + k1, i1 + j1 + k1
        for axis in range(3):
            first = w00 * slope[q0, axis] + w01 * slope[q1, axis] + w10 * slope[q2, axis] + w11 * slope[q3, axis]
            last = w00 * slope[r0, axis] + w01 * slope[r1, axis] + w10 * slope[r2, axis] + w11 * slope[r3, axis]
            v[axis, p] = keep * v[axis, p] - gain * (d * first + c * last)
            x[axis, p] += drift * v[axis, p]

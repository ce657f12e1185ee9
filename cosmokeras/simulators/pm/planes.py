"""Slabs of a box of particles, projected along its three axes, and the modes of their density."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import fft

from cosmokeras.simulators.pm.forces import kick, potential
from cosmokeras.simulators.pm.steps import Snapshot

HALVES = 2  # slabs of a box along each axis
AXES = 3
# Particles move down that part of the potential that a mesh misses (potential gradient descent; Dai, Feng & Seljak
# 2018, JCAP 11, 009): waves longer than 2 pi / 4 and shorter than 2 pi / 1 Mpc/h, by a factor.
DESCENT, LONGEST, SHORTEST = 0.003, 1.0, 4.0
ONE = np.float32(1)


def descent(inverse: np.ndarray, side: float) -> np.ndarray | None:
    """What the modes of a cube's density are multiplied by for the potential that particles move down [cells^2].

    alpha exp(-(k_l / k)^2 - (k / k_s)^4) times `inverse`, of `inverse_laplacian`; `side` of the cube in Mpc/h. None
    where the mesh hardly has waves that short.
    """
    n = len(inverse)
    if np.pi * n / side < 2 * LONGEST:
        return None
    k2 = (2 * np.pi * np.fft.fftfreq(n, side / n)) ** 2
    square = k2[:, None, None] + k2[None, :, None] + k2[None, None, : n // 2 + 1]
    square[0, 0, 0] = np.inf
    gain = DESCENT * np.exp(-(LONGEST**2) / square - (square / SHORTEST**2) ** 2)
    gain[0, 0, 0] = 0
    return inverse * gain.astype(np.float32)


def sharpened(snapshot: Snapshot, gain: np.ndarray | None) -> np.ndarray:
    """Positions (3, n^3) [cells] of the particles of a snapshot after the `descent`."""
    if gain is None:
        return snapshot.x
    moved, way = snapshot.x.copy(), np.zeros_like(snapshot.x)
    kick(moved, way, snapshot.offset, potential(snapshot.modes, gain), 0.0, 1.0, 1.0)
    return moved


def planes(x: np.ndarray, n: int, size: int, highest: int) -> np.ndarray:
    """Modes of the density contrast of the slabs of a cube, (AXES, HALVES, 2 highest + 1, highest + 1) complex64.

    Particles at x (3, n^3) [cells] are spread over clouds in the cells of `size` points on a side, a power of two,
    whose window is divided out. Rows are the wavenumbers -highest to highest, columns 0 to highest, in units of the
    fundamental; contrasts are Re sum_m c_m F_m exp(i k_m x) with c = 1 in the first column and 2 elsewhere.
    """
    mesh = np.zeros((AXES, HALVES, size, size), np.float32)
    bits = np.int64((n // HALVES).bit_length() - 1)
    _paint(x, mesh.reshape(AXES, HALVES, size * size), np.float32(size / n), bits, np.uint64(size))
    mesh *= HALVES * size**2 / n**3
    modes = fft.rfft2(mesh, workers=1) / np.float32(size**2)
    rows = np.arange(-highest, highest + 1)
    kept = modes[..., rows % size, : highest + 1]
    kept[..., highest, 0] -= 1
    clouds = np.sinc(rows / size) ** -2
    return kept * (clouds[:, None] * clouds[highest:]).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cell(a: np.float32) -> tuple[np.int64, np.float32]:
    i = np.int64(np.floor(a))
    return i, np.float32(a - np.float32(i))


@njit(cache=True, nogil=True, error_model="numpy")
def _paint(x: np.ndarray, mesh: np.ndarray, finer: np.float32, bits: np.int64, size: np.uint64) -> None:
    mask, one = size - np.uint64(1), np.uint64(1)
    for axis in range(3):
        along, down, across = x[axis], x[(axis + 1) % 3], x[(axis + 2) % 3]
        for p in range(x.shape[1]):
            slab = mesh[axis, (np.int64(np.floor(along[p])) >> bits) & 1]
            ci, a = _cell(down[p] * finer)
            cj, b = _cell(across[p] * finer)
            i, j = np.uint64(ci) & mask, np.uint64(cj) & mask
            i1, j1 = ((i + one) & mask) * size, (j + one) & mask
            i *= size
            slab[i + j] += (ONE - a) * (ONE - b)
            slab[i + j1] += (ONE - a) * b
            slab[i1 + j] += a * (ONE - b)
            slab[i1 + j1] += a * b

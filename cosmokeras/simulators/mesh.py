"""Periodic cubes: mass assignment, its window in Fourier space, the power spectrum, and projection in slabs.

The schemes are the hierarchy of Hockney & Eastwood 1988 ("Computer Simulation Using Particles", ch. 5): `cic`
shares a particle among the 2 nearest mesh points along each axis, `tsc` among 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from scipy import fft

Scheme = Literal["cic", "tsc"]
ORDER = {"cic": 2, "tsc": 3}  # mesh points along each axis that share a particle


def assign(
    positions: np.ndarray | Sequence[np.ndarray], size: int, box_size: float, scheme: Scheme = "tsc"
) -> np.ndarray:
    """Density contrast of particles of equal mass in a periodic cube.

    Mesh point (i, j, l) lies at (i, j, l) box_size / size. The sum runs over the particles in their order, on one core:
    the result is the same in every run and on any number of cores.

    Parameters
    ----------
    positions : (n, 3), or the coordinates x, y, z as three arrays of any shape, in units of `box_size`; those outside
        the cube are wrapped around
    size : mesh points on a side
    box_size : side of the cube

    Returns
    -------
    (size, size, size), of the positions' precision (float32 or float64); its mean is 0
    """
    if isinstance(positions, np.ndarray) and positions.ndim == 2:
        if positions.shape[1] != 3:
            msg = f"positions of shape {positions.shape}: must be (n, 3) or three arrays"
            raise ValueError(msg)
        positions = positions.T
    x, y, z = (np.ravel(one) for one in positions)
    mesh = np.zeros((size, size, size), np.result_type(x, np.float32))
    {"cic": _cic, "tsc": _tsc}[scheme](x, y, z, size / box_size, mesh)
    mesh *= mesh.size / len(x)
    mesh -= 1
    return mesh


@njit(cache=True, nogil=True, inline="always")
def _neighbours(i: int, n: int) -> tuple[int, int, int]:
    """Mesh points i - 1, i, i + 1, wrapped around."""
    if i < 0 or i >= n:  # rare, and a division costs more than all the rest
        i %= n
    return (i - 1 if i > 0 else n - 1), i, (i + 1 if i < n - 1 else 0)


@njit(cache=True, nogil=True)
def _cic(x: np.ndarray, y: np.ndarray, z: np.ndarray, scale: float, mesh: np.ndarray) -> None:
    n = mesh.shape[0]
    for p in range(x.size):
        a, b, c = x[p] * scale, y[p] * scale, z[p] * scale
        i, j, m = int(np.floor(a)), int(np.floor(b)), int(np.floor(c))
        a, b, c = a - i, b - j, c - m
        rows, columns, depths = _neighbours(i, n), _neighbours(j, n), _neighbours(m, n)
        wx, wy, wz = (1 - a, a), (1 - b, b), (1 - c, c)
        for u in range(2):
            for v in range(2):
                weight = wx[u] * wy[v]
                for w in range(2):
                    mesh[rows[u + 1], columns[v + 1], depths[w + 1]] += weight * wz[w]


@njit(cache=True, nogil=True)
def _tsc(x: np.ndarray, y: np.ndarray, z: np.ndarray, scale: float, mesh: np.ndarray) -> None:
    n = mesh.shape[0]
    for p in range(x.size):
        a, b, c = x[p] * scale, y[p] * scale, z[p] * scale
        i, j, m = int(np.floor(a + 0.5)), int(np.floor(b + 0.5)), int(np.floor(c + 0.5))
        a, b, c = a - i, b - j, c - m  # -1/2 to 1/2 from the nearest mesh point
        rows, columns, depths = _neighbours(i, n), _neighbours(j, n), _neighbours(m, n)
        wx = (0.5 * (0.5 - a) ** 2, 0.75 - a * a, 0.5 * (0.5 + a) ** 2)
        wy = (0.5 * (0.5 - b) ** 2, 0.75 - b * b, 0.5 * (0.5 + b) ** 2)
        wz = (0.5 * (0.5 - c) ** 2, 0.75 - c * c, 0.5 * (0.5 + c) ** 2)
        for u in range(3):
            for v in range(3):
                weight = wx[u] * wy[v]
                for w in range(3):
                    mesh[rows[u], columns[v], depths[w]] += weight * wz[w]


def window(size: int, scheme: Scheme, shot_noise: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of the scheme's response on the modes of rfftn, to be multiplied: (size, 1, 1), (1, size, 1), (1, 1, -).

    By default that of the assignment function, sinc(k cell / 2)^order. With `shot_noise` the response to particles
    placed at random, power folded back by the mesh included (Jing 2005, ApJ 620, 559, eqs. 18-20): only with this one
    is a compensated spectrum of pure shot noise flat up to the Nyquist frequency.
    """
    phase = np.pi * np.fft.fftfreq(size)  # k cell / 2
    if not shot_noise:
        one = np.sinc(phase / np.pi) ** ORDER[scheme]
    else:
        sine = np.sin(phase) ** 2
        one = np.sqrt({"cic": 1 - 2 / 3 * sine, "tsc": 1 - sine + 2 / 15 * sine**2}[scheme])
    return one[:, None, None], one[None, :, None], one[None, None, : size // 2 + 1]


@dataclass(frozen=True)
class Spectrum:
    """Power spectrum in bins of |k|.

    `k` is the mean wavenumber of the modes in a bin, `power` their mean power and `modes` their number, k and -k
    counted both. For a box in Mpc/h: h/Mpc and (Mpc/h)^3.
    """

    k: np.ndarray
    power: np.ndarray
    modes: np.ndarray


def power_spectrum(
    delta: np.ndarray, box_size: float, scheme: Scheme | None = None, shot_noise: bool = False
) -> Spectrum:
    """Power spectrum of a periodic cube, |delta_k|^2 V / N^2 averaged in shells up to the Nyquist frequency.

    Shell b holds the modes with b < |k| L / 2 pi <= b + 1: steps of the fundamental 2 pi / L, edges in the lower shell,
    without k = 0. Shot noise is not subtracted.

    Parameters
    ----------
    delta : (n, n, n) density contrast
    box_size : its side L
    scheme : divide by the window of this assignment scheme; None: do not
    shot_noise : which window, see `window`
    """
    n = delta.shape[0]
    number = squared_modes(n)
    power = np.abs(fft.rfftn(delta, workers=1)) ** 2
    power = power.astype(float) * (box_size**3 / float(delta.size) ** 2)
    if scheme is not None:
        for factor in window(n, scheme, shot_noise):
            power /= factor**2
    # rfftn keeps one of each pair k, -k, but for the planes that hold their own conjugates
    twice = np.full(number.shape, 2.0)
    twice[..., 0] = 1.0
    if n % 2 == 0:
        twice[..., -1] = 1.0
    radius = np.sqrt(np.arange(number.max() + 1))
    shell = np.ceil(radius).astype(int)[number]  # exact: the root of a square number is exact
    modes, sum_k, sum_power = (
        np.bincount(shell.ravel(), weights.ravel())[1 : n // 2 + 1]
        for weights in (twice, twice * radius[number], twice * power)
    )
    mean_k = 2 * np.pi / box_size * sum_k / modes
    return Spectrum(k=mean_k, power=sum_power / modes, modes=modes.astype(int))


def squared_modes(n: int) -> np.ndarray:
    """(|k| L / 2 pi)^2 of the modes of rfftn of a cube of n^3 points, whole numbers (n, n, n // 2 + 1) int32."""
    i = np.rint(np.fft.fftfreq(n, 1 / n)).astype(np.int32) ** 2
    return i[:, None, None] + i[None, :, None] + i[None, None, : n // 2 + 1]


def project(field: np.ndarray, slabs: int, size: int) -> np.ndarray:
    """Means of a cube (n, n, n) over slabs and pixels, (3 slabs, size, size).

    The three axes take turns; along an axis the slabs come in the order of `far_apart`. `slabs` and `size` divide n.
    """
    n = len(field)
    # what slabs and pixels have in common is averaged once for all axes
    block = int(np.gcd(n // slabs, n // size))
    if block > 1:
        n //= block
        field = field.reshape(n, block, n, block, n, block).mean(axis=(1, 3, 5))
    planes, pixel = n // slabs, n // size
    per_axis = [
        np.moveaxis(field, axis, 0).reshape(slabs, planes, size, pixel, size, pixel).mean(axis=(1, 3, 5))
        for axis in range(3)
    ]
    return np.stack([one[far_apart(slabs)] for one in per_axis], axis=1).reshape(3 * slabs, size, size)


def far_apart(n: int) -> np.ndarray:
    """0 to n - 1 on a ring in bit-reversed order (van der Corput), evenly spread: 0, n / 2, n / 4, 3 n / 4, ..."""
    bits = (n - 1).bit_length()
    halving = [int(f"{i:0{bits}b}"[::-1], 2) * n >> bits for i in range(1 << bits)]
    return np.array(list(dict.fromkeys(halving)))


def slab_power(
    power: Callable[[np.ndarray], np.ndarray],
    k: np.ndarray,
    thickness: float,
    box_size: float,
    cell: float | None = None,
) -> np.ndarray:
    """Two-dimensional spectrum of the mean density in a slab [(Mpc/h)^2], at wavenumbers k [h/Mpc] in its plane.

    P_2D(k) = int dk_par / 2 pi  P(sqrt(k^2 + k_par^2)) sinc^2(k_par S / 2) for thickness S [Mpc/h]. In a periodic cube
    of side `box_size` [Mpc/h] the integral is the sum over its own waves, k_par = 2 pi m / box_size. Given the `cell`
    of a mesh the slab is the mean of its planes, whose window is that of `pixel_power` along one axis. The window of
    the pixels is not in it.
    """
    step = 2 * np.pi / box_size
    if cell is None:
        lobes = 16  # of sinc^2; of a white spectrum the rest holds less than 1 %, of a falling one far less
        m = np.arange(int(np.ceil(lobes * 2 * np.pi / thickness / step)) + 1)
        window = np.sinc(m * step * thickness / (2 * np.pi))
    else:
        m = np.arange(int(np.pi / cell / step * (1 + 1e-9)) + 1)
        window = _mean_of_points(m * step * cell, round(thickness / cell))
    weight = window**2 * step / (2 * np.pi)
    # k_par and -k_par, which at the Nyquist frequency of the mesh are one
    weight[1:] *= 2
    if cell is not None and np.isclose(m[-1] * step * cell, np.pi):
        weight[-1] /= 2
    k = np.asarray(k, dtype=float)
    return power(np.hypot(k[..., None], m * step)) @ weight


def pixel_power(
    power: Callable[[np.ndarray], np.ndarray],
    kx: np.ndarray,
    ky: np.ndarray,
    size: int,
    particles: int,
    box_size: float,
) -> np.ndarray:
    """Spectrum of a map whose pixels are means of f x f points of a mesh, f = particles / size.

    A mean of f points multiplies a wave's amplitude by sin(f x / 2) / (f sin(x / 2)) along each axis, x = k cell; modes
    of the mesh beyond the pixels' Nyquist frequency are aliased to lower ones, and add to their power.

    Parameters
    ----------
    power : two-dimensional spectrum of the mesh, a function of |k|
    kx, ky : components of k [rad / unit of `box_size`], within the pixels' Nyquist frequency
    size, particles : pixels and mesh points on a side
    box_size : side of the map
    """
    f, cell = particles // size, box_size / particles
    nyquist = np.pi / cell
    aliased = np.zeros(np.broadcast_shapes(np.shape(kx), np.shape(ky)))
    for fold_x in range(f):
        for fold_y in range(f):
            # the mesh holds modes up to its own Nyquist frequency
            qx, qy = (
                np.mod(k + fold * 2 * nyquist / f + nyquist, 2 * nyquist) - nyquist
                for k, fold in ((kx, fold_x), (ky, fold_y))
            )
            window = _mean_of_points(qx * cell, f) * _mean_of_points(qy * cell, f)
            aliased += window**2 * power(np.hypot(qx, qy))
    return aliased


def _mean_of_points(x: np.ndarray, f: int) -> np.ndarray:
    """Amplitude that f neighbouring points leave of a wave with phase x from one to the next."""
    sine = np.sin(x / 2)
    still = np.abs(sine) < 1e-12
    return np.where(still, 1.0, np.sin(f * x / 2) / np.where(still, 1.0, f * sine))

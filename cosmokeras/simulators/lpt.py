"""Matter in three dimensions by second-order Lagrangian perturbation theory, projected in slabs.

Particles move from q to q + D psi1 + D^2 Omega_m(z)^(-1/143) psi2 with psi1 = -grad phi1, psi2 = -(3/7) grad phi2,
laplacian phi1 = delta_lin(z = 0), laplacian phi2 = sum_{i>j} (phi1,ii phi1,jj - phi1,ij^2) (Bouchet et al. 1995, A&A
296, 575; Scoccimarro 1998, MNRAS 299, 1097, appendix D). The growth D is 1 at z = 0.

A cube gives three maps, one along each axis, for every slab that it is cut into. Slabs of one cube are not independent:
they share modes longer than a slab, and slabs of different axes intersect. The first realisations of a cosmology are
those that share least: the three axes in turn, and along each axis slabs as far apart as can be.

A cube of 128^3 takes a quarter of a second: maps come fastest when a cosmology has many realisations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import normal_modes
from cosmokeras.simulators.mesh import assign, pixel_power, project, slab_power, squared_modes, window
from cosmokeras.theory.matter import linear
from cosmokeras.theory.table import TheoryTable, theory_table

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

LABELS = ("k [h/Mpc]", "P(k) [(Mpc/h)$^2$]")


def displacements(delta: np.ndarray, box_size: float) -> tuple[np.ndarray, np.ndarray]:
    """First- and second-order displacements of particles that start on the mesh points.

    Parameters
    ----------
    delta : (n, n, n) linear density contrast at D = 1, periodic, float32 or float64
    box_size : side of the cube [Mpc/h]

    Returns
    -------
    psi1, psi2 : (3, n, n, n) each [Mpc/h], of the precision of `delta`
    """
    potential, box_size = _modes(delta), _side(box_size)
    inverse = _inverse_laplacian(len(delta), box_size, potential.real.dtype)
    potential *= inverse
    second = fft.rfftn(_second_source(potential, box_size), workers=1)
    second *= inverse
    psi1 = np.stack([_gradient(potential, axis, box_size) for axis in range(3)])
    psi2 = np.stack([_gradient(second, axis, box_size) for axis in range(3)])
    psi1 *= -1
    psi2 *= -3 / 7
    return psi1, psi2


def density(
    delta: np.ndarray, box_size: float, growth: float = 1.0, order: int = 2, omega_m_z: float = 1.0
) -> np.ndarray:
    """Density contrast of the particles after they have moved, one for each cell, starting on the mesh points.

    Parameters
    ----------
    delta : (n, n, n) linear density contrast at D = 1, periodic
    box_size : side of the cube [Mpc/h]
    growth : growth factor D
    order : 2, or 1 for the approximation of Zel'dovich (1970, A&A 5, 84)
    omega_m_z : Omega_m at the redshift of `growth`; enters by its (-1/143)th power

    Returns
    -------
    (n, n, n) by triangular-shaped clouds, their window divided out
    """
    order, growth = arguments.whole("order", order, 1, 2), arguments.number("growth", growth, 0.0)
    omega_m_z = arguments.number("omega_m_z", omega_m_z, 0.0, 1.0, above=True)
    return _evolve(_modes(delta), _side(box_size), growth, order, omega_m_z)


def _modes(delta: np.ndarray) -> np.ndarray:
    delta = arguments.real("delta", delta)
    if delta.ndim != 3 or len(set(delta.shape)) != 1 or not delta.size:
        raise UserError(f"density contrast of shape {delta.shape}: must be a cube (n, n, n)")
    if not np.isfinite(delta).all():
        raise UserError("density contrast: NaN or infinite cells; must be finite")
    return fft.rfftn(delta, workers=1)


def _side(box_size: float) -> float:
    return arguments.number("box_size", box_size, 0.0, above=True)


def _evolve(modes: np.ndarray, box_size: float, growth: float, order: int, omega_m_z: float) -> np.ndarray:
    """`density` from the modes (rfftn) of the linear field; overwrites them."""
    n = modes.shape[0]
    inverse = _inverse_laplacian(n, box_size, modes.real.dtype)
    modes *= inverse
    if order == 2:
        second = fft.rfftn(_second_source(modes, box_size), workers=1)
        second *= inverse
        second *= 3 / 7 * growth**2 * omega_m_z ** (-1 / 143)
        modes *= growth
        modes += second
    else:
        modes *= growth
    start = (np.arange(n) * (box_size / n)).astype(modes.real.dtype)
    positions, square = [], 0.0
    for axis in range(3):
        position = _gradient(modes, axis, box_size)
        square += np.vdot(position, position)
        np.subtract(np.expand_dims(start, [a for a in range(3) if a != axis]), position, out=position)
        positions.append(position)
    return _sharpen(assign(positions, n, box_size), box_size, float(np.sqrt(square / (3 * n**3))))


def _sharpen(field: np.ndarray, box_size: float, spread: float) -> np.ndarray:
    """The field with the response of triangular-shaped clouds from the mesh points divided out."""
    modes = fft.rfftn(field, workers=1)
    modes /= response(len(field), box_size, spread, field.dtype)
    for factor in window(len(field), "tsc"):
        modes *= (1 / factor).astype(field.dtype)
    return fft.irfftn(modes, s=field.shape, overwrite_x=True, workers=1)


def response(n: int, box_size: float, spread: float, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Linear response of particles that start on the mesh points, beyond the assignment window; modes of rfftn.

    Such particles alias the waves k + m K e_i (K = 2 pi / cell, e_i along an axis, m = +-1, +-2, ...) onto k. With
    displacements that are Gaussian of rms `spread` [Mpc/h] along each axis the amplitude of the density at k becomes

        1 + sum_{i, m} W(k + m K e_i) / W(k)  (1 + m K k_i / k^2)  exp(-(m K spread)^2 / 2),

    W the window of the clouds. For a spread of 0 and a wave along an axis this is their central difference,
    1 - (k cell)^2 / 24; from a spread of half a cell on it is 1. It is kept above 1/2: waves near the Nyquist
    frequency, which small displacements hardly show, are not amplified any further.
    """
    nyquist_twice = 2 * np.pi * n / box_size
    k = 2 * np.pi * np.fft.fftfreq(n, box_size / n)
    m = np.array([m for m in range(-8, 9) if m])[:, None]
    folded = (np.where(m % 2, -1.0, 1.0) * k / (k + m * nyquist_twice)) ** 3
    folded *= np.exp(-0.5 * (m * nyquist_twice * spread) ** 2)
    plain, slope = folded.sum(axis=0), (folded * m).sum(axis=0) * nyquist_twice * k
    out = _sum_of_axes(slope, dtype)
    out *= -_inverse_laplacian(n, box_size, dtype)
    out += _sum_of_axes(plain, dtype)
    out += 1
    return np.maximum(out, 0.5, out=out)


def _along_axes(values: np.ndarray, dtype: DTypeLike) -> list[np.ndarray]:
    """The same n numbers along each axis of the modes of rfftn, which keep half of the last axis."""
    values = values.astype(dtype)
    return [values[:, None, None], values[None, :, None], values[None, None, : len(values) // 2 + 1]]


def _sum_of_axes(values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    x, y, z = _along_axes(values, dtype)
    return (x + y) + z


def _wavenumbers(n: int, box_size: float, odd: bool = False) -> np.ndarray:
    """Wavenumbers [h/Mpc] along an axis, the Nyquist frequency positive, as rfftn has it along the last one.

    `odd`: 0 at the Nyquist frequency, whose sine the mesh does not see, so that odd derivatives have none of it.
    """
    k = 2 * np.pi * np.fft.fftfreq(n, box_size / n)
    if n % 2 == 0:
        k[n // 2] = 0.0 if odd else -k[n // 2]
    return k


def _inverse_laplacian(n: int, box_size: float, dtype: DTypeLike) -> np.ndarray:
    """-1 / k^2 of the modes of rfftn, 0 at k = 0."""
    square = _sum_of_axes(_wavenumbers(n, box_size) ** 2, dtype)
    square[0, 0, 0] = -np.inf
    return np.divide(-1, square, out=square)


def _gradient(modes: np.ndarray, axis: int, box_size: float) -> np.ndarray:
    n = len(modes)
    k = _along_axes(1j * _wavenumbers(n, box_size, odd=True), modes.dtype)[axis]
    return fft.irfftn(modes * k, s=(n, n, n), overwrite_x=True, workers=1)


def _second_source(potential: np.ndarray, box_size: float) -> np.ndarray:
    """sum_{i>j} (phi,ii phi,jj - phi,ij^2), (n, n, n), from the modes of phi."""
    n, dtype = len(potential), potential.real.dtype
    even, odd = (_along_axes(_wavenumbers(n, box_size, odd), dtype) for odd in (False, True))

    def derivative(i: int, j: int) -> np.ndarray:
        factor = -(even[i] ** 2) if i == j else -odd[i] * odd[j]
        return fft.irfftn(potential * factor, s=(n, n, n), overwrite_x=True, workers=1)

    xx, yy = derivative(0, 0), derivative(1, 1)
    source = xx * yy
    xx += yy
    xx *= derivative(2, 2)
    source += xx
    for i, j in ((0, 1), (0, 2), (1, 2)):
        mixed = derivative(i, j)
        mixed *= mixed
        source -= mixed
    return source


@dataclass(frozen=True)
class Grid:
    """What all cosmologies share: the theory table and the cube's modes (`squared_modes`)."""

    table: TheoryTable
    number: np.ndarray


def prepare(cfg: Config, progress: bool = False) -> Grid:
    """The theory table over the prior box, and the modes of the cube."""
    return Grid(table=theory_table(cfg, progress), number=squared_modes(cfg.lpt.particles))


def maps(
    cfg: Config, grid: Grid, theta: np.ndarray, rng_of: Callable[[int], np.random.Generator], count: int
) -> np.ndarray:
    """Mean overdensity in slabs, (count, size, size, 1) float32, noise-free, of one cosmology.

    Realisation r comes from the cube of rng_of(r // number of a cube's maps). A pixel is the mean of the mesh points in
    it, whose window `pixel_power` describes.
    """
    lpt, values = cfg.lpt, cfg.cosmology(theta)
    k = 2 * np.pi / lpt.box_mpc_h * np.sqrt(np.arange(1, grid.number.max() + 1))
    power = np.append(0.0, grid.table.linear_at(values, k))
    amplitude = np.sqrt(power / lpt.box_mpc_h**3).astype(np.float32) * np.float32(lpt.particles**3)
    grown, omega_m_z = grid.table.grown(values, lpt.redshift)
    slabs = slab_count(cfg)
    out = np.empty((count, cfg.data.size, cfg.data.size, 1), np.float32)
    for first in range(0, count, 3 * slabs):
        modes = gaussian_modes(rng_of(first // (3 * slabs)), amplitude[grid.number])
        field = _evolve(modes, lpt.box_mpc_h, grown, 2, omega_m_z)
        out[first : first + 3 * slabs, ..., 0] = project(field, slabs, cfg.data.size)[: count - first]
    return out


def gaussian_modes(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
    """Modes (rfftn) of a real Gaussian field in a cube, complex64, with <|mode|^2> = amplitude^2.

    Modes are drawn independently in the half space; the planes that hold their own conjugates are treated as in
    `cosmokeras.simulators.fields.mode_amplitude`.
    """
    modes = normal_modes(rng, amplitude.shape)
    modes *= amplitude
    modes[..., 0] *= np.float32(np.sqrt(2))
    if len(amplitude) % 2 == 0:
        modes[..., -1] *= np.float32(np.sqrt(2))
    return modes


def slab_count(cfg: Config) -> int:
    """Slabs along one axis of the cube."""
    return max(1, round(cfg.lpt.box_mpc_h / cfg.lpt.slab_mpc_h))


def spectrum(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Spectra of the maps in linear theory, (n, 1, len(k)) [(Mpc/h)^2], as the pixels show them; k in h/Mpc."""
    lpt = cfg.lpt
    box, cell = lpt.box_mpc_h, lpt.box_mpc_h / lpt.particles
    nodes = np.geomspace(min(2 * np.pi / box, np.min(k)) / 2, 2 * np.pi / cell, 400)
    angle = (np.arange(32) + 0.5) * np.pi / 64  # a quarter of the circle is enough
    kx, ky = np.multiply.outer(k, np.cos(angle)), np.multiply.outer(k, np.sin(angle))
    cubes = [_in_log(nodes, row) for row in linear(cfg, theta, nodes)]
    planes = [_in_log(nodes, slab_power(cube, nodes, box / slab_count(cfg), box, cell)) for cube in cubes]
    shown = [pixel_power(plane, kx, ky, cfg.data.size, lpt.particles, box) for plane in planes]
    return np.mean(shown, axis=2)[:, None]


def _in_log(nodes: np.ndarray, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Interpolation linear in the logarithms of both."""
    return lambda k: np.exp(np.interp(np.log(k), np.log(nodes), np.log(values)))

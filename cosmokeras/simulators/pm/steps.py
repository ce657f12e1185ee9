"""Particles of a periodic cube moved by BullFrog steps: drift, kick, drift in the growth factor.

BullFrog (Rampf, List & Hahn 2024, arXiv:2409.19049) chooses the factor by which a kick keeps velocities
so that second-order perturbation theory is met at the end of every step, whatever its length. It may begin at D = 0, on
the lattice, with the velocities of the growing mode.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft

from cosmokeras.simulators.pm.forces import density, inverse_laplacian, kick, potential
from cosmokeras.simulators.pm.growth import Growth


@dataclass
class Snapshot:
    """Particles half-way through a step: positions (3, n^3) [cells], modes of their density, the mesh's offset."""

    x: np.ndarray
    modes: np.ndarray
    offset: np.ndarray


def lattice(n: int) -> np.ndarray:
    """Positions (3, n^3) float32 of particles at rest, one at each mesh point [cells]."""
    one = np.arange(n, dtype=np.float32)
    return np.stack(np.meshgrid(one, one, one, indexing="ij")).reshape(3, -1)


def growing_mode(modes: np.ndarray) -> np.ndarray:
    """psi = -grad of the inverse Laplacian of a linear density contrast at D = 1, (3, n^3) float32 [cells].

    `modes` are those of rfftn of the cube. Waves at the Nyquist frequency, whose sine the mesh does not see, are left
    out of the derivative along their axis.
    """
    n = len(modes)
    k = 2 * np.pi * np.fft.fftfreq(n)
    k[n // 2] = 0
    scaled = modes * inverse_laplacian(n, sharpen=False)
    out = np.empty((3, n**3), np.float32)
    for axis, one in enumerate((k[:, None, None], k[None, :, None], k[None, None, : n // 2 + 1])):
        wave = scaled * (-1j * one).astype(np.complex64)
        out[axis] = fft.irfftn(wave, s=(n, n, n), workers=1, overwrite_x=True).ravel()
    return out


def kept(growth: Growth, start: float, stop: float) -> float:
    """What a kick in the middle of a step from D = `start` to `stop` keeps of the velocity dx/dD."""
    middle, (e, e_slope), (_, e_end) = (start + stop) / 2, growth.second(start), growth.second(stop)
    force = (e + (stop - start) / 2 * e_slope) / middle - middle
    return (e_end - force) / (e_slope - force)


def run(
    modes: np.ndarray, edges: np.ndarray, growth: Growth, rng: np.random.Generator, inverse: np.ndarray
) -> Iterator[Snapshot]:
    """A snapshot in the middle of each step between the growth factors `edges`, of which the first is 0.

    Parameters
    ----------
    modes : (n, n, n // 2 + 1) complex64 modes of rfftn of the linear density contrast at D = 1
    edges : (steps + 1,) growth factors
    rng : of the offsets of the mesh
    inverse : of `inverse_laplacian`

    What a snapshot holds is overwritten by the next one.
    """
    n, width = len(modes), np.diff(edges).tolist()
    x, v = lattice(n), growing_mode(modes)
    x += np.float32(width[0] / 2) * v
    for step, (start, stop) in enumerate(itertools.pairwise(edges.tolist())):
        offset = rng.random(3).astype(np.float32)
        delta = fft.rfftn(density(x, offset, n), workers=1)
        yield Snapshot(x=x, modes=delta, offset=offset)
        if step + 1 < len(width):
            keep, drift = kept(growth, start, stop), (width[step] + width[step + 1]) / 2
            kick(x, v, offset, potential(delta, inverse), keep, (1 - keep) / ((start + stop) / 2), drift)

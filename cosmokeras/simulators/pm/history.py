"""One box from its linear density to the planes of all its shells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from cosmokeras.params.boxes import Box
from cosmokeras.simulators.lpt import gaussian_modes
from cosmokeras.simulators.mesh import squared_modes
from cosmokeras.simulators.pm.forces import inverse_laplacian
from cosmokeras.simulators.pm.growth import growth
from cosmokeras.simulators.pm.planes import descent, planes, sharpened
from cosmokeras.simulators.pm.steps import run
from cosmokeras.theory.table import TheoryTable


@dataclass(frozen=True)
class Cube:
    """What all cosmologies share of a box: its modes (`squared_modes`) and what gravity multiplies them by."""

    box: Box
    number: np.ndarray
    inverse: np.ndarray
    gain: np.ndarray | None


def cube(box: Box) -> Cube:
    """The arrays of a box."""
    inverse = inverse_laplacian(box.particles)
    return Cube(box=box, number=squared_modes(box.particles), inverse=inverse, gain=descent(inverse, box.side))


def growth_at_edges(box: Box, table: TheoryTable, values: dict[str, Any]) -> np.ndarray:
    """Growth factors between which the steps of a box lie, (steps + 1,), from 0 to that of its nearest edge."""
    back = table.background(values)
    chi = box.farthest - box.side * np.arange(box.shells + 1)
    of_shells = growth(values).first(back.z_of(chi))
    return np.concatenate([np.linspace(0, of_shells[0], box.early, endpoint=False), of_shells])


def snapshot_redshifts(box: Box, table: TheoryTable, values: dict[str, Any]) -> np.ndarray:
    """Redshifts of the snapshots, the middles of the steps in growth, (snapshots,) from the nearest on."""
    edges = growth_at_edges(box, table, values)
    middles = (edges[1:] + edges[:-1]) / 2
    return growth(values).redshift(middles[-box.snapshots :][::-1])


def highest_modes(box: Box, lmax: float, snapshot: int) -> int:
    """Highest wavenumber of a plane that its pixels may show at multipoles to `lmax`, in units of the fundamental."""
    near = box.nearest + snapshot * box.side
    seen = lmax * box.side / (2 * np.pi * max(near, 1e-3 * box.side))
    return int(min(box.plane_size(snapshot) // 2 - 1, np.ceil(seen)))


def history(
    one: Cube,
    table: TheoryTable,
    values: dict[str, Any],
    rng: np.random.Generator,
    lmax: float = np.inf,
    fixed: float = 0.0,
) -> Iterator[tuple[int, np.ndarray]]:
    """Number of a snapshot, from the farthest to the nearest 0, and its `planes`, of a cosmology's parameters by name.

    `rng` and `fixed` are those of `particles`; `lmax`: multipole to which planes are seen.
    """
    box = one.box
    for number, x in particles(one, table, values, rng, fixed):
        yield number, planes(x, box.particles, box.plane_size(number), highest_modes(box, lmax, number))


def particles(
    one: Cube, table: TheoryTable, values: dict[str, Any], rng: np.random.Generator, fixed: float = 0.0
) -> Iterator[tuple[int, np.ndarray]]:
    """Number of a snapshot, from the farthest to the nearest 0, and positions (3, n^3) [cells] of its particles.

    `rng` draws the initial conditions and the offsets of the mesh. `fixed`: every linear mode has the amplitude of the
    spectrum times this number, and its phase alone is drawn (Angulo & Pontzen 2016, MNRAS 462, L1); 0: it is Gaussian.
    """
    box = one.box
    k = 2 * np.pi / box.side * np.sqrt(np.arange(1, one.number.max() + 1))
    power = np.append(0.0, table.linear_at(values, k))
    amplitude = np.sqrt(power / box.side**3).astype(np.float32) * np.float32(box.particles**3)
    modes = gaussian_modes(rng, amplitude[one.number])
    if fixed:
        # modes of a real field: those drawn have no conjugates in the planes that hold their own
        modes = fft.rfftn(fft.irfftn(modes, s=(box.particles,) * 3, workers=1), workers=1)
        modes *= np.float32(fixed) * amplitude[one.number] / np.maximum(np.abs(modes), np.float32(1e-20))
    edges = growth_at_edges(box, table, values)
    first = len(edges) - 1 - box.snapshots
    for step, snapshot in enumerate(run(modes, edges, growth(values), rng, one.inverse)):
        if step >= first:
            number = box.snapshots - 1 - (step - first)
            yield number, sharpened(snapshot, one.gain)

"""Convergence along a light cone, assembled of the slabs of two periodic boxes.

Each shell of a map is a box seen from one of its three sides, from the front or from behind, moved, mirrored and
transposed at random; the two halves of a box stay together. Between its mesh points a plane is the sum of its waves,
which is exact, and periodic beyond its edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.simulators.pm.planes import AXES, HALVES
from cosmokeras.simulators.pm.waves import drawn


@dataclass(frozen=True)
class Slab:
    """Half of a shell of one cosmology.

    `chi` is the distance of its middle and `side` that of the box [Mpc/h]; `weights` (bins,) turn its density contrast
    into convergence. `modes` of it are (axes, halves, 2 m + 1, m + 1) of `planes` times `transfer` (2 m + 1, m + 1);
    `waves` are the wavenumbers and amplitudes of `long_waves`.
    """

    chi: float
    side: float
    weights: np.ndarray
    modes: np.ndarray
    transfer: np.ndarray
    waves: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class View:
    """How a map sees the box of a shell.

    `axis` along the line of sight, `first` the half that is nearer, `transposed`, `mirror` (2,) of -1 and 1 for rows
    and columns, `shift` (2,) in parts of the side.
    """

    axis: int
    first: int
    transposed: bool
    mirror: np.ndarray
    shift: np.ndarray


def random_view(rng: np.random.Generator) -> View:
    """Any of the views of a box."""
    axis, rest = divmod(int(rng.integers(AXES * 16)), 16)
    bits = [rest >> i & 1 for i in range(4)]
    return View(axis, bits[0], bool(bits[1]), 1.0 - 2.0 * np.array(bits[2:]), rng.random(2))


def seen(slab: Slab, half: int, view: View, angle: np.ndarray, size: int) -> np.ndarray:
    """Density contrast of a slab at the angles [rad] along both axes, (size, size) float32.

    `half`: 0 for the half of the shell that is nearer, 1 for the other. Where there are more angles than `size`, the
    mean over all of them is subtracted, and the first ones are given.
    """
    modes = slab.modes[view.axis, half ^ view.first] * slab.transfer
    highest = modes.shape[1] - 1
    rows, columns = (
        _phases(np.arange(low, highest + 1) * (2 * np.pi / slab.side), slab.chi * angle * sign + shift * slab.side)
        for low, sign, shift in zip((-highest, 0), view.mirror, view.shift, strict=True)
    )
    columns[1:] *= 2  # each stands for a wave of negative wavenumber, too
    out = _summed(rows, modes, columns, size)
    return out.T if view.transposed else out


def _phases(k: np.ndarray, x: np.ndarray) -> np.ndarray:
    """exp(i k x), (wavenumbers, positions) complex64."""
    phase = np.outer(k, x)
    out = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=out.real, casting="same_kind")
    np.sin(phase, out=out.imag, casting="same_kind")
    return out


def _summed(rows: np.ndarray, modes: np.ndarray, columns: np.ndarray, size: int) -> np.ndarray:
    """Re sum modes exp(i k x) at the first `size` positions, less the mean over all if there are more."""
    part = modes @ columns[:, :size]
    out: np.ndarray = (rows[:, :size].T @ part).real
    if columns.shape[1] > size:
        out = out - (rows.mean(axis=1) @ modes @ columns.mean(axis=1)).real
    return out


def convergence(
    shells: list[list[Slab]], rng: np.random.Generator, angle: np.ndarray, size: int, bins: int
) -> np.ndarray:
    """One map (bins, size, size) float32 of shells of HALVES slabs each, the nearer one first.

    `angle` [rad] of the pixels of a map, or of the wider field whose mean is subtracted, along each axis.
    """
    kappa = np.zeros((bins, size, size), np.float32)
    for shell in shells:
        view = random_view(rng)
        for half in range(HALVES):
            slab = shell[half]
            density = seen(slab, half, view, angle, size)
            k, amplitude = slab.waves
            phases = _phases(k, slab.chi * angle)
            density = density + _summed(phases, drawn(rng, amplitude), phases, size)
            kappa += slab.weights[:, None, None].astype(np.float32) * density
    return kappa

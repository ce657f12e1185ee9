"""Skewness of planes of a `fast` box beside those of a `fine` one of the same waves, at the same power."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft

from benchmarks.checks.pm import config, linear
from cosmokeras.params.boxes import boxes
from cosmokeras.simulators.pm import forces, planes, steps
from cosmokeras.simulators.pm.growth import growth
from cosmokeras.simulators.pm.history import growth_at_edges
from cosmokeras.simulators.pm.transfer import wavenumbers
from cosmokeras.theory.table import theory_table
from study.requirements import required

SIZE, HIGHEST = 512, 200  # of the planes
SNAPSHOTS = (1, 3, 6)
RADII = (1.5, 0.75)  # of a Gaussian, in cells of the fast box


def truncated(modes: np.ndarray, n: int) -> np.ndarray:
    """The waves of a cube (rfftn) that a mesh of n^3 points holds, but for those at its Nyquist frequency."""
    rows = np.r_[0 : n // 2, -n // 2 : 0]
    out = modes[np.ix_(rows, rows, np.arange(n // 2 + 1))] * np.float32((n / len(modes)) ** 3)
    out[n // 2], out[:, n // 2], out[:, :, n // 2] = 0, 0, 0
    return np.ascontiguousarray(out)


def _power(modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power in rings of width 1, and the ring of each mode."""
    k = wavenumbers(HIGHEST)
    ring, weight = k.astype(int), np.ones_like(k)
    weight[:, 0] = 0.5
    power = (np.abs(modes) ** 2).mean(axis=(0, 1))
    return np.bincount(ring.ravel(), (power * weight).ravel()) / np.bincount(ring.ravel(), weight.ravel()), ring


def skewness(modes: np.ndarray, like: np.ndarray, radius: float) -> float:
    """<delta^3> / <delta^2>^2 of planes with the power of others, after a Gaussian of `radius` [1 / fundamental]."""
    (own, ring), (wanted, _) = _power(modes), _power(like)
    smooth = modes * np.sqrt(wanted / own)[ring] * np.exp(-0.5 * (wavenumbers(HIGHEST) * radius) ** 2)
    half = np.zeros((*modes.shape[:2], SIZE, SIZE // 2 + 1), complex)
    half[..., np.arange(-HIGHEST, HIGHEST + 1) % SIZE, : HIGHEST + 1] = smooth
    delta = fft.irfft2(half, s=(SIZE, SIZE))
    delta -= delta.mean(axis=(2, 3), keepdims=True)
    return float((delta**3).mean() / (delta**2).mean() ** 2 / SIZE**2)


def check() -> tuple[dict[str, Any], bool]:
    """Near and far box at Omega_m 0.3, about two minutes."""
    cfg, found, good = config(), {}, []
    table, values = theory_table(cfg), cfg.cosmology(np.array([0.3]))
    for box in boxes(cfg):
        large = linear(cfg, box.side, 2 * box.particles, 0)
        edges = growth_at_edges(box, table, values)
        seen: dict[int, dict[int, np.ndarray]] = {}
        for n in (box.particles, 2 * box.particles):
            inverse = forces.inverse_laplacian(n)
            gain = planes.descent(inverse, box.side)
            modes = large if n > box.particles else truncated(large, n)
            run = steps.run(modes, edges, growth(values), np.random.default_rng(2), inverse)
            seen[n] = {}
            for step, snapshot in enumerate(run):
                number = len(edges) - 2 - step
                if number in SNAPSHOTS:
                    seen[n][number] = planes.planes(planes.sharpened(snapshot, gain), n, SIZE, HIGHEST)
        fast, fine = seen.values()
        for radius in RADII:
            ratios = [
                skewness(fast[i], fine[i], r) / skewness(fine[i], fine[i], r)
                for i in SNAPSHOTS
                for r in (radius * 2 * np.pi / box.particles,)
            ]
            name = f"skewness of fast over fine, box of {box.side:g} Mpc/h, smoothed by {radius:g} cells"
            off = np.abs(np.array(ratios) - 1).max()
            good.append(required(f"pm: {name}, worst of three shells", off, 0, 0.05))
            found[f"{box.side:g}_{radius:g}"] = np.round(ratios, 3).tolist()
    return found, all(good)

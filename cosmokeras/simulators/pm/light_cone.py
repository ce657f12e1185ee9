"""Tomographic convergence maps through matter of particle-mesh N-body boxes (`lensing.matter: pm`).

Two periodic boxes a cosmology (`cosmokeras.params.boxes`), a near one of small cells and a far one of long waves, give
planes at each of their shells; a map is assembled of them at random, and PER_PAIR maps share a pair of boxes. Spectra
are those of the lognormal maps (`cosmokeras.simulators.lensing`), to which the power of the planes is brought; what
is not Gaussian is that of the particles. Kernels, alignments, biases and pixels are those of the lognormal maps too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cosmokeras.params.boxes import Box, boxes
from cosmokeras.params.config import Config
from cosmokeras.simulators.lensing import LABELS, NEGLIGIBLE, field_side, spectrum
from cosmokeras.simulators.pm.assembly import Slab, convergence
from cosmokeras.simulators.pm.calibration import Ratios, ratios
from cosmokeras.simulators.pm.history import Cube, cube, highest_modes, history, snapshot_redshifts
from cosmokeras.simulators.pm.planes import HALVES
from cosmokeras.simulators.pm.transfer import ratio_at, wavenumbers
from cosmokeras.simulators.pm.waves import long_waves
from cosmokeras.simulators.projection import ShellNodes, project_shells
from cosmokeras.simulators.resolution import check_resolution
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.table import TheoryTable, theory_table, without_baryons

__all__ = ["LABELS", "PER_PAIR", "LightCone", "maps", "prepare", "spectrum"]

PER_PAIR = 16  # maps assembled of one pair of boxes
NODES = 150  # of the power of a slab, in ln k
AT = (30.0, 300.0, 2000.0)  # multipoles at which a shell must add something to C_ell
BEYOND = 3  # pixel Nyquist frequencies to which averages over pixels see the field


@dataclass(frozen=True)
class LightCone:
    """What all cosmologies share: the theory table, the near and the far box, and the power that boxes lack."""

    table: TheoryTable
    cubes: tuple[Cube, Cube]
    ratios: Ratios


@dataclass(frozen=True)
class Shell:
    """Two halves of a shell before they are filled: `weights` (bins, halves), `transfer` and `waves` of each half."""

    snapshot: int
    chi: np.ndarray
    weights: np.ndarray
    transfer: list[np.ndarray]
    waves: list[tuple[np.ndarray, np.ndarray]]


def prepare(cfg: Config, progress: bool = False) -> LightCone:
    """The theory table over the prior box, and boxes measured at nodes over it (minutes; kept in the work folder)."""
    table = theory_table(cfg, progress)
    near, far = boxes(cfg)
    check_resolution(cfg, table, near.side / HALVES, "lensing.matter=pm: slabs of ")
    cubes = (cube(near), cube(far))
    return LightCone(table=table, cubes=cubes, ratios=ratios(cfg, table, cubes, progress))


def maps(
    cfg: Config, cone: LightCone, theta: np.ndarray, rng_of: Callable[[int], np.random.Generator], count: int
) -> np.ndarray:
    """Noise-free convergence, (count, size, size, bins) float32, of one cosmology.

    Realisation r is assembled by rng_of(r) of the boxes of pair r // PER_PAIR, which have a stream of their own.
    """
    values, size = cfg.cosmology(theta), cfg.data.size
    lights = [shells(cfg, cone, number, values) for number in range(len(cone.cubes))]
    wide = field_side(cfg) or size
    angle = (np.arange(wide) + 0.5 - wide / 2) * cfg.pixel_arcmin * ARCMIN
    out = np.empty((count, size, size, cfg.channels), np.float32)
    with threadpool_limits(1):  # the products are small: several threads take longer, and sum in another order
        for first in range(0, count, PER_PAIR):
            rng = np.random.Generator(rng_of(first).bit_generator.jumped())  # type: ignore[attr-defined]
            slabs = [s for number, light in enumerate(lights) for s in _filled(cfg, cone, number, light, values, rng)]
            for r in range(first, min(first + PER_PAIR, count)):
                out[r] = np.moveaxis(convergence(slabs, rng_of(r), angle, size, cfg.channels), 0, -1)
    return out


def highest_multipole(cfg: Config) -> float:
    """Multipole along each axis up to which planes are needed."""
    nyquist = np.pi / (cfg.pixel_arcmin * ARCMIN)
    if cfg.survey.pixels == "centres":
        return float(min(cfg.survey.lmax or np.inf, nyquist))
    return BEYOND * nyquist


def shells(cfg: Config, cone: LightCone, number: int, values: dict[str, Any]) -> list[Shell]:
    """Shells of the near (0) or the far (1) box that add to C_ell, the nearest first."""
    box, table = cone.cubes[number].box, cone.table
    back = table.background(values)
    last = back.chi[-1]
    count = box.shells
    if box.beyond:
        count = max(1, int(np.ceil((last - box.nearest) / box.side)))
    thickness = box.side / HALVES
    start = box.nearest + thickness * np.arange(count * HALVES)
    chi = start + thickness / 2
    k = np.geomspace(np.pi / box.side / 20, 4 * np.pi * box.particles / box.side * 1.5, NODES)
    weights, c_ell = project_shells(cfg, table, values, ShellNodes.of(back, start, thickness), k[:, None] * chi - 0.5)
    power = c_ell * (chi**2 * thickness)[:, None]  # as P(k) [(Mpc/h)^3] of matter, (slabs, NODES)
    theory, z = table.power(without_baryons(values)), snapshot_redshifts(box, table, values)
    log_ratio = cone.ratios(number, values)
    keep = _adds(chi, weights, k, power / (chi**2 * thickness)[:, None])
    out = []
    for shell in range(count):
        halves = slice(shell * HALVES, (shell + 1) * HALVES)
        if not keep[halves].any():
            continue
        snapshot = min(shell, box.snapshots - 1)
        lacking = theory(k, z[snapshot]) * ratio_at(np.log(k), log_ratio[snapshot])
        highest = highest_modes(box, highest_multipole(cfg), snapshot)
        factors = np.sqrt(power[halves] / lacking)
        transfer = [_transfer(cfg, box, highest, at, k, one) for at, one in zip(chi[halves], factors, strict=True)]
        waves = [long_waves(box.side, _in_log(k, one / thickness)) for one in power[halves]]
        out.append(Shell(snapshot, chi[halves], weights[:, halves], transfer, waves))
    return out


def _adds(chi: np.ndarray, weights: np.ndarray, k: np.ndarray, c_ell: np.ndarray) -> np.ndarray:
    """Which slabs add to C_ell of any bin at any of AT, (slabs,); C_ell (slabs, NODES) at ell = k chi."""
    at = np.log(np.array(AT) / chi[:, None])
    c = np.exp([np.interp(row, np.log(k), np.log(one)) for row, one in zip(at, c_ell, strict=True)])
    part = weights[:, :, None] ** 2 * c
    return (part / part.sum(axis=1, keepdims=True)).max(axis=(0, 2)) > NEGLIGIBLE


def _in_log(k: np.ndarray, power: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Interpolation linear in the logarithms of both."""
    return lambda at: np.exp(np.interp(np.log(at), np.log(k), np.log(power)))


def _transfer(cfg: Config, box: Box, highest: int, chi: float, k: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """What the modes of a plane at distance `chi` are multiplied by, (2 highest + 1, highest + 1) float32.

    `factor` at wavenumbers `k`, times what pixels show: the field in their centres up to lmax, or averages.
    """
    step = 2 * np.pi / box.side
    number = wavenumbers(highest)
    out = np.interp(np.log(np.maximum(number, 0.5) * step), np.log(k), factor)
    rows = np.arange(-highest, highest + 1) * step * chi
    if cfg.survey.pixels == "centres":  # without what a grid of them cannot hold, as the lognormal maps are
        beyond = number * step * chi > (cfg.survey.lmax or np.inf)
        along = np.abs(rows) > highest_multipole(cfg)
        out[beyond | along[:, None] | along[highest:]] = 0.0
    else:
        out *= averaged(rows[:, None], rows[highest:], cfg.pixel_arcmin * ARCMIN, cfg.survey.pixels == "shear")
    return out.astype(np.float32)


def averaged(qy: np.ndarray, qx: np.ndarray, pixel: float, shear: bool) -> np.ndarray:
    """What averages over square pixels of side `pixel` [rad] leave of waves of multipoles (qy, qx).

    `shear`: of convergence that is made of averages of shear. A wave beyond the Nyquist frequency of the pixels looks
    like one of k = q - G on the grid, and as E mode only by cos(2 (phi_q - phi_k)) (Kaiser & Squires 1993).
    """
    out: np.ndarray = np.sinc(qy * pixel / 2 / np.pi) * np.sinc(qx * pixel / 2 / np.pi)
    if shear:
        period = 2 * np.pi / pixel
        ky, kx = (q - period * np.rint(q / period) for q in (qy, qx))
        out *= np.cos(2 * (np.arctan2(qy, qx) - np.arctan2(ky, kx)))
    return out


def _filled(
    cfg: Config, cone: LightCone, number: int, light: list[Shell], values: dict[str, Any], rng: np.random.Generator
) -> list[list[Slab]]:
    """The shells with matter in them: one run of a box."""
    one = cone.cubes[number]
    modes = dict(history(one, cone.table, values, rng, highest_multipole(cfg)))
    return [
        [
            Slab(chi, one.box.side, weights, modes[shell.snapshot], transfer, waves)
            for chi, weights, transfer, waves in zip(
                shell.chi.tolist(), shell.weights.T, shell.transfer, shell.waves, strict=True
            )
        ]
        for shell in light
    ]

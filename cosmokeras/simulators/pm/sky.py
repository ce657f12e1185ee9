"""Full-sky tomographic convergence through particle-mesh boxes: a mock that is neither lognormal nor of flat patches.

Shells around the observer are as thick as the box that fills them, and each is filled by copies of its box, side by
side, turned and moved at random as a whole. The density of a box is a mesh, whose modes are brought to the power of
theory as those of flat maps are, and have the window of HEALPix pixels at the distance of the shell; pixels add the
cells up along their line of sight. Waves longer than a box (k < 0.05 h/Mpc nearer than 1024 Mpc/h, 0.025 beyond) are
missing, and there is no more variance of large scales than phases give: amplitudes of linear waves are those of the
spectrum. Copies of a box repeat structures within a shell every 7 deg or more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from scipy import fft
from scipy.spatial.transform import Rotation

from cosmokeras.params.boxes import Box
from cosmokeras.params.config import Config
from cosmokeras.simulators.mesh import squared_modes
from cosmokeras.simulators.pm.forces import density
from cosmokeras.simulators.pm.history import cube, particles
from cosmokeras.sky.pixels import full_lmax, healpix_side, pixel_window
from cosmokeras.theory import limber
from cosmokeras.theory.table import TheoryTable, theory_table

BOXES = (
    Box(side=128.0, particles=128, nearest=0.0, shells=8, early=7, beyond=False),
    Box(side=256.0, particles=128, nearest=1024.0, shells=8, early=3, beyond=True),
)
FINER = 2  # points of the density mesh for each particle, along an axis
BINS = 40  # in ln k, of the power of a mesh
CHUNK = 2**18  # pixels that a thread fills at a time


def full_sky(
    cfg: Config, theta: np.ndarray, nside: int, rng: np.random.Generator, progress: bool = False
) -> np.ndarray:
    """Noise-free convergence of every bin, (bins, 12 nside^2) float32, RING order, averaged over HEALPix pixels.

    Parameters
    ----------
    cfg : parameters of lensing maps; `theory`, the survey's n(z) and nuisances are theirs
    theta : (p,) free parameters
    nside : of the pixels
    rng : of initial conditions, turns and shifts
    """
    import healpy as hp

    values, table = cfg.cosmology(theta), theory_table(cfg, progress)
    directions = np.array(hp.pix2vec(nside, np.arange(hp.nside2npix(nside))), np.float32)
    kappa = np.zeros((len(cfg.survey.bins), directions.shape[1]), np.float32)
    back = table.background(values)
    for box in BOXES:
        one = cube(box)
        for snapshot, x in particles(one, table, values, rng, fixed=1.0):
            mesh = density_modes(x, box.particles, FINER * box.particles)
            for start, stop in shells(box, snapshot, back.chi[-1]):
                chi, weights, middle = nodes(cfg, table, values, (start, stop), box, nside)
                field = shell_field(mesh, table, values, box, middle, nside)
                turned = Rotation.random(random_state=rng).as_matrix().astype(np.float32)
                shift = rng.random(3).astype(np.float32) * np.float32(len(field))
                _add(kappa, directions, field, turned, shift, chi * (len(field) / box.side), weights)
    return kappa


def shells(box: Box, snapshot: int, farthest: float) -> Iterator[tuple[float, float]]:
    """Near and far edges [Mpc/h] of the shells that a snapshot stands for."""
    first = box.nearest + snapshot * box.side
    last = snapshot == box.snapshots - 1 and box.beyond
    while first < farthest:
        yield first, min(first + box.side, farthest)
        if not last:
            break
        first += box.side


def nodes(
    cfg: Config, table: TheoryTable, values: dict[str, Any], edges: tuple[float, float], box: Box, nside: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances (n,) [Mpc/h] at which a line of sight is looked at, weights (bins, n) of density, and the middle.

    Steps are short enough for all waves that pixels see. Growth within the shell is in the weights.
    """
    back, middle = table.background(values), (edges[0] + edges[1]) / 2
    step = max(box.side / (FINER * box.particles), 0.9 * np.pi * middle / full_lmax(nside))
    count = int(np.ceil((edges[1] - edges[0]) / step))
    chi = edges[0] + (np.arange(count) + 0.5) * (edges[1] - edges[0]) / count
    grown = np.interp(back.z_of(chi), back.z, back.growth) / np.interp(back.z_of(np.array(middle)), back.z, back.growth)
    weights = limber.kernel(cfg.survey, back, chi, values) * grown * (edges[1] - edges[0]) / count
    return chi.astype(np.float32), weights.astype(np.float32), middle


def density_modes(x: np.ndarray, n: int, size: int) -> np.ndarray:
    """Modes of rfftn of the density contrast of particles at x (3, n^3) [cells of n], on a mesh of `size` points."""
    mesh = density(x * np.float32(size / n), np.zeros(3), size)
    mesh += 1
    mesh *= size**3 / n**3
    mesh -= 1
    out: np.ndarray = fft.rfftn(mesh, workers=1)
    return out


def shell_field(
    modes: np.ndarray, table: TheoryTable, values: dict[str, Any], box: Box, middle: float, nside: int
) -> np.ndarray:
    """Density contrast (n, n, n) with the power of theory at distance `middle` [Mpc/h], as HEALPix pixels see it.

    The power of the mesh, clouds included, is measured in BINS of ln k. The field has the window of a pixel at that
    distance in all directions: waves along the line of sight do not count for what is seen (Limber).
    """
    n = len(modes)
    number = squared_modes(n)
    counted = number.ravel()
    shell = np.sqrt(np.arange(counted.max() + 1))
    count = np.bincount(counted, minlength=len(shell))
    power = np.bincount(counted, (modes.real**2 + modes.imag**2).ravel(), minlength=len(shell))
    k = np.maximum(shell, 0.5) * (2 * np.pi / box.side)
    z = float(table.background(values).z_of(np.array(middle)))
    theory = table.power(values)(k, np.full_like(k, z)) * (n**6 / box.side**3)
    edges = np.geomspace(0.99, shell[-1] * 1.01, BINS + 1)
    which = np.digitize(shell[1:], edges) - 1
    found, wanted = (np.bincount(which, one[1:], BINS) for one in (power, theory * count))
    good = found > 0
    centres = np.log(np.sqrt(edges[1:] * edges[:-1]) * 2 * np.pi / box.side)[good]
    factor = np.exp(np.interp(np.log(k), centres, np.log(wanted[good] / found[good])) / 2)
    ell, highest = k * middle, full_lmax(nside)
    factor *= np.where(ell < highest, pixel_window(np.minimum(ell, highest), healpix_side(nside)), 0.0)
    factor[0] = 0.0
    # a line of sight takes the value of the nearest mesh point, which is the window of a cell
    nearest = (1 / np.sinc(np.fft.fftfreq(n))).astype(np.float32)
    seen = modes * factor.astype(np.float32)[number]
    for one in (nearest[:, None, None], nearest[None, :, None], nearest[None, None, : n // 2 + 1]):
        seen *= one
    out: np.ndarray = fft.irfftn(seen, s=(n, n, n), workers=1, overwrite_x=True)
    return out


def _add(
    kappa: np.ndarray,
    directions: np.ndarray,
    field: np.ndarray,
    turned: np.ndarray,
    shift: np.ndarray,
    chi: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Add a shell to `kappa` (bins, pixels); lengths are in cells. Each pixel is summed by one thread, in one order."""
    flat, size, by_node = field.reshape(-1), np.uint64(len(field)), np.ascontiguousarray(weights.T)

    def part(first: int) -> None:
        some = slice(first, first + CHUNK)
        _look(kappa[:, some], directions[:, some], flat, size, turned, shift, chi, by_node)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(part, range(0, directions.shape[1], CHUNK)))


@njit(cache=True, nogil=True, error_model="numpy")
def _look(
    kappa: np.ndarray,
    directions: np.ndarray,
    field: np.ndarray,
    n: np.uint64,
    turned: np.ndarray,
    shift: np.ndarray,
    chi: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Sums along lines of sight of the nearest cells; n is a power of two."""
    mask, plane, bins = n - np.uint64(1), n * n, kappa.shape[0]
    total = np.zeros(bins, np.float32)
    half = np.float32(0.5)
    for p in range(kappa.shape[1]):
        a, b, c = directions[0, p], directions[1, p], directions[2, p]
        x = turned[0, 0] * a + turned[0, 1] * b + turned[0, 2] * c
        y = turned[1, 0] * a + turned[1, 1] * b + turned[1, 2] * c
        z = turned[2, 0] * a + turned[2, 1] * b + turned[2, 2] * c
        total[:] = 0
        for s in range(len(chi)):
            i = np.uint64(np.int64(np.floor(x * chi[s] + shift[0] + half))) & mask
            j = np.uint64(np.int64(np.floor(y * chi[s] + shift[1] + half))) & mask
            k = np.uint64(np.int64(np.floor(z * chi[s] + shift[2] + half))) & mask
            value = field[i * plane + j * n + k]
            for one in range(bins):
                total[one] += weights[s, one] * value
        for one in range(bins):
            kappa[one, p] += total[one]

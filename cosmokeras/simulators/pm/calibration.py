"""Ratio of the power of boxes to that of theory over the prior box: measured at nodes, kept in the work folder.

Boxes are run at Chebyshev nodes over the free cosmological parameters, several pairs at each, and polynomials are
fitted to the logarithms of ratios, whatever single boxes are far off. Power of small boxes varies by 10 to 20 %, as
their few longest waves do: of those that are measured all waves have the amplitude of the spectrum, and every other one
has the opposite phases of the one before (Angulo & Pontzen 2016, MNRAS 462, L1). Nuisance parameters do not change a
box: shells stay where they are.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.files import locked, work_folder
from cosmokeras.common.sealed import read_arrays, write_arrays
from cosmokeras.params.boxes import boxes
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.params.registry import COSMOLOGY
from cosmokeras.simulators.pm.history import Cube, history, snapshot_redshifts
from cosmokeras.simulators.pm.transfer import LOG_K, measured, smoothed
from cosmokeras.theory.polynomials import Polynomials, chebyshev, chebyshev_nodes
from cosmokeras.theory.table import TheoryTable, without_baryons

# By number of free cosmological parameters: total degree of the polynomials, and pairs of boxes at each node
DEGREE = {0: 0, 1: 2, 2: 3, 3: 3, 4: 2, 5: 2, 6: 2}
PAIRS = {
    "coarse": (24, 4, 4, 2, 2, 2, 2),
    "fast": (24, 12, 6, 4, 4, 4, 2),
    "fine": (6, 4, 2, 2, 2, 2, 2),
}
NODES_OF_ONE = 10
SEED = 20240919  # of the boxes that are measured; those of maps have others


@dataclass(frozen=True)
class Ratios:
    """ln of the power of boxes over that of theory, at LOG_K, by polynomials in the cosmology `names`.

    `fits`: one for the near and one for the far box, of (snapshots bins,) values.
    """

    names: tuple[str, ...]
    fits: tuple[Polynomials, ...]

    def __call__(self, box: int, values: dict[str, Any]) -> np.ndarray:
        """(snapshots, bins) of the near (0) or the far (1) box."""
        return self.fits[box](np.array([values[name] for name in self.names])).reshape(-1, len(LOG_K))


def ratios(cfg: Config, table: TheoryTable, cubes: tuple[Cube, ...], progress: bool = False) -> Ratios:
    """Those for this prior box, from the work folder where they were measured before."""
    names = tuple(name for name in cfg.parameter_names if name in COSMOLOGY)
    bounds = cfg.bounds[[cfg.parameter_names.index(name) for name in names]].reshape(-1, 2)
    degree, pairs = DEGREE[len(names)], PAIRS[cfg.lensing.pm][len(names)]
    powers = np.array([p for p in itertools.product(range(degree + 1), repeat=len(names)) if sum(p) <= degree])
    nodes = chebyshev_nodes(bounds, NODES_OF_ONE if len(names) == 1 else 2 * len(powers))
    folder = work_folder("pm", _key(cfg, nodes, pairs))
    logs = read_arrays(folder / "ratios.npz")
    if logs is None:
        with locked(folder):
            logs = _all_nodes(cfg, table, cubes, names, nodes, pairs, folder, progress)
    with threadpool_limits(1):  # sums in one order, on any number of cores
        design = np.repeat(chebyshev(nodes, bounds, powers), pairs // 2, axis=0)
        solved = [robust_fit(design, logs[f"log_{box}"].reshape(len(design), -1)) for box in range(len(cubes))]
    return Ratios(names=names, fits=tuple(Polynomials(bounds=bounds, powers=powers, coefficients=c) for c in solved))


def robust_fit(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients (terms, n) of `values` (m, n) in `design` (m, terms), by least squares that outliers hardly move.

    Now and then a small box has a cluster that doubles its power: residuals count by their square up to 1.345 standard
    deviations, and by their size beyond (Huber 1964, Ann. Math. Stat. 35, 73), with the deviation from the median one.
    """
    weight = np.ones_like(values)
    for _ in range(30):
        normal = np.einsum("mt,mn,mu->ntu", design, weight, design)
        solved = np.linalg.solve(normal, np.einsum("mt,mn->nt", design, weight * values)[..., None])[..., 0].T
        off = np.abs(values - design @ solved)
        scale = 1.345 * 1.4826 * np.maximum(np.median(off, axis=0), 1e-9)
        weight = 1 / np.maximum(off / scale, 1.0)
    return solved


def _key(cfg: Config, nodes: np.ndarray, pairs: int) -> str:
    """Name of all that the ratios depend on."""
    prior = {name: getattr(cfg.prior, name) for name in COSMOLOGY}
    code = code_fingerprint("cosmokeras.simulators.pm.calibration")
    seen = {"boxes": [asdict(box) for box in boxes(cfg)], "z_max": cfg.survey.z_max}
    seen |= {"nonlinear": cfg.theory.nonlinear}  # what the power of boxes is compared with
    return fingerprint({"prior": prior, "nodes": len(nodes), "pairs": pairs, "code": code, **seen})


def _all_nodes(
    cfg: Config,
    table: TheoryTable,
    cubes: tuple[Cube, ...],
    names: tuple[str, ...],
    nodes: np.ndarray,
    pairs: int,
    folder: Path,
    progress: bool,
) -> dict[str, np.ndarray]:
    """ln of smooth ratios, (nodes, pairs / 2, snapshots, bins) of each box; what was measured before is read.

    Boxes of opposite phases are averaged first.
    """
    fixed = without_baryons(cfg.cosmology(cfg.bounds[:, 0]))

    def job(node: int, pair: int) -> tuple[int, int, dict[str, np.ndarray]]:
        path = folder / f"node-{node}-{pair}.npz"
        found = read_arrays(path)
        if found is None:
            values = fixed | dict(zip(names, nodes[node], strict=True))
            found = {}
            for box, cube in enumerate(cubes):
                rng = np.random.default_rng([SEED, node, pair // 2, box])
                sums = measure(cube, table, values, rng, fixed=(-1.0) ** pair)
                found |= {f"total_{box}": sums[0], f"count_{box}": sums[1]}
            write_arrays(path, found)
        return node, pair, found

    sums: dict[str, np.ndarray] = {}
    with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        tasks = [pool.submit(job, node, pair) for node in range(len(nodes)) for pair in range(pairs)]
        label = f"boxes ({', '.join(names) or 'no cosmology free'})"
        for task in tqdm(as_completed(tasks), label, len(tasks), unit="pair", disable=not progress):
            task.result()
    for task in tasks:  # in one order, whichever was ready first
        node, pair, found = task.result()
        for name, array in found.items():
            sums.setdefault(name, np.zeros((len(nodes), pairs // 2, *array.shape)))[node, pair // 2] += array
    logs = {f"log_{box}": smoothed(sums[f"total_{box}"], sums[f"count_{box}"]) for box in range(len(cubes))}
    write_arrays(folder / "ratios.npz", logs)
    return logs


def measure(
    cube: Cube, table: TheoryTable, values: dict[str, Any], rng: np.random.Generator, fixed: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """`transfer.measured` of all snapshots of one box, (snapshots, bins) each; `fixed`: of `history`."""
    theory, z = table.power(values), snapshot_redshifts(cube.box, table, values)
    sums = np.zeros((2, cube.box.snapshots, len(LOG_K)))
    for number, planes in history(cube, table, values, rng, fixed=fixed):
        sums[:, number] = measured(planes, cube.box.side, lambda k, at=z[number]: theory(k, at))  # type: ignore[misc]
    return sums[0], sums[1]

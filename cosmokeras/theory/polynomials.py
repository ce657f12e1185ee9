"""Interpolation of functions of a cosmology: least-squares fits of Chebyshev polynomials of bounded total degree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cosmokeras.common.heartbeat import doing
from cosmokeras.common.sealed import read_arrays, write_arrays
from cosmokeras.params.config import Config

# Total degree of the polynomials by number of coordinates; `python -m benchmarks.validate table` compares with CCL
DEGREE = {0: 0, 1: 11, 2: 8, 3: 6}
REFERENCE = {"sigma8": 0.8, "n_s": 1.0, "w0": -1.0, "m_nu": 0.0}  # of what the function does not depend on


@dataclass(frozen=True)
class Polynomials:
    """Chebyshev polynomials over a box: `bounds` (p, 2), `powers` (terms, p), `coefficients` (terms, n)."""

    bounds: np.ndarray
    powers: np.ndarray
    coefficients: np.ndarray

    def __call__(self, point: np.ndarray) -> np.ndarray:
        """Values (n,) at a point (p,)."""
        return (chebyshev(point[None], self.bounds, self.powers) @ self.coefficients)[0]


def chebyshev(theta: np.ndarray, bounds: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Products of Chebyshev polynomials, (n, terms); logarithmic in theta where that is smoother (positive ranges)."""
    columns = []
    for x, (low, high) in zip(theta.T, bounds, strict=True):
        if low > 0:
            x, low, high = np.log(x), np.log(low), np.log(high)
        columns.append(np.clip(2 * (x - low) / (high - low) - 1, -1.0, 1.0))
    angle = np.arccos(np.array(columns)).reshape(len(bounds), len(theta))
    return np.prod(np.cos(powers.T[:, None, :] * angle[:, :, None]), axis=0)


def chebyshev_nodes(bounds: np.ndarray, count: int) -> np.ndarray:
    """Cosmologies to call CCL at, (count, p): the Chebyshev density keeps a polynomial fit stable at the edges."""
    dim = len(bounds)
    if dim == 0:
        return np.zeros((1, 0))
    from scipy.stats import qmc

    if dim == 1:
        unit = (np.arange(count)[:, None] + 0.5) / count
    else:
        unit = qmc.Sobol(dim, rng=0).random_base2(int(np.ceil(np.log2(count))))[:count]
    x = (1 - np.cos(np.pi * unit)) / 2
    columns = []
    for one, (low, high) in zip(x.T, bounds, strict=True):
        columns.append(low * (high / low) ** one if low > 0 else low + (high - low) * one)
    return np.array(columns).T


def fit_polynomials(
    cfg: Config,
    names: tuple[str, ...],
    point: Callable[[dict[str, Any], tuple[str, ...]], np.ndarray],
    function: Callable[[dict[str, Any]], np.ndarray],
    progress: bool,
    degrees: Mapping[int, int] = DEGREE,
) -> tuple[Polynomials, tuple[str, ...]]:
    """Polynomials, in `point`, of a function of a cosmology; and the free ones among the `names` it depends on.

    `degrees` is the total degree by number of coordinates.
    """
    free = tuple(name for name in names if name in cfg.parameter_names)
    box = cfg.bounds[[cfg.parameter_names.index(name) for name in free]].reshape(-1, 2)
    # the function does not depend on what is not among the names
    fixed = cfg.cosmology(cfg.bounds[:, 0]) | {name: value for name, value in REFERENCE.items() if name not in names}

    def coordinates(row: Iterable[float]) -> np.ndarray:
        return point(fixed | dict(zip(free, row, strict=True)), free)

    corners = np.array([coordinates(row) for row in itertools.product(*box)])
    bounds = np.stack([corners.min(axis=0), corners.max(axis=0)], axis=1)
    degree = degrees[len(bounds)]
    powers = np.array([p for p in itertools.product(range(degree + 1), repeat=len(bounds)) if sum(p) <= degree])
    theta = chebyshev_nodes(box, len(powers) + 4 if len(free) == 1 else 5 * len(powers) // 2)
    values = []
    what = f"theory ({', '.join(names)})"
    for i, row in enumerate(tqdm(theta, desc=what, unit="cosmology", disable=None if progress else True)):
        doing(f"{what}, {i} of {len(theta)} cosmologies")
        values.append(function(fixed | dict(zip(free, row, strict=True))))
    with threadpool_limits(1):  # sums in one order, on any number of cores
        design = chebyshev(np.array([coordinates(row) for row in theta]), bounds, powers)
        coefficients = np.linalg.lstsq(design, np.array(values), rcond=None)[0]
    return Polynomials(bounds=bounds, powers=powers, coefficients=coefficients), free


Fit = tuple[Polynomials, tuple[str, ...]]  # as `fit_polynomials` gives it
PARTS = ("bounds", "powers", "coefficients")


def write_fits(path: Path, fits: Mapping[str, Fit], **arrays: np.ndarray) -> None:
    """Keep fits and arrays, each by its name, in a sealed .npz file."""
    content: dict[str, Any] = dict(arrays)
    for name, (polynomials, free) in fits.items():
        content[f"{name}.names"] = np.array(free, str)
        content |= {f"{name}.{part}": getattr(polynomials, part) for part in PARTS}
    write_arrays(path, content)


def read_fits(path: Path, names: Iterable[str]) -> tuple[list[Fit], dict[str, np.ndarray]] | None:
    """The fits of these names and the arrays of such a file; None where there is none, or a damaged one: said."""
    content = read_arrays(path)
    if content is None:
        return None
    fits = []
    for name in names:
        free = tuple(content.pop(f"{name}.names").tolist())
        fits.append((Polynomials(**{part: content.pop(f"{name}.{part}") for part in PARTS}), free))
    return fits, content

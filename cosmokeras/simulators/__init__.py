"""Simulators: (parameters, seed) -> noise-free maps. One module each, one line in the registry each.

A simulator module has `prepare(cfg, progress)`, what all its cosmologies share, and `maps(cfg, prepared, theta, rngs)`,
the maps of one cosmology, one for each random generator.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import numpy as np

from cosmokeras.config import Config
from cosmokeras.simulators.fields import map_rng

REGISTRY = {
    "grf": "cosmokeras.simulators.grf",
    "lensing": "cosmokeras.simulators.lensing",
}

# First word of a map's seed after the master seed: no two splits ever share a random number.
SPLITS = {"train": 0, "validation": 1, "test": 2, "user": 3, "mock": 4}


def simulator(kind: str) -> ModuleType:
    """The module of a simulator."""
    return import_module(REGISTRY[kind])


def simulate(cfg: Config, theta: np.ndarray, seed: int) -> np.ndarray:
    """Noise-free maps in physical units, one for each row of `theta`.

    Parameters
    ----------
    theta : (n, p) free parameters, columns `cfg.parameter_names`
    seed : master seed; map i depends on (theta[i], seed, i) alone

    Returns
    -------
    (n, size, size, channels) float32
    """
    theta = np.atleast_2d(np.asarray(theta, dtype=float))
    module = simulator(cfg.data.kind)
    prepared = module.prepare(cfg)
    split = SPLITS["user"]
    return np.concatenate(
        [module.maps(cfg, prepared, row, [map_rng(seed, split, i, 0)]) for i, row in enumerate(theta)]
    )

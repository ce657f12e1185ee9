"""Periodic Gaussian random fields with a two-dimensional BBKS spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosmokeras.config import Config
from cosmokeras.cosmology import bbks_power
from cosmokeras.simulators.fields import gaussian_field, wavenumbers


@dataclass(frozen=True)
class Grid:
    """Modes of the box: |k| [h/Mpc] of rfft2."""

    k: np.ndarray


def prepare(cfg: Config, progress: bool = False) -> Grid:
    """What all cosmologies share."""
    return Grid(wavenumbers(cfg.data.size, cfg.grf.box_mpc_h / cfg.data.size))


def maps(cfg: Config, grid: Grid, theta: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Density contrast, (len(rngs), size, size, 1) float32, of one cosmology, at unit amplitude.

    The estimator |rfft2(map)|^2 L^2 / N^4 has mean P(k) [(Mpc/h)^2]; the k = 0 mode is 0.
    """
    values = cfg.cosmology(theta)
    power = bbks_power(grid.k, values["omega_m"], values["h"], values["n_s"])
    amplitude = (np.sqrt(power) * cfg.data.size**2 / cfg.grf.box_mpc_h).astype(np.float32)
    return np.stack([gaussian_field(rng, amplitude) for rng in rngs])[..., None]

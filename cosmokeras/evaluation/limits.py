"""Exact posterior of Gaussian fields on a grid: its mean has the least mean square error that any estimate can have.

The amplitude is marginalised under Jeffreys' prior for a scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import fft, sparse

from cosmokeras.common.errors import UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.theory.matter import bbks

# Grid points along each axis, by number of free parameters: with half as many, means change by less than 0.2 % of the
# posterior's standard deviation in maps of 64 pixels (`python -m study.posterior_nodes`).
NODES = {1: 800, 2: 120, 3: 45}
CHUNK = 2**22  # numbers that are held at once


def exact_posterior(cfg: Config, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bayesian posterior of the free parameters for each `grf` map, with the amplitude marginalised.

    Under the prior p(A) ~ 1 / A, over all N^2 - 1 modes k != 0,
    log L = -1/2 sum_k log P_k - (N^2 - 1) / 2 log sum_k |delta_k|^2 / P_k + const.
    The overall scale of a map drops out, so observed maps serve as well as noise-free ones.

    Parameters
    ----------
    obs : (n, size, size, 1) maps

    Returns
    -------
    grid : (nodes, p) parameter values, cell centres of the prior box
    probability : (n, nodes), each row sums to 1
    """
    grid, obs = _grid(cfg), checked.maps(cfg, obs, "obs", varied=True, dtype=None)
    return grid, np.concatenate(list(_probabilities(cfg, obs, grid)))


def exact_mean(cfg: Config, obs: np.ndarray) -> np.ndarray:
    """Mean of the exact posterior, the estimate of least mean square error, (n, p)."""
    grid, obs = _grid(cfg), checked.maps(cfg, obs, "obs", varied=True, dtype=None)
    return np.concatenate([probability @ grid for probability in _probabilities(cfg, obs, grid)])


def _grid(cfg: Config) -> np.ndarray:
    """Cell centres of the prior box, (nodes, p)."""
    if checked.checked_config(cfg).data.kind != "grf":
        raise UserError(f"data.kind={cfg.data.kind}: the exact posterior is known for grf maps only")
    per_axis = NODES[len(cfg.parameter_names)]
    axes = [low + (high - low) * (np.arange(per_axis) + 0.5) / per_axis for low, high in cfg.bounds]
    return np.array(list(itertools.product(*axes)))


def _probabilities(cfg: Config, obs: np.ndarray, grid: np.ndarray) -> Iterator[np.ndarray]:
    """Posteriors (maps, nodes) on the grid, a few maps at a time."""
    n, box = cfg.data.size, cfg.grf.box_mpc_h
    # modes of equal |k| share a power; half-plane modes count twice but on the two self-conjugate columns
    k = wavenumbers(n, box / n)
    twice = np.full(k.shape, 2.0)
    twice[:, 0] = twice[:, -1] = 1.0
    unique, which = np.unique(np.round(k * box / (2 * np.pi), 6), return_inverse=True)
    shells = sparse.csr_array((twice.ravel(), (which.ravel(), np.arange(k.size))))[1:]  # all but k = 0

    model = bbks(cfg, grid, unique[1:] * 2 * np.pi / box)  # (nodes, unique)
    prefactor = -0.5 * np.log(model) @ shells.sum(axis=1)
    inverse = 1 / model.T
    chunk = max(1, CHUNK // max(len(grid), n**2))
    for start in range(0, len(obs), chunk):
        modes = fft.rfft2(np.asarray(obs[start : start + chunk, ..., 0], dtype=float))
        sums = (shells @ (modes.real**2 + modes.imag**2).reshape(len(modes), -1).T).T
        log_l = sums @ inverse
        np.log(log_l, out=log_l)
        log_l *= -0.5 * (n**2 - 1)
        log_l += prefactor
        log_l -= log_l.max(axis=1, keepdims=True)
        np.exp(log_l, out=log_l)
        yield log_l / log_l.sum(axis=1, keepdims=True)

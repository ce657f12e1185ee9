"""The exact answer for Gaussian fields: no network can do better."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp

from cosmokeras.config import Config
from cosmokeras.cosmology import bbks_power
from cosmokeras.errors import UserError
from cosmokeras.simulators.fields import wavenumbers

NODES = {1: 800, 2: 120, 3: 45}  # grid points along each axis, by number of free parameters


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
    if cfg.data.kind != "grf":
        raise UserError(f"data.kind={cfg.data.kind}: the exact posterior is known for grf maps only")
    n, box = cfg.data.size, cfg.grf.box_mpc_h
    per_axis = NODES[len(cfg.parameter_names)]
    axes = [low + (high - low) * (np.arange(per_axis) + 0.5) / per_axis for low, high in cfg.bounds]
    grid = np.array(list(itertools.product(*axes)))

    # modes of equal |k| share a power; half-plane modes count twice but on the two self-conjugate columns
    k = wavenumbers(n, box / n)
    twice = np.full(k.shape, 2.0)
    twice[:, 0] = twice[:, -1] = 1.0
    rounded = np.round(k * box / (2 * np.pi), 6)
    unique, which = np.unique(rounded, return_inverse=True)
    which = which.reshape(k.shape).ravel()
    counts = np.bincount(which, weights=twice.ravel())
    power = np.abs(np.fft.rfft2(np.asarray(obs, dtype=float)[..., 0])) ** 2 * twice
    sums = np.zeros((len(obs), len(unique)))
    np.add.at(sums.T, which, power.reshape(len(obs), -1).T)

    k_unique = unique[1:] * 2 * np.pi / box
    models = []
    for row in grid:
        values = cfg.cosmology(row)
        models.append(bbks_power(k_unique, values["omega_m"], values["h"], values["n_s"]))
    log_power = np.log(models)  # (nodes, unique)
    modes = n**2 - 1
    log_l = -0.5 * log_power @ counts[1:] - 0.5 * modes * np.log(sums[:, 1:] @ np.exp(-log_power).T)
    return grid, np.exp(log_l - logsumexp(log_l, axis=1, keepdims=True))


def exact_mean(cfg: Config, obs: np.ndarray) -> np.ndarray:
    """Mean of the exact posterior, the estimate of least mean square error, (n, p)."""
    grid, probability = exact_posterior(cfg, obs)
    return probability @ grid

"""Nodes of the prior box that posterior means are summed over: the error that their number leaves.

    python -m study.posterior_nodes

prints, for one to three free parameters of Gaussian fields, how much posterior means change: those of the exact
posterior (`cosmokeras.evaluation.limits`) from half as many grid points along each axis to NODES, those of the
likelihood (`cosmokeras.evaluation.likelihood`) from NODES to 16 times as many samples of the prior. It is the rms over
maps in units of the posterior's rms standard deviation, of the parameter that changes most. Added in quadrature to the
error of an estimate, 10 % of it is 0.5 %.
"""

from __future__ import annotations

from unittest.mock import patch

import numpy as np

from cosmokeras.common import cli
from cosmokeras.evaluation import likelihood, limits
from cosmokeras.evaluation.likelihood import GaussianLikelihood
from cosmokeras.inference.features import spectra
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.simulators import grf
from study.setting import config

BOX = {"prior.omega_m": [0.1, 0.5], "prior.h": [0.5, 0.9], "prior.n_s": [0.8, 1.2]}
SIZE, BINS = 64, 8
MAPS, TRAINING = 32, 2000
MORE = 16  # times as many samples of the prior


def parameters(free: int) -> Config:
    """Gaussian fields with the first parameters of BOX free."""
    return config({"data.kind": "grf", "data.size": SIZE} | dict(list(BOX.items())[:free]))


def simulated(cfg: Config, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (n, size, size, 1) of the prior, of unit variance, and their parameters (n, p)."""
    theta, rng = sample_prior(cfg, count, seed), np.random.default_rng(seed)
    prepared = grf.prepare(cfg)
    maps = np.concatenate([grf.maps(cfg, prepared, row, lambda _: rng, 1) for row in theta])
    return maps / maps.std(axis=(1, 2), keepdims=True), theta


def change(mean: np.ndarray, other: np.ndarray, std: np.ndarray) -> float:
    """Largest rms difference of means (n, p) among parameters, in units of the rms standard deviation (n, p)."""
    return float(np.max(np.sqrt(np.mean((mean - other) ** 2, axis=0) / np.mean(std**2, axis=0))))


def of_grid(cfg: Config, maps: np.ndarray) -> float:
    """Change of the exact posterior mean from half as many grid points along each axis."""
    grid, probability = limits.exact_posterior(cfg, maps)
    mean, free = probability @ grid, len(cfg.parameter_names)
    std = np.sqrt(np.maximum(probability @ grid**2 - mean**2, 0.0))
    with patch.dict(limits.NODES, {free: limits.NODES[free] // 2}):
        return change(mean, limits.exact_mean(cfg, maps), std)


def of_likelihood(cfg: Config, maps: np.ndarray) -> float:
    """Change of the mean under the likelihood of spectra with more samples of the prior."""
    training, theta = simulated(cfg, TRAINING, 1)
    model, features = GaussianLikelihood.fit(spectra(training, BINS), theta, cfg.bounds), spectra(maps, BINS)
    free = len(cfg.parameter_names)
    nodes = MORE * likelihood.NODES.get(free, likelihood.MANY_NODES)
    mean = model.posterior_mean(cfg, features)
    with patch.dict(likelihood.NODES, {free: nodes}):
        finer = model.posterior_mean(cfg, features)
        square = model.posterior_mean(cfg, features, np.square)
    return change(mean, finer, np.sqrt(np.maximum(square - finer**2, 0.0)))


def main() -> int:
    """Print the changes for each number of parameters."""
    cli.Parser("study.posterior_nodes", __doc__).parse_args()
    for free in range(1, 1 + len(BOX)):
        cfg = parameters(free)
        maps, _ = simulated(cfg, MAPS, 0)
        print(f"{free} free: exact posterior {of_grid(cfg, maps):.2%}, likelihood {of_likelihood(cfg, maps):.2%}")
    return 0


if __name__ == "__main__":
    cli.entry(main)

"""Baselines on the same maps: likelihood and network on spectra and on higher-order statistics; the exact limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation import limits
from cosmokeras.evaluation.challenge import LEAST_STD, Estimates
from cosmokeras.evaluation.higher_order import L1Norm
from cosmokeras.evaluation.likelihood import GaussianLikelihood, compression
from cosmokeras.evaluation.summary_network import network_moments
from cosmokeras.inference.derived import with_s8
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.features import observed_features, spectra
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.suites.prior import log_prior

NOISE = 4_000_037  # seeds of noise that nothing else uses
NOISE_REALISATIONS = 8  # of each training map
UNIT_MAPS = 1024  # training maps that set the units of the l1-norm, constants of any value


Statistics = Callable[[np.ndarray], np.ndarray]  # observed maps (n, size, size, channels) -> (n, f)


@dataclass(frozen=True)
class Seen:
    """Of test maps: `outputs` (n, outputs) of the network, `statistics` (n, f), `exact` (n, p) means of `grf` maps.

    `surprise` (m,) and `first` (m, size, size, channels) are of the first of them alone.
    """

    outputs: np.ndarray
    statistics: np.ndarray
    exact: np.ndarray
    surprise: np.ndarray
    first: np.ndarray


def statistics_of(est: Estimator, training: Split, bins: int) -> Statistics:
    """What the baselines measure: spectra in `bins` bins, and the starlet l1-norm in units of training maps."""
    obs = observed(training.head(UNIT_MAPS), forward_of(est.cfg), NOISE)
    l1_norm = L1Norm.fit(obs, est.cfg.periodic)
    return lambda maps: np.hstack([spectra(maps, bins), l1_norm(maps)])


def exact_of(est: Estimator, maps: np.ndarray) -> np.ndarray:
    """Means (n, p) of the exact posterior of `grf` maps; (n, 0) of others, whose nobody knows."""
    return limits.exact_mean(est.cfg, maps) if est.cfg.data.kind == "grf" else np.empty((len(maps), 0))


def baseline_estimates(
    est: Estimator, training: Split, validation: Split, statistics: Statistics, seen: Seen, bins: int
) -> dict[str, Estimates]:
    """Estimates (n, q) of the targets, and of S8 behind them, from what was `seen` of test maps, with their errors.

    Each analysis gives its best estimate of S8, the posterior mean of S8 itself, and not S8 of the posterior means.
    Errors are scaled to those of validation maps, as the network's posteriors are.

    Returns
    -------
    dict with `likelihood` and `network`, from spectra in `bins` bins; `higher_order_likelihood` and
    `higher_order_network`, from these spectra and the starlet l1-norm; of `grf` maps `limit`, the exact posterior's
    means, without errors
    """
    cfg, d = est.cfg, len(est.parameters)
    forward = forward_of(cfg)
    realisations = NOISE_REALISATIONS if cfg.kind.observed == "survey" else 1
    seeds = [NOISE + i for i in range(realisations)]
    train = observed_features(training, forward, statistics, seeds).reshape(realisations * len(training), -1)
    held_out, test = observed_features(validation, forward, statistics, seeds[:1])[0], seen.statistics
    theta = np.tile(training.theta, (realisations, 1))
    law = log_prior(cfg, training.theta)  # networks learn it from their maps

    def targets(theta: np.ndarray) -> np.ndarray:
        return with_s8(est.parameters, theta[:, cfg.target_columns])

    def likelihood(train: np.ndarray, held_out: np.ndarray, test: np.ndarray) -> Estimates:
        model = GaussianLikelihood.fit(train, theta, cfg.bounds, len(training), law)
        known, found = (Estimates(*model.posterior_moments(cfg, x, targets)) for x in (held_out, test))
        return calibrated(found, known, y_held_out)

    y, y_held_out = targets(theta), targets(validation.theta)
    bounds = with_s8(est.parameters, est.bounds.T).T  # S8 rises with both parameters
    # S8 follows from the targets: it takes a network of its own
    parts = [slice(0, d), slice(d, None)][: 1 + len(bounds) - d]

    def network(columns: slice) -> Estimates:
        sets = [((train[:, columns], y[:, p]), (held_out[:, columns], y_held_out[:, p])) for p in parts]
        asked = np.vstack([test, held_out])[:, columns]
        moments = [network_moments(cfg, *both, asked, bounds[p]) for both, p in zip(sets, parts, strict=True)]
        mean, std = (np.hstack(one) for one in zip(*moments, strict=True))
        found, known = (Estimates(mean[rows], std[rows]) for rows in (slice(len(test)), slice(len(test), None)))
        return calibrated(found, known, y_held_out)

    power, everything = slice(bins * cfg.channels * (cfg.channels + 1) // 2), slice(None)
    compress = compression(train, theta, len(training))
    out = {
        "likelihood": likelihood(train[:, power], held_out[:, power], test[:, power]),
        "network": network(power),
        "higher_order_likelihood": likelihood(compress(train), compress(held_out), compress(test)),
        "higher_order_network": network(everything),
    }
    if seen.exact.shape[1]:
        out["limit"] = Estimates(targets(seen.exact))
    return out


def calibrated(found: Estimates, known: Estimates, truth: np.ndarray) -> Estimates:
    """Estimates with the standard deviations of each column times the rms pull of others, of known truth (n, q).

    The factor of maximum likelihood, were posteriors Gaussian. Small networks that are trained with dropout claim
    errors that are too large.
    """
    assert found.std is not None and known.std is not None
    pulls = (known.mean - truth) / np.maximum(known.std, LEAST_STD)
    return Estimates(found.mean, found.std * np.sqrt(np.mean(pulls**2, axis=0)))

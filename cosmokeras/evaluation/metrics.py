"""Metrics of posteriors on test maps of held-out cosmologies: errors, gains over baselines, calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal, qmc

from cosmokeras.dataset.observed import observed_blocks
from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation.baselines import Seen, Statistics, baseline_estimates, exact_of, statistics_of
from cosmokeras.evaluation.challenge import Estimates, challenge_metrics
from cosmokeras.evaluation.diagnostics import coverage, rank_test, tarp_p_value
from cosmokeras.evaluation.gain import gain
from cosmokeras.evaluation.saliency import MAPS
from cosmokeras.evaluation.sampled import Sampled, sampled
from cosmokeras.inference.derived import names_with_s8, with_s8
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.features import observed_features
from cosmokeras.inference.posterior import MixturePosterior, prior_rmse
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.sections import EvaluateConfig

TEST_NOISE = 3_000_017  # seeds of noise that nothing else uses
RESIDUAL_NOISE = 5_000_077
GAUSSIAN_SAMPLES = 4096  # for the part of a Gaussian inside the prior box, to 1 / sqrt(4096) = 1.6 % or better
LEVELS = (50, 68, 95, 99)  # [%] of central intervals
ALARM = 0.05  # p-value below which a test map is a false alarm of the misspecification test
ALARM_MAPS = 2000  # test maps for their rate, at most: its error is sqrt(0.05 * 0.95 / 2000) = 0.5 %


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the numbers behind the pictures: all (n, d) but those below.

    `obs` (m, size, size, channels) are the first maps, MAPS at most; `pit` the probability integral transform, each
    posterior's marginal distribution function at the truth; `credibility` (n,) of TARP; `cosmology` (n,) whose map it
    is.
    """

    metrics: dict[str, Any]
    obs: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    pit: np.ndarray
    credibility: np.ndarray
    cosmology: np.ndarray


def rmse(estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error, (d,)."""
    return np.sqrt(np.mean((estimates - truth) ** 2, axis=0))


def better(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of two sets of estimates (n, d), for each parameter that with the smaller error."""
    return np.where(rmse(one, truth) < rmse(other, truth), one, other)


def evaluate(
    est: Estimator, training: Split, validation: Split, test: Split, settings: EvaluateConfig | None = None
) -> Evaluation:
    """All metrics of the test maps; `settings` are those of the estimator's parameters unless others are given.

    Maps go by in blocks, of which what is wanted of each is kept: hundreds of numbers.
    """
    cfg, columns = est.cfg, est.cfg.target_columns
    settings = settings or cfg.evaluate
    forward = forward_of(cfg)
    statistics = statistics_of(est, training, settings.spectrum_bins)
    seen, truth = look_at(est, statistics, observed_blocks(test, forward, TEST_NOISE)), test.theta[:, columns]
    posterior = est.posterior_from(seen.outputs)
    mean, std, pit = posterior.mean(), posterior.std(), posterior.cdf(truth)
    drawn = sampled(est, seen.outputs, truth, settings.samples)

    baselines = baseline_estimates(est, training, validation, statistics, seen, settings.spectrum_bins)
    means = {name: one.mean for name, one in baselines.items()}
    metrics: dict[str, Any] = parameter_metrics(
        est, truth, mean, pit, drawn, means, test.cosmology, _prior_std(est, training)
    )
    d = len(est.parameters)
    own = Estimates(np.hstack([mean, drawn.mean[:, d:]]), np.hstack([std, drawn.std[:, d:]]))
    true, names = with_s8(est.parameters, truth), names_with_s8(est.parameters)
    metrics |= challenge_metrics(names, {"posterior": own, **baselines}, true, test.cosmology, d)
    metrics["nll"] = round(float(-np.mean(posterior.log_prob(truth))), 6)
    if cfg.train.ensemble > 1 and isinstance(posterior, MixturePosterior):
        spread = epistemic(posterior, cfg.train.ensemble)
        for name, value in zip(est.parameters, spread.round(6).tolist(), strict=True):
            metrics[name]["epistemic"] = value
    if est.stretch is not None:
        metrics["before_stretch"] = before_stretch(est, seen.outputs, truth)
    residuals = observed_features(validation, forward, est.mean, [RESIDUAL_NOISE])[0] - validation.theta[:, columns]
    metrics["nll_gaussian"] = round(gaussian_nll(residuals, mean, truth, est.bounds), 6)
    metrics["tarp_ks_p"] = round(tarp_p_value(drawn.credibility, test.cosmology), 6)
    if est.reference is not None:
        metrics["false_alarms"] = round(float(np.mean(seen.surprise < ALARM)), 6)
    metrics["n_maps"] = len(test)
    metrics["n_cosmologies"] = len(np.unique(test.cosmology))
    return Evaluation(
        metrics=metrics,
        obs=seen.first,
        truth=truth,
        mean=mean,
        std=std,
        pit=pit,
        credibility=drawn.credibility,
        cosmology=test.cosmology,
    )


def look_at(est: Estimator, statistics: Statistics, blocks: Iterable[np.ndarray]) -> Seen:
    """What is wanted of test maps, which come in blocks and are not kept."""
    first, outputs, summaries, exact, surprise, start = [], [], [], [], [], 0
    for maps in blocks:
        if start < MAPS:
            first.append(maps[: MAPS - start].copy())  # a view, even an empty one, would keep the block in memory
        outputs.append(est.outputs(maps))
        summaries.append(statistics(maps))
        exact.append(exact_of(est, maps))
        if est.reference is not None and start < ALARM_MAPS:
            surprise.append(est.surprise(maps[: ALARM_MAPS - start]))
        start += len(maps)
    parts = (outputs, summaries, exact, surprise or [np.empty(0)], first)
    return Seen(*(np.concatenate(part) for part in parts))


def epistemic(posterior: MixturePosterior, members: int) -> np.ndarray:
    """Rms difference (d,) of the members' posterior means from that of the ensemble, in claimed errors of a map."""
    means = np.array([one.mean() for one in posterior.members(members)])
    return np.sqrt(np.mean(((means - posterior.mean()) / posterior.std()) ** 2, axis=(0, 1)))


def before_stretch(est: Estimator, outputs: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Coverage and negative log density of the network's own posteriors, before recalibration."""
    raw = replace(est, stretch=None).posterior_from(outputs)
    metrics: dict[str, Any] = {"nll": round(float(-np.mean(raw.log_prob(truth))), 6)}
    pit = raw.cdf(truth)
    for level in LEVELS:
        inside = coverage(pit, level / 100).round(6).tolist()
        metrics[f"coverage_{level}"] = dict(zip(est.parameters, inside, strict=True))
    return metrics


def parameter_metrics(
    est: Estimator,
    truth: np.ndarray,
    mean: np.ndarray,
    pit: np.ndarray,
    drawn: Sampled,
    baselines: dict[str, np.ndarray],
    cosmology: np.ndarray,
    prior_std: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Metrics of each target, and of S8 where they have it.

    Parameters
    ----------
    truth : (n, d)
    mean, pit : (n, d) of the network's posteriors
    drawn : what their samples say
    baselines : estimates that the network is compared with, (n, q) with S8 behind the targets; see `baseline_estimates`
    cosmology : (n,) whose map it is
    prior_std : (d,) standard deviation of the targets under the prior
    """
    d, names = len(est.parameters), (*est.parameters, "S8")
    true = with_s8(est.parameters, truth)
    # the marginal posterior of S8 is that of its samples
    mean = np.hstack([mean, drawn.mean[:, d:]])
    pit = np.hstack([pit, drawn.below[:, d:] / drawn.count])
    error = rmse(mean, true)
    other = {name: rmse(estimates, true) for name, estimates in baselines.items()}
    best = {
        "gain": better(baselines["likelihood"], baselines["network"], true),
        "gain_likelihood": baselines["likelihood"],
        "gain_higher_order": better(baselines["higher_order_likelihood"], baselines["higher_order_network"], true),
    }
    spread = np.concatenate([prior_std, np.std(true[:, d:], axis=0)])
    chi2, rank_p = rank_test(drawn.below, drawn.count, cosmology)
    gains = {name: gain(estimates - true, mean - true, cosmology) for name, estimates in best.items()}
    values = {
        "rmse": error,
        "bias": np.mean(mean - true, axis=0),
        "r2": 1 - error**2 / np.var(true, axis=0),
        "prior_rmse": spread,
        "baseline_rmse": rmse(best["gain"], true),
        "likelihood_rmse": other["likelihood"],
        "spectrum_network_rmse": other["network"],
        "higher_order_rmse": rmse(best["gain_higher_order"], true),
        "sharpness": drawn.std.mean(axis=0) / spread,
        "sbc_chi2": chi2,
        "sbc_p": rank_p,
    }
    values |= {f"coverage_{level}": coverage(pit, level / 100) for level in LEVELS}
    for name, (ratio, std) in gains.items():
        values |= {name: ratio, f"{name}_std": std}
    if "limit" in other:
        values |= {"limit_rmse": other["limit"], "efficiency": other["limit"] / error}
    return {names[j]: {key: round(float(row[j]), 6) for key, row in values.items()} for j in range(true.shape[1])}


def _prior_std(est: Estimator, training: Split) -> np.ndarray:
    """Standard deviation (d,) of the targets under the prior; of maps in files, that of the sample."""
    if est.cfg.from_files:
        return np.std(training.theta[:, est.cfg.target_columns], axis=0)
    return prior_rmse(est.bounds)


def gaussian_nll(residuals: np.ndarray, estimates: np.ndarray, truth: np.ndarray, bounds: np.ndarray) -> float:
    """Mean negative log density at the truth (n, d) of one Gaussian for all maps, about their estimates (n, d).

    Its bias and covariance are those of `residuals` (m, d), estimate minus truth, of other maps. It is truncated at the
    prior box `bounds` (d, 2) and normalised over it, as the posteriors are: without that, even posteriors that are
    nothing but such Gaussians (`PointPosterior`) would seem better.
    """
    covariance = np.atleast_2d(np.cov(residuals.T))
    centre = estimates - residuals.mean(axis=0)
    log_density = multivariate_normal(cov=covariance).logpdf(truth - centre)
    samples = qmc.MultivariateNormalQMC(np.zeros(len(bounds)), covariance, rng=0).random(GAUSSIAN_SAMPLES)
    low, high = bounds.T
    hits = [np.sum(np.all((samples >= low - row) & (samples <= high - row), axis=1)) for row in centre]
    inside = (1 + np.array(hits)) / (1 + GAUSSIAN_SAMPLES)  # never 0
    return float(np.mean(np.log(inside) - log_density))

"""Judgement on maps of held-out cosmologies, beside the exact limit and today's analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmokeras.config import EvaluateConfig
from cosmokeras.dataset.pipeline import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference import limits
from cosmokeras.inference.baseline import GaussianLikelihood, network_means
from cosmokeras.inference.calibration import coverage, tarp, tarp_p_value
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.features import observed_spectra, spectra
from cosmokeras.inference.posterior import prior_rmse
from cosmokeras.observation import Observer

TEST_NOISE = 3_000_017  # seeds of noise that nothing else uses
BASELINE_NOISE = 4_000_037
BASELINE_DRAWS = 8  # noise draws of each training map for the spectra


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the numbers behind the pictures: all (n, d) but `metrics`."""

    metrics: dict[str, Any]
    truth: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    pit: np.ndarray


def rmse(estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error, (d,)."""
    return np.sqrt(np.mean((estimates - truth) ** 2, axis=0))


def evaluate(
    est: Estimator, training: Split, validation: Split, test: Split, settings: EvaluateConfig | None = None
) -> Evaluation:
    """All metrics of the test maps; `settings` are those of the estimator's parameters unless others are given."""
    cfg = est.cfg
    settings = settings or cfg.evaluate
    observer = Observer(cfg)
    obs = observed(test, observer, TEST_NOISE)
    truth = test.theta[:, cfg.target_columns]
    posterior = est.posterior(obs)
    mean, std, pit = posterior.mean(), posterior.std(), posterior.cdf(truth)
    drawn = posterior.sample(settings.samples, seed=0)

    error, prior = rmse(mean, truth), prior_rmse(est.bounds)
    baselines = baseline_rmse(est, training, validation, obs, truth, settings.spectrum_bins)
    baseline = np.minimum(*baselines.values())
    metrics: dict[str, Any] = {}
    exact = rmse(limits.exact_mean(cfg, obs)[:, cfg.target_columns], truth) if cfg.data.kind == "grf" else None
    for j, name in enumerate(est.parameters):
        values = {
            "rmse": error[j],
            "bias": np.mean(mean[:, j] - truth[:, j]),
            "r2": 1 - error[j] ** 2 / np.var(truth[:, j]),
            "prior_rmse": prior[j],
            "baseline_rmse": baseline[j],
            "likelihood_rmse": baselines["likelihood"][j],
            "spectrum_network_rmse": baselines["network"][j],
            "gain": baseline[j] / error[j],
            "coverage_68": coverage(pit, 0.68)[j],
            "coverage_95": coverage(pit, 0.95)[j],
        }
        if exact is not None:
            values |= {"limit_rmse": exact[j], "efficiency": exact[j] / error[j]}
        metrics[name] = {key: round(float(value), 6) for key, value in values.items()}
    if {"omega_m", "sigma8"} <= set(est.parameters):
        metrics["S8"] = _s8(est.parameters, drawn, truth)
    metrics["nll"] = round(float(-np.mean(posterior.log_prob(truth))), 6)
    credibility = tarp(drawn, truth, est.bounds)
    metrics["tarp_ks_p"] = round(tarp_p_value(credibility, test.cosmology), 6)
    metrics["n_maps"] = len(test)
    metrics["n_cosmologies"] = len(np.unique(test.cosmology))
    return Evaluation(metrics, truth, mean, std, pit)


def baseline_rmse(
    est: Estimator, training: Split, validation: Split, obs: np.ndarray, truth: np.ndarray, bins: int
) -> dict[str, np.ndarray]:
    """Errors (d,) of the two analyses of spectra in `bins` bins, on the same test maps."""
    cfg = est.cfg
    observer = Observer(cfg)
    draws = BASELINE_DRAWS if cfg.kind.observed == "survey" else 1  # noise is all that differs between draws
    seeds = [BASELINE_NOISE + i for i in range(draws)]
    known = observed_spectra(training, observer, bins, seeds).reshape(draws * len(training), -1)
    theta = np.tile(training.theta, (draws, 1))
    held_out = observed_spectra(validation, observer, bins, seeds[:1])[0]
    unknown = spectra(obs, bins)
    likelihood = GaussianLikelihood.fit(known, theta, cfg.bounds)
    by_likelihood = likelihood.posterior_mean(cfg, unknown)[:, cfg.target_columns]
    by_network = network_means(cfg, (known, theta), (held_out, validation.theta), unknown)
    return {"likelihood": rmse(by_likelihood, truth), "network": rmse(by_network, truth)}


def _s8(names: tuple[str, ...], samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The derived S8 = sigma8 sqrt(omega_m / 0.3)."""

    def s8(theta: np.ndarray) -> np.ndarray:
        return theta[..., names.index("sigma8")] * np.sqrt(theta[..., names.index("omega_m")] / 0.3)

    drawn, true = s8(samples), s8(truth)
    mean, rank = drawn.mean(axis=1), np.mean(drawn < true[:, None], axis=1)
    values = {
        "rmse": rmse(mean, true),
        "bias": np.mean(mean - true),
        "r2": 1 - np.mean((mean - true) ** 2) / np.var(true),
        "prior_rmse": np.std(true),
        "coverage_68": coverage(rank, 0.68),
        "coverage_95": coverage(rank, 0.95),
    }
    return {key: round(float(value), 6) for key, value in values.items()}

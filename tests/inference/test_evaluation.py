"""Metrics of test maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.config import Config
from cosmokeras.cosmology import sample_prior
from cosmokeras.dataset.pipeline import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.evaluation import TEST_NOISE, Evaluation, evaluate, rmse
from cosmokeras.inference.limits import exact_mean
from cosmokeras.inference.posterior import prior_rmse
from cosmokeras.observation import Observer

EACH = {
    *("rmse", "bias", "r2", "prior_rmse", "baseline_rmse", "gain", "coverage_68", "coverage_95"),
    *("likelihood_rmse", "spectrum_network_rmse"),
}
ALL = {"nll", "tarp_ks_p", "n_maps", "n_cosmologies"}


@pytest.fixture(scope="module")
def result(estimator: Estimator, splits: dict[str, Split]) -> Evaluation:
    return evaluate(estimator, splits["train"], splits["validation"], splits["test"])


def test_every_metric_of_a_field_with_a_known_limit(result: Evaluation) -> None:
    metrics = result.metrics
    assert set(metrics) == ALL | {"omega_m"}
    assert set(metrics["omega_m"]) == EACH | {"limit_rmse", "efficiency"}
    assert (metrics["n_maps"], metrics["n_cosmologies"]) == (128, 64)
    numbers = [*metrics["omega_m"].values(), *(metrics[name] for name in ALL)]
    assert all(isinstance(x, int | float) and np.isfinite(x) for x in numbers)


def test_metrics_are_what_their_names_say(result: Evaluation, estimator: Estimator, splits: dict[str, Split]) -> None:
    truth, m = splits["test"].theta, result.metrics["omega_m"]
    obs = observed(splits["test"], Observer(estimator.cfg), TEST_NOISE)
    assert np.array_equal(result.truth, truth)
    assert result.mean == pytest.approx(estimator.mean(obs))
    left = result.mean - truth
    assert m["rmse"] == pytest.approx(np.sqrt(np.mean(left**2)), abs=1e-6)
    assert m["bias"] == pytest.approx(left.mean(), abs=1e-6)
    assert m["r2"] == pytest.approx(1 - np.mean(left**2) / truth.var(), abs=1e-6)
    assert m["prior_rmse"] == pytest.approx(0.4 / np.sqrt(12), abs=1e-6)
    assert m["limit_rmse"] == pytest.approx(rmse(exact_mean(estimator.cfg, obs), truth)[0], abs=1e-6)
    assert m["efficiency"] == pytest.approx(m["limit_rmse"] / m["rmse"], abs=1e-4)
    assert m["gain"] == pytest.approx(m["baseline_rmse"] / m["rmse"], abs=1e-4)
    assert m["baseline_rmse"] == min(m["likelihood_rmse"], m["spectrum_network_rmse"])
    assert m["coverage_68"] == pytest.approx(np.mean(np.abs(result.pit - 0.5) < 0.34), abs=1e-6)
    assert result.metrics["nll"] == pytest.approx(-estimator.log_prob(obs, truth).mean(), abs=1e-5)


def test_nobody_beats_the_exact_posterior(result: Evaluation) -> None:
    m = result.metrics["omega_m"]
    assert 0.5 < m["efficiency"] < 1.05
    assert m["baseline_rmse"] > 0.95 * m["limit_rmse"]
    assert m["baseline_rmse"] < 0.8 * m["prior_rmse"]


def test_two_targets_give_their_combination_too(config: Callable[..., Config], tiny: dict[str, Any]) -> None:
    """S8, of maps that are noise of variance proportional to S8 squared: any maps will do.

    The point head answers the middle of the prior: the metrics see through a network that knows nothing.
    """
    lensing = {"data.kind": "lensing", "lensing.survey": "cosmos", "real.source": "cosmos", "model.head": "mse"}
    cfg = config({**tiny, **lensing, "prior.sigma8": [0.6, 1.0]})

    def combined(theta: np.ndarray) -> np.ndarray:
        return theta[:, 1] * np.sqrt(theta[:, 0] / 0.3)

    def split(n: int, seed: int) -> Split:
        theta, rng = sample_prior(cfg, n, seed), np.random.default_rng(seed)
        maps = 0.05 * combined(theta)[:, None, None, None] * rng.standard_normal((n, 32, 32, 1))
        return Split([maps.astype(np.float32)], np.array([0]), theta, np.arange(n))

    model, test = models.build(cfg), split(60, 2)
    model.get_layer("point").kernel.assign(np.zeros(model.get_layer("point").kernel.shape))
    estimator = Estimator(cfg, model, errors=prior_rmse(cfg.bounds))
    found = evaluate(estimator, split(256, 0), split(32, 1), test)
    assert set(found.metrics) == ALL | {"omega_m", "sigma8", "S8"}
    assert set(found.metrics["omega_m"]) == set(found.metrics["sigma8"]) == EACH
    assert found.mean.shape == found.std.shape == found.pit.shape == (60, 2)
    s8 = found.metrics["S8"]
    assert set(s8) == {"rmse", "bias", "r2", "prior_rmse", "coverage_68", "coverage_95"}
    assert s8["prior_rmse"] == pytest.approx(combined(test.theta).std(), abs=1e-6)
    assert s8["rmse"] == pytest.approx(s8["prior_rmse"], rel=0.05)
    m = found.metrics["omega_m"]
    assert m["rmse"] == pytest.approx(m["prior_rmse"], rel=0.03)
    assert m["r2"] == pytest.approx(0, abs=0.02)
    assert m["gain"] < 0.9

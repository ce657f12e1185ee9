"""Metrics of test maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from cosmokeras import models
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation import metrics as metrics_module
from cosmokeras.evaluation.challenge import Estimates, figure_of_merit, phase1_score
from cosmokeras.evaluation.limits import exact_mean
from cosmokeras.evaluation.metrics import RESIDUAL_NOISE, TEST_NOISE, Evaluation, better, evaluate, gaussian_nll, rmse
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior, prior_rmse
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior

pytestmark = pytest.mark.slow

EACH = {
    *("rmse", "bias", "r2", "prior_rmse", "baseline_rmse", "gain", "coverage_68", "coverage_95"),
    *("likelihood_rmse", "spectrum_network_rmse", "higher_order_rmse"),
    *("coverage_50", "coverage_99", "sharpness", "sbc_chi2", "sbc_p"),
    *("gain_std", "gain_likelihood", "gain_likelihood_std", "gain_higher_order", "gain_higher_order_std"),
}
ALL = {"nll", "nll_gaussian", "tarp_ks_p", "false_alarms", "n_maps", "n_cosmologies"}


@pytest.fixture(scope="module")
def result(estimator: Estimator, splits: dict[str, Split]) -> Evaluation:
    return evaluate(estimator, splits["train"], splits["validation"], splits["test"])


def test_every_metric_of_a_field_with_a_known_limit(result: Evaluation) -> None:
    metrics = result.metrics
    assert set(metrics) - {"before_stretch"} == ALL | {"omega_m"}
    assert set(metrics["omega_m"]) == EACH | {"limit_rmse", "efficiency"}
    assert (metrics["n_maps"], metrics["n_cosmologies"]) == (128, 64)
    numbers = [*metrics["omega_m"].values(), *(metrics[name] for name in ALL)]
    assert all(isinstance(x, int | float) and np.isfinite(x) for x in numbers)


def test_widths_are_shown_before_and_after_a_stretch(estimator: Estimator, splits: dict[str, Split]) -> None:
    wide = replace(estimator, stretch=np.array([3.0]))
    metrics = evaluate(wide, splits["train"], splits["validation"], splits["test"]).metrics
    before = metrics["before_stretch"]
    assert metrics["omega_m"]["coverage_68"] > 0.95 > before["coverage_68"]["omega_m"]
    assert metrics["omega_m"]["sharpness"] > metrics["omega_m"]["rmse"] / metrics["omega_m"]["prior_rmse"]
    assert metrics["nll"] > before["nll"]
    assert metrics["omega_m"]["sbc_p"] < 0.01


def test_metrics_are_what_their_names_say(result: Evaluation, estimator: Estimator, splits: dict[str, Split]) -> None:
    truth, m = splits["test"].theta, result.metrics["omega_m"]
    obs = observed(splits["test"], Forward(estimator.cfg), TEST_NOISE)
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
    assert m["gain_likelihood"] == pytest.approx(m["likelihood_rmse"] / m["rmse"], abs=1e-4)
    assert m["gain_higher_order"] == pytest.approx(m["higher_order_rmse"] / m["rmse"], abs=1e-4)
    for name in ("gain", "gain_likelihood", "gain_higher_order"):
        assert 0 < m[f"{name}_std"] < 0.3
    assert m["coverage_68"] == pytest.approx(np.mean(np.abs(result.pit - 0.5) < 0.34), abs=1e-6)
    assert result.metrics["nll"] == pytest.approx(-estimator.log_prob(obs, truth).mean(), abs=1e-5)
    validation = splits["validation"]
    known = estimator.mean(observed(validation, Forward(estimator.cfg), RESIDUAL_NOISE)) - validation.theta
    centre, sigma = result.mean - known.mean(), known.std(ddof=1)
    inside = norm.cdf(0.5, centre, sigma) - norm.cdf(0.1, centre, sigma)
    error_bars = np.mean(np.log(inside) - norm.logpdf(truth, centre, sigma))
    assert result.metrics["nll_gaussian"] == pytest.approx(error_bars, abs=1e-3)


def test_nobody_beats_the_exact_posterior(result: Evaluation) -> None:
    m = result.metrics["omega_m"]
    assert 0.5 < m["efficiency"] < 1.05
    assert m["baseline_rmse"] > 0.95 * m["limit_rmse"]
    assert m["baseline_rmse"] < 0.8 * m["prior_rmse"]
    # the field is Gaussian: nothing is left to be found beyond its spectrum
    assert m["higher_order_rmse"] > 0.95 * m["limit_rmse"]
    assert m["higher_order_rmse"] < 1.1 * m["baseline_rmse"]


def test_better_is_chosen_for_each_parameter() -> None:
    truth = np.zeros((4, 2))
    one, other = np.tile([1.0, -2.0], (4, 1)), np.tile([-2.0, 1.0], (4, 1))
    assert np.array_equal(better(one, other, truth), np.ones((4, 2)))


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
    scores = {"figure_of_merit", "fair_phase1"}
    assert set(found.metrics) == (ALL - {"false_alarms"}) | {"omega_m", "sigma8", "S8"} | scores
    assert set(found.metrics["figure_of_merit"]) == {"omega_m_S8", "omega_m_sigma8"}
    assert all(set(found.metrics[name]) == EACH for name in ("omega_m", "sigma8", "S8"))
    assert found.mean.shape == found.std.shape == found.pit.shape == (60, 2)
    s8 = found.metrics["S8"]
    assert s8["prior_rmse"] == pytest.approx(combined(test.theta).std(), abs=1e-6)
    assert s8["rmse"] == pytest.approx(s8["prior_rmse"], rel=0.05)
    # the maps tell S8 and nothing else, and the analyses of spectra find it
    assert s8["likelihood_rmse"] < 0.2 * s8["prior_rmse"]
    assert s8["spectrum_network_rmse"] < 0.8 * s8["prior_rmse"]
    assert s8["baseline_rmse"] == min(s8["likelihood_rmse"], s8["spectrum_network_rmse"])
    assert s8["gain"] == pytest.approx(s8["baseline_rmse"] / s8["rmse"], abs=1e-3)
    m = found.metrics["omega_m"]
    assert m["rmse"] == pytest.approx(m["prior_rmse"], rel=0.03)
    assert m["r2"] == pytest.approx(0, abs=0.02)
    assert m["gain"] < 0.9
    scores_of_two_targets(found, combined(test.theta))


def scores_of_two_targets(found: Evaluation, s8: np.ndarray) -> None:
    """Figure of merit and phase-1 score of a network that answers the middle of the prior, and of spectra."""
    pair, score = found.metrics["figure_of_merit"]["omega_m_S8"], found.metrics["fair_phase1"]
    assert set(pair) == {"network", "baseline", "higher_order"} | {
        f"{gain}{end}" for gain in ("gain", "gain_higher_order") for end in ("", "_std")
    }
    assert set(score) == {"network", "baseline", "higher_order"}
    truth = np.column_stack([found.truth[:, 0], s8])
    # S8 of a network without knowledge is the mean of its wide posterior, a constant but for the sampling
    middle = np.tile(truth.mean(axis=0), (len(truth), 1))
    assert pair["network"] == pytest.approx(figure_of_merit(middle - truth), rel=0.05)
    assert pair["baseline"] > 5 * pair["network"]
    assert pair["gain"] == pytest.approx(pair["network"] / pair["baseline"], rel=1e-4)
    assert 0 < pair["gain_std"] < pair["gain"]
    wide = np.tile(truth.std(axis=0), (len(truth), 1))
    assert score["network"] == pytest.approx(phase1_score(middle, wide, truth), abs=2)
    assert score["baseline"] > score["network"] + 3


BOX = np.array([[0.1, 0.5], [0.6, 1.0]])


def judged(sigma: np.ndarray, claimed: np.ndarray) -> tuple[float, float]:
    """`nll` and `nll_gaussian` of Gaussians cut off at the box with errors `claimed` (n, d), which are `sigma` (n, d).

    The first half of the maps shows the residuals, the other is judged.
    """
    n, d = sigma.shape
    rng, half = np.random.default_rng(7), n // 2
    truth = rng.uniform(*BOX[:d].T, (n, d))
    points = truth + sigma * rng.standard_normal((n, d))
    nll = -PointPosterior(points[half:], claimed[half:], BOX[:d]).log_prob(truth[half:]).mean()
    return nll, gaussian_nll(points[:half] - truth[:half], points[half:], truth[half:], BOX[:d])


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("width", [0.005, 0.1])
def test_gaussians_of_constant_width_are_worth_their_error_bars(width: float, d: int) -> None:
    """Narrow ones and such as reach over the edges of the prior box."""
    sigma = np.full((4000, d), width)
    nll, error_bars = judged(sigma, sigma)
    assert error_bars == pytest.approx(nll, abs=0.005)


def test_posteriors_that_know_their_width_are_worth_more() -> None:
    sigma = np.exp(np.random.default_rng(8).uniform(np.log(0.005), np.log(0.05), (4000, 1)))
    nll, error_bars = judged(sigma, sigma)
    # log of the rms width less the mean log width
    assert error_bars - nll == pytest.approx(np.log(np.sqrt(np.mean(sigma**2))) - np.log(sigma).mean(), abs=0.05)


def test_posteriors_that_claim_too_much_or_too_little_are_worth_less() -> None:
    sigma = np.full((4000, 2), 0.02)
    for factor in (0.5, 2.0):
        nll, error_bars = judged(sigma, factor * sigma)
        assert nll > error_bars + 0.2


def test_error_bars_have_bias_and_correlation() -> None:
    """Far from the edges: the density of scipy, and lower than that of either parameter alone."""
    rng, covariance = np.random.default_rng(9), np.array([[4e-4, 3e-4], [3e-4, 4e-4]])
    residuals = rng.multivariate_normal([0.01, -0.02], covariance, 20_000)
    truth = np.full((10_000, 2), BOX.mean(axis=1))
    found = gaussian_nll(residuals[:10_000], truth + residuals[10_000:], truth, BOX)
    exact = multivariate_normal([0.01, -0.02], covariance)
    assert found == pytest.approx(-exact.logpdf(residuals[10_000:]).mean(), abs=1e-3)
    alone = [norm(m, 0.02).logpdf(column).mean() for m, column in zip(exact.mean, residuals.T, strict=True)]
    assert found < -sum(alone) - 0.2


class Permuted(Estimator):
    """Each map gets the posterior of any other."""

    def posterior_from(self, outputs: np.ndarray) -> MixturePosterior:
        right = super().posterior_from(outputs)
        order = np.random.default_rng(0).permutation(len(outputs))
        return replace(right, **{name: getattr(right, name)[order] for name in ("log_weights", "means", "factors")})


def test_a_network_that_is_sure_and_wrong_is_worth_less_than_its_error_bars(
    result: Evaluation, estimator: Estimator, splits: dict[str, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = np.full((len(splits["test"]), 1), 0.3)
    names = ("likelihood", "network", "higher_order_likelihood", "higher_order_network")
    known = Estimates(middle, np.full_like(middle, 0.1))
    monkeypatch.setattr(metrics_module, "baseline_estimates", lambda *_: dict.fromkeys(names, known))
    broken = Permuted(**{field.name: getattr(estimator, field.name) for field in fields(estimator)})
    metrics = evaluate(broken, splits["train"], splits["validation"], splits["test"]).metrics
    assert metrics["nll"] > metrics["nll_gaussian"] + 1
    # residuals as wide as the prior: nothing is left of what the network knows
    assert metrics["nll_gaussian"] == pytest.approx(np.log(0.4), abs=0.15)
    assert metrics["nll_gaussian"] > result.metrics["nll_gaussian"] + 0.5

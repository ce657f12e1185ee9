"""Posteriors are stretched where held-out maps ask for it, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation.diagnostics import coverage
from cosmokeras.inference import calibrate as calibrate_module
from cosmokeras.inference.calibrate import recalibration_factors
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.models.heads import to_normal
from cosmokeras.observation.ops.forward import forward_of

BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0]])
MAPS = 1000
EACH = np.arange(MAPS)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(40).uniform(*BOUNDS.T, (MAPS, 2))


def mixture(widths: float, truth: np.ndarray) -> MixturePosterior:
    """Posteriors of two Gaussians in u, whose claimed widths are `widths` times the right ones."""
    rng, n = np.random.default_rng(9), len(truth)
    offset = np.array([[-1.0, 0.5], [1.0, -0.5]])
    component = rng.integers(0, 2, n)
    centre = to_normal(truth, BOUNDS) + 0.3 * (offset[component] + rng.standard_normal((n, 2)))
    means = centre[:, None] - 0.3 * widths * offset
    factors = np.broadcast_to(np.eye(2) / (0.3 * widths), (n, 2, 2, 2))
    return MixturePosterior(np.full((n, 2), np.log(0.5)), means, factors, BOUNDS)


@pytest.mark.parametrize("widths", [0.6, 1.5])
def test_stretch_mends_widths(truth: np.ndarray, widths: float) -> None:
    wrong = mixture(widths, truth)
    factors = recalibration_factors(wrong, truth, EACH)
    assert factors == pytest.approx([1 / widths, 1 / widths], rel=0.08)
    mended = wrong.stretched(factors)
    assert abs(coverage(wrong.cdf(truth), 0.68) - 0.68).min() > 0.08
    assert coverage(mended.cdf(truth), 0.68) == pytest.approx([0.68, 0.68], abs=0.045)
    assert np.mean(mended.log_prob(truth)) > np.mean(wrong.log_prob(truth)) + 0.1


def test_no_stretch_without_need(truth: np.ndarray) -> None:
    assert recalibration_factors(mixture(1.0, truth), truth, EACH) is None
    # what is significant for many maps may be chance if they are of few cosmologies
    assert recalibration_factors(mixture(0.9, truth), truth, EACH) is not None
    assert recalibration_factors(mixture(0.9, truth), truth, EACH // 20) is None


def test_stretched_posteriors_are_still_normalised_and_keep_their_centre(truth: np.ndarray) -> None:
    posterior = mixture(1.0, truth[:20])
    wide = posterior.stretched(np.array([2.0, 0.5]))
    u = to_normal(wide.sample(4000, seed=3), BOUNDS)
    before = to_normal(posterior.sample(4000, seed=3), BOUNDS)
    assert u.mean(axis=1) == pytest.approx(before.mean(axis=1), abs=0.04)
    assert (u.std(axis=1) / before.std(axis=1)).mean(axis=0) == pytest.approx([2.0, 0.5], rel=0.02)
    edges = np.linspace(*BOUNDS[0], 201), np.linspace(*BOUNDS[1], 201)
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    grid = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
    one = MixturePosterior(wide.log_weights[:1], wide.means[:1], wide.factors[:1], BOUNDS)
    many = MixturePosterior(
        *(np.repeat(x, len(grid), axis=0) for x in (one.log_weights, one.means, one.factors)), BOUNDS
    )
    cell = np.ptp(edges[0]) * np.ptp(edges[1]) / len(grid)
    assert np.exp(many.log_prob(grid)).sum() * cell == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
def test_weights_are_those_of_the_maps_that_fit_into_memory(
    estimator: Estimator, splits: dict[str, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stated number of bytes, whatever the number of maps; summaries are those of all."""
    few, many, forward = splits["train"].head(300), splits["train"].head(700), forward_of(estimator.cfg)
    whole = calibrate_module.fitted_measures(estimator, few, forward)
    monkeypatch.setattr(calibrate_module, "SMOOTHED_BYTES", 300 * 4 * estimator.channels * estimator.size**2 + 1)
    assert np.array_equal(calibrate_module.fitted_measures(estimator, many, forward).weights, whole.weights)
    made = []
    monkeypatch.setattr(calibrate_module, "signal_weights", lambda smooth: made.append(smooth.shape) or np.ones(1))
    calibrate_module.fitted_measures(estimator, many, forward)
    assert made == [(1, 300, estimator.size**2)]

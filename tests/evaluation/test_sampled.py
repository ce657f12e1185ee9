"""What is kept of samples, a block of maps at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosmokeras.evaluation import sampled as module
from cosmokeras.evaluation.diagnostics import coverage, ranks, tarp
from cosmokeras.evaluation.sampled import sampled
from cosmokeras.inference.derived import with_s8
from cosmokeras.inference.posterior import PointPosterior

BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0]])
ERRORS = np.array([0.03, 0.05])


@pytest.fixture
def estimator() -> Any:
    """Whose outputs are estimates of Omega_m and sigma8, and which notes how many maps it is asked for at once."""
    asked: list[int] = []

    def posterior_from(outputs: np.ndarray) -> PointPosterior:
        asked.append(len(outputs))
        return PointPosterior(outputs, ERRORS, BOUNDS)

    return SimpleNamespace(parameters=("omega_m", "sigma8"), bounds=BOUNDS, posterior_from=posterior_from, asked=asked)


@pytest.fixture
def outputs() -> np.ndarray:
    """Estimates (3000, 2)."""
    return np.random.default_rng(1).uniform(*BOUNDS.T, (3000, 2))


@pytest.fixture
def truth(outputs: np.ndarray) -> np.ndarray:
    """Truths (3000, 2) that are drawn from the posteriors."""
    return PointPosterior(outputs, ERRORS, BOUNDS).sample(1, seed=2)[:, 0]


def test_samples_of_a_block_give_its_summaries(estimator: Any, outputs: np.ndarray, truth: np.ndarray) -> None:
    found = sampled(estimator, outputs[:500], truth[:500], 200)
    samples = PointPosterior(outputs[:500], ERRORS, BOUNDS).sample(200, seed=0)
    whole = with_s8(estimator.parameters, samples)
    np.testing.assert_array_equal(found.mean, whole.mean(axis=1))
    np.testing.assert_array_equal(found.std, whole.std(axis=1))
    np.testing.assert_array_equal(found.below, ranks(whole, with_s8(estimator.parameters, truth[:500])))
    np.testing.assert_array_equal(found.credibility, tarp(samples, truth[:500], BOUNDS))
    assert found.count == 200


def test_no_more_maps_than_a_block_are_drawn_at_once(
    estimator: Any, outputs: np.ndarray, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 1024)
    found = sampled(estimator, outputs, truth, 100)
    assert estimator.asked == [1024, 1024, 952]
    assert found.mean.shape == found.std.shape == found.below.shape == (3000, 3)
    np.testing.assert_allclose(coverage(found.below / found.count, 0.68), 0.68, atol=0.04)


def test_posteriors_that_miss_the_truth_are_seen(estimator: Any, outputs: np.ndarray, truth: np.ndarray) -> None:
    found = sampled(estimator, outputs, truth + 2 * ERRORS, 100)
    assert (coverage(found.below / found.count, 0.68) < 0.3).all()

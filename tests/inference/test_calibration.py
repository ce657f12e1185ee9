"""Coverage and TARP accept exact posteriors and refuse wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.inference.calibration import coverage, tarp, tarp_p_value
from cosmokeras.inference.posterior import PointPosterior

BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0]])
SIGMA = np.array([0.03, 0.05])
MAPS, SAMPLES = 1000, 300
EACH = np.arange(MAPS)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(40).uniform(*BOUNDS.T, (MAPS, 2))


@pytest.fixture(scope="module")
def data(truth: np.ndarray) -> np.ndarray:
    return truth + SIGMA * np.random.default_rng(1).standard_normal(truth.shape)


def judged(points: np.ndarray, errors: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coverage at 68 % and 95 %, and the p-value of TARP, of Gaussians cut off at the box.

    With points = truth + normal errors under a uniform prior that is the exact posterior.
    """
    posterior = PointPosterior(points, errors, BOUNDS)
    pit, samples = posterior.cdf(truth), posterior.sample(SAMPLES, seed=2)
    p = tarp_p_value(tarp(samples, truth, BOUNDS), EACH)
    return coverage(pit, 0.68), coverage(pit, 0.95), p


def test_exact_posteriors_pass(truth: np.ndarray, data: np.ndarray) -> None:
    c68, c95, p = judged(data, SIGMA, truth)
    assert c68 == pytest.approx([0.68, 0.68], abs=0.04)
    assert c95 == pytest.approx([0.95, 0.95], abs=0.02)
    assert p > 0.05


def test_over_confidence_shows(truth: np.ndarray, data: np.ndarray) -> None:
    c68, c95, p = judged(data, 0.6 * SIGMA, truth)
    assert (c68 < 0.6).all()
    assert (c95 < 0.88).all()
    assert p < 1e-3


def test_under_confidence_shows(truth: np.ndarray, data: np.ndarray) -> None:
    c68, c95, p = judged(data, 1.6 * SIGMA, truth)
    assert (c68 > 0.75).all()
    assert (c95 > 0.965).all()
    assert p < 1e-3


def test_bias_shows(truth: np.ndarray, data: np.ndarray) -> None:
    c68, c95, p = judged(data + SIGMA, SIGMA, truth)
    assert (c68 < 0.6).all()
    assert (c95 < 0.9).all()
    assert p < 1e-3


def test_tarp_sees_a_lost_correlation_that_marginals_do_not(truth: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    covariance = 0.01**2 * np.array([[1, 0.95], [0.95, 1]])  # far from the edges of the box for most
    data = truth + rng.multivariate_normal([0, 0], covariance, MAPS)
    right = data[:, None] + rng.multivariate_normal([0, 0], covariance, (MAPS, SAMPLES))
    wrong = data[:, None] + 0.01 * rng.standard_normal((MAPS, SAMPLES, 2))
    for samples in (right, wrong):
        ranks = np.mean(samples < truth[:, None], axis=1)
        assert coverage(ranks, 0.68) == pytest.approx([0.68, 0.68], abs=0.04)
    assert tarp_p_value(tarp(right, truth, BOUNDS), EACH) > 0.05
    assert tarp_p_value(tarp(wrong, truth, BOUNDS), EACH) < 1e-3


def test_coverage_counts_central_intervals() -> None:
    pit = np.array([[0.01, 0.5], [0.2, 0.5], [0.5, 0.5], [0.99, 0.5]])
    assert coverage(pit, 0.68).tolist() == [0.5, 1.0]
    assert coverage(pit, 0.97).tolist() == [0.5, 1.0]
    assert coverage(pit, 0.99).tolist() == [1.0, 1.0]


def test_maps_of_one_cosmology_count_once() -> None:
    credibility = np.random.default_rng(4).random(100) ** 1.2
    once = tarp_p_value(credibility, np.arange(100))
    assert tarp_p_value(np.repeat(credibility, 20), np.repeat(np.arange(100), 20)) == once
    assert tarp_p_value(np.repeat(credibility, 20), np.arange(2000)) < 0.01 < once

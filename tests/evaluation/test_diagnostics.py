"""Coverage, ranks and TARP accept exact posteriors and refuse wrong ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from cosmokeras.evaluation.diagnostics import coverage, rank_test, ranks, tarp, tarp_p_value
from cosmokeras.evaluation.limits import exact_posterior
from cosmokeras.inference.posterior import PointPosterior
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.simulators import grf as fields

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


@pytest.fixture(scope="module")
def exact(grf: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (n, 1), samples (n, s, 1) of the exact posterior of a Gaussian field, and prior bounds."""
    truth, rng = sample_prior(grf, MAPS, 5), np.random.default_rng(6)
    grid = fields.prepare(grf)
    maps = np.concatenate([fields.maps(grf, grid, row, lambda r: rng, 1) for row in truth])
    nodes, probability = exact_posterior(grf, maps)
    cell = np.ptp(grf.bounds) / len(nodes)
    below = np.cumsum(probability, axis=1)
    chosen = np.array([np.searchsorted(row, rng.random(SAMPLES)) for row in below / below[:, -1:]])
    samples = nodes[chosen, 0] + cell * (rng.random(chosen.shape) - 0.5)
    return truth, samples[..., None], grf.bounds


def halved(samples: np.ndarray) -> np.ndarray:
    """Posteriors half as wide about the same mean."""
    mean = samples.mean(axis=1, keepdims=True)
    return mean + (samples - mean) / 2


def shifted(samples: np.ndarray) -> np.ndarray:
    """Posteriors one of their own standard deviations too high."""
    return samples + samples.std(axis=1, keepdims=True)


def verdicts(truth: np.ndarray, samples: np.ndarray, bounds: np.ndarray) -> tuple[float, float, float]:
    """Coverage at 68 %, and the p-values of ranks and of TARP."""
    found = ranks(samples, truth)
    p_rank = rank_test(found, SAMPLES, EACH)[1][0]
    return (
        float(coverage(found / SAMPLES, 0.68)[0]),
        float(p_rank),
        tarp_p_value(tarp(samples, truth, bounds), EACH),
    )


def test_the_exact_posterior_of_a_field_passes(exact: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, samples, bounds = exact
    covered, p_rank, p_tarp = verdicts(truth, samples, bounds)
    assert covered == pytest.approx(0.68, abs=0.045)  # three times the scatter of 1000 maps
    assert p_rank > 0.01
    assert p_tarp > 0.01


@pytest.mark.parametrize("spoil", [halved, shifted])
def test_wrong_posteriors_of_a_field_fail(exact: tuple[np.ndarray, np.ndarray, np.ndarray], spoil: Callable) -> None:
    truth, samples, bounds = exact
    covered, p_rank, p_tarp = verdicts(truth, spoil(samples), bounds)
    assert covered < 0.6
    assert p_rank < 1e-6
    assert p_tarp < 1e-6


def test_ranks_of_right_posteriors_are_uniform_and_their_p_values_too() -> None:
    rng = np.random.default_rng(7)
    samples, truth = rng.random((20_000, 99, 1)), rng.random((20_000, 1))
    found = ranks(samples, truth)
    assert (found.min(), found.max()) == (0, 99)
    p = [rank_test(part, 99, np.arange(200))[1][0] for part in np.split(found, 100)]
    assert kstest(p, "uniform").pvalue > 0.01
    statistic, p_value = rank_test(found, 99, np.arange(20_000))
    assert statistic[0] < 50
    assert p_value[0] > 0.001


def test_ranks_of_maps_of_one_cosmology_count_once() -> None:
    found = np.random.default_rng(8).integers(0, 80, (100, 1))  # a fifth of 0 to 99 is never met
    once = rank_test(found, 99, np.arange(100))
    many = rank_test(np.repeat(found, 10, axis=0), 99, np.repeat(np.arange(100), 10))
    assert many == once
    assert rank_test(np.repeat(found, 10, axis=0), 99, np.arange(1000))[0] > 5 * once[0]

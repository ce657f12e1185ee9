"""p-values of maps: right for maps like those of training, small for others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import fft
from scipy.stats import kstest

from cosmokeras.inference.surprise import Reference, features
from cosmokeras.simulators.fields import mode_amplitude, normal_modes, wavenumbers

SIZE = 32
BOUNDS = np.array([[0.5, 1.5]])
K = wavenumbers(SIZE, 1.0)
TWICE = np.where(np.isin(np.arange(SIZE // 2 + 1), [0, SIZE // 2]), 1, 2)


def simulate(theta: np.ndarray, rng: np.random.Generator, noise: float = 1.0, slope: float = -1.5) -> np.ndarray:
    """Fields of rms `theta` with a power-law spectrum, under white noise of one unit: a survey in small."""
    power = np.where(K > 0, np.where(K > 0, K, 1.0) ** slope, 0.0)
    shape = np.sqrt(power / np.sum(power * TWICE)) * SIZE**2
    modes = normal_modes(rng, (len(theta), *shape.shape)) * mode_amplitude(np.multiply.outer(theta, shape) ** 2)
    fields = fft.irfft2(modes)
    return (fields + noise * rng.standard_normal(fields.shape)).astype(np.float32)[..., None]


def prior(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(*BOUNDS[0], n)


@pytest.fixture(scope="module")
def distance() -> Callable[[np.ndarray], np.ndarray]:
    """Distances of maps; the attribute `reference` is what they are compared with.

    The estimator is a linear regression on the features.
    """
    rng = np.random.default_rng(0)
    theta = prior(2000, rng)
    training, validation = features(simulate(theta, rng)), features(simulate(prior(1000, rng), rng))
    coefficients = np.linalg.lstsq(np.c_[np.ones(len(training)), training], theta, rcond=None)[0]

    def with_estimates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x, np.clip(np.c_[np.ones(len(x)), x] @ coefficients, *BOUNDS[0])[:, None]

    reference = Reference.fit(with_estimates(training), with_estimates(validation), BOUNDS)

    def distance(maps: np.ndarray) -> np.ndarray:
        return reference.distance(*with_estimates(features(maps)))

    distance.reference = reference
    return distance


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    rng = np.random.default_rng(1)
    return simulate(prior(1000, rng), rng)


def test_false_alarms_are_as_rare_as_they_say(distance, fresh: np.ndarray) -> None:
    p = distance.reference.p_value(distance(fresh))
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.06)
    # ranked among 1000 validation maps, themselves a random draw
    assert kstest(p, "uniform").statistic < 0.06


@pytest.mark.parametrize(
    ("change", "most"),
    [({"noise": 1.5}, 0.9), ({"noise": 0.6}, 0.9), ({"slope": -3.0}, 0.9), ({"slope": -0.5}, 0.9)],
    ids=["more noise", "less noise", "steeper spectrum", "flatter spectrum"],
)
def test_maps_of_another_survey_are_surprising(distance, change: dict[str, float], most: float) -> None:
    rng = np.random.default_rng(2)
    p = distance.reference.p_value(distance(simulate(prior(200, rng), rng, **change)))
    assert np.mean(p < 0.05) > most


@pytest.mark.parametrize(
    "spoil",
    [
        lambda maps: np.where((np.indices((SIZE, SIZE)) < SIZE // 2).all(axis=0)[..., None], 0, maps),
        lambda maps: np.where(np.indices((SIZE, SIZE))[0][..., None] == 3, 30, maps),
        lambda maps: np.where(np.indices((SIZE, SIZE)).sum(axis=0)[..., None] == 40, maps + 5, maps),
        lambda maps: np.exp(maps) - np.exp(maps).mean(axis=(1, 2), keepdims=True),
        lambda maps: 2 * maps,
        np.zeros_like,
        lambda maps: np.full_like(maps, 7.0),
        lambda maps: 1e6 * np.cumsum(maps, axis=1),
    ],
    ids=["quarter masked", "hot row", "satellite trail", "lognormal", "scaled", "empty", "constant", "garbage"],
)
def test_spoilt_maps_are_surprising(distance, fresh: np.ndarray, spoil: Callable) -> None:
    p = distance.reference.p_value(distance(spoil(fresh[:100]).astype(np.float32)))
    assert np.mean(p < 0.05) > 0.9


def test_p_values_are_ranks_and_never_zero() -> None:
    reference = Reference(BOUNDS, np.zeros((1, 1)), np.zeros((1, 1)), np.eye(1), np.array([1.0, 2.0, 3.0, 4.0]))
    assert reference.p_value(np.array([0.5, 2.5, 9.0])) == pytest.approx([1.0, 0.6, 0.2])
    # a distance that cannot be told is no reassurance
    assert reference.p_value(np.array([np.inf, np.nan])) == pytest.approx([0.2, 0.2])


def test_survey_false_alarms_over_the_prior(distance) -> None:
    """Twenty patches each; their parameters are spread over the prior."""
    rng = np.random.default_rng(3)
    d = distance(simulate(prior(3000, rng), rng)).reshape(-1, 20)
    p = np.array([distance.reference.survey_p_value(one, draws=2000) for one in d])
    assert np.mean(p < 0.05) < 0.1
    assert kstest(p, "uniform").statistic < 0.15


def test_survey_false_alarms_of_one_cosmology(distance) -> None:
    rng = np.random.default_rng(4)
    d = distance(simulate(np.full(6000, 1.0), rng)).reshape(-1, 300)
    p = np.array([distance.reference.survey_p_value(one, draws=2000) for one in d])
    assert np.mean(p < 0.05) < 0.2


def test_many_patches_show_what_one_does_not(distance) -> None:
    """Noise 15 % too strong: few maps stand out, a hundred together do."""
    rng = np.random.default_rng(5)
    d = distance(simulate(prior(1000, rng), rng, noise=1.15))
    assert np.mean(distance.reference.p_value(d) < 0.05) < 0.5
    p = [distance.reference.survey_p_value(one, draws=2000) for one in d.reshape(-1, 100)]
    assert max(p) < 0.01


def test_survey_is_surprising_on_both_sides(distance) -> None:
    reference = distance.reference
    n = 50
    assert reference.survey_p_value(np.full(n, 0.2 * reference.distances.mean())) < 0.01
    assert reference.survey_p_value(np.full(n, 3 * reference.distances.mean())) < 0.01
    assert reference.survey_p_value(np.full(n, reference.distances.mean())) > 0.5
    assert reference.survey_p_value(reference.distances[::20]) == reference.survey_p_value(reference.distances[::20])


def test_features_of_one_map_do_not_depend_on_the_others(fresh: np.ndarray) -> None:
    assert features(fresh[:300])[290:] == pytest.approx(features(fresh[290:300]), abs=1e-5)

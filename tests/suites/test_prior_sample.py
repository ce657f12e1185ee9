"""The law that a sample of cosmologies has: designs, clouds and grids told apart, its density, weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, qmc

from cosmokeras.common.errors import UserError
from cosmokeras.suites.prior_sample import (
    LEAST_EFFECTIVE,
    density,
    must_be_enough,
    sentence,
    uniform_weights,
    uniformity,
)

REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or Path(__file__).parents[3] / "shared/real")
UNIT = np.array([[0.0, 1.0], [0.0, 1.0]])
BOX = np.array([[0.1, 0.5], [0.6, 1.0]])


def in_box(unit: np.ndarray, bounds: np.ndarray = BOX) -> np.ndarray:
    """Points of the unit box (n, p) in a box."""
    return bounds[:, 0] + np.ptp(bounds, axis=1) * unit


def cloud(n: int = 791, sigma: float = 0.25, seed: int = 0) -> np.ndarray:
    """Gaussian cloud about the middle of the box, parts of it outside."""
    return in_box(np.random.default_rng(seed).normal(0.5, sigma, (n, 2)))


def grid_of_101() -> np.ndarray:
    """Ten by ten values, closer about the fiducial cosmology, and that: a stand-in for a suite of 101 cosmologies."""
    values = norm.ppf((np.arange(10) + 0.5) / 10, 0.5, 0.2)
    grid = np.stack(np.meshgrid(values, values), axis=-1).reshape(-1, 2)
    return in_box(np.vstack([grid, [0.5, 0.5]]))


@pytest.mark.parametrize("n", [64, 512, 1024])
@pytest.mark.parametrize("make", [qmc.Sobol, qmc.LatinHypercube])
def test_designs_are_uniform_and_more_even_than_chance(make: Callable[..., qmc.QMCEngine], n: int) -> None:
    found = uniformity(in_box(make(2, rng=1).random(n)), BOX)
    assert found.uniform
    assert found.even
    assert found.count == n
    assert found.each.min() > 0.9


@pytest.mark.slow
def test_random_samples_are_uniform_and_as_even_as_chance() -> None:
    found = [uniformity(in_box(np.random.default_rng(seed).random((300, 2))), BOX) for seed in range(30)]
    assert sum(not one.uniform for one in found) <= 2
    assert sum(one.even for one in found) <= 2
    # p-values are uniform themselves
    assert 0.3 < np.mean([one.joint for one in found]) < 0.7
    assert np.mean([p for one in found for p in one.each]) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("sample", [cloud(), grid_of_101(), cloud(101, 0.2)])
def test_clouds_and_grids_about_a_fiducial_are_not_uniform(sample: np.ndarray) -> None:
    found = uniformity(sample, BOX)
    assert not found.uniform
    assert not found.even
    assert found.count + found.outside == len(sample)


def test_a_correlation_shows_jointly_alone() -> None:
    """Both parameters are uniform, and one follows from the other."""
    rng = np.random.default_rng(2)
    x = rng.random(400)
    found = uniformity(in_box(np.column_stack([x, (x + 0.1 * rng.random(400)) % 1])), BOX)
    assert found.each.min() > 0.01
    assert found.joint < 0.01
    assert not found.uniform


@pytest.mark.slow
def test_one_parameter_off_among_five_is_found() -> None:
    bounds = np.tile([0.0, 1.0], (5, 1))
    unit = qmc.LatinHypercube(5, rng=3).random(1000)
    assert uniformity(unit, bounds).even
    unit[:, 3] = unit[:, 3] ** 1.3
    found = uniformity(unit, bounds)
    assert not found.uniform
    assert np.argmin(found.each) == 3


def test_equal_rows_are_one_cosmology() -> None:
    once = cloud(200)
    many, few = uniformity(np.repeat(once, 5, axis=0), BOX), uniformity(once, BOX)
    assert many.count == few.count
    assert np.array_equal(many.each, few.each)
    assert (many.joint, many.joint_even) == (few.joint, few.joint_even)
    weights, single = uniform_weights(np.repeat(once, 5, axis=0), BOX), uniform_weights(once, BOX)
    assert weights.effective == pytest.approx(single.effective)
    assert weights.weights.reshape(200, 5) == pytest.approx(np.tile(single.weights[:, None], 5))
    # a cosmology that has twice the maps has half the weight in each
    uneven = uniform_weights(np.vstack([once, once[:1]]), BOX).weights
    assert uneven[0] == uneven[-1]
    assert uneven[0] / uneven[1] == pytest.approx(0.5 * single.weights[0] / single.weights[1])


FUNCTIONS: list[tuple[Callable[[np.ndarray], np.ndarray], float]] = [
    (lambda x: x[:, 0], 0.5),
    (lambda x: x[:, 0] ** 2, 1 / 3),
    (lambda x: x[:, 0] * x[:, 1], 0.25),
    (lambda x: np.cos(3 * x[:, 0]) * x[:, 1] ** 2, np.sin(3) / 9),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("function", "mean"), FUNCTIONS)
def test_weights_of_a_cloud_recover_means_under_the_uniform_law(
    function: Callable[[np.ndarray], np.ndarray], mean: float, seed: int
) -> None:
    theta = in_box(np.random.default_rng(seed).normal([0.4, 0.5], 0.25, (791, 2)))
    found = uniform_weights(theta, BOX)
    must_be_enough(found)
    values = function((theta - BOX[:, 0]) / np.ptp(BOX, axis=1))
    inside = found.weights > 0
    weighted = np.average(values, weights=found.weights)
    error = np.sqrt(np.average((values - weighted) ** 2, weights=found.weights) / found.effective)
    assert abs(weighted - mean) < 3.5 * error
    # without weights they are those of the cloud
    assert abs(values[inside].mean() - mean) > max(2 * error, 1.8 * abs(weighted - mean))


def test_weights_of_a_uniform_sample_do_nothing() -> None:
    found = uniform_weights(in_box(qmc.Sobol(2, rng=4).random(512)), BOX)
    assert found.weights == pytest.approx(1, abs=0.05)
    assert found.effective == pytest.approx(512, rel=0.01)
    assert found.covered == pytest.approx(1, abs=0.02)


def test_kish_and_what_is_outside() -> None:
    theta = cloud()
    found = uniform_weights(theta, BOX)
    outside = ((theta < BOX[:, 0]) | (theta > BOX[:, 1])).any(axis=1)
    assert np.array_equal(found.weights == 0, outside)
    assert found.weights.mean() == pytest.approx(1)
    assert found.effective == pytest.approx(found.weights.sum() ** 2 / np.sum(found.weights**2))
    assert 0.4 * 791 < found.effective < 0.8 * 791
    # cosmologies far from the middle are rarer, and weigh more
    distance = np.linalg.norm((theta - BOX.mean(axis=1)) / np.ptp(BOX, axis=1), axis=1)
    far = (distance > 0.45) & ~outside
    assert found.weights[far].mean() > 3 * found.weights[distance < 0.15].mean()


def test_a_box_that_is_half_empty_is_refused() -> None:
    """Weights within the full half are all alike, and their effective number says nothing."""
    unit = np.random.default_rng(5).random((500, 2)) * [0.5, 1]
    found = uniform_weights(in_box(unit), BOX)
    assert found.effective > 400
    assert found.covered == pytest.approx(0.5, abs=0.08)
    with pytest.raises(UserError, match=r"^files.prior=uniform: the cosmologies cover 5\d% of the box") as caught:
        must_be_enough(found)
    assert "\n" not in str(caught.value)
    must_be_enough(uniform_weights(in_box(unit), in_box(np.array([[0, 0.5], [0, 1]]).T).T))


def test_few_effective_cosmologies_are_refused() -> None:
    found = uniform_weights(cloud(40, 0.12), BOX)
    assert found.effective < LEAST_EFFECTIVE
    with pytest.raises(UserError, match=f"leave {found.effective:.0f} effective ones, fewer than 30"):
        must_be_enough(found)
    with pytest.raises(UserError, match="my.key: "):
        must_be_enough(replace(found, covered=1.0), "my.key", least=60)


@pytest.mark.slow
def test_weights_are_the_same_again() -> None:
    assert np.array_equal(uniform_weights(cloud(1500), BOX).weights, uniform_weights(cloud(1500), BOX).weights)


BAD = {
    "rising": (cloud(50), BOX[:, ::-1], "must rise"),
    "shape": (cloud(50)[:, 0], BOX, "shape"),
    "bounds": (cloud(50), BOX[:1], "bounds of shape"),
    "nan": (np.full((50, 2), np.nan), BOX, "NaN"),
    "outside": (cloud(50) + 9, BOX, "0 of 50 distinct cosmologies lie in the box"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [uniformity, uniform_weights])
def test_what_is_no_sample_is_refused(function: Callable[..., object], name: str) -> None:
    theta, bounds, words = BAD[name]
    with pytest.raises(UserError, match=words):
        function(theta, bounds)


def test_a_constant_has_no_weights() -> None:
    with pytest.raises(UserError, match="column 1 has one value"):
        uniform_weights(np.column_stack([cloud(50, 0.1)[:, 0], np.full(50, 0.8)]), BOX)


def test_the_density_of_a_cloud_is_its_gaussian() -> None:
    sample = np.random.default_rng(1).normal(0.5, 0.2, (4000, 2))
    asked = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 9)), axis=-1).reshape(-1, 2)
    truth = norm.logpdf(asked, 0.5, 0.2).sum(axis=1) - 2 * np.log(norm.cdf(2.5) - norm.cdf(-2.5))
    found = density(in_box(sample), BOX).log(in_box(asked))
    # a flat density would be off by 2.6 in the corners and 1.4 in the middle
    assert np.abs(found - truth).max() < 0.5
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.15


NAMES = ("omega_m", "S8")


def test_sentences_tell_the_three_apart() -> None:
    rng = np.random.default_rng(8)
    sobol = sentence(NAMES, BOX, uniformity(in_box(qmc.Sobol(2, rng=0).random(128)), BOX))
    assert "128 cosmologies in omega_m 0.1 to 0.5, S8 0.6 to 1: uniform, more even than chance (p = 0.001)" in sobol
    assert sobol.endswith("the prior is the box")
    chance = sentence(NAMES, BOX, uniformity(in_box(rng.random((128, 2))), BOX))
    assert ": uniform (jointly p = 0." in chance
    theta = cloud()
    tests = uniformity(theta, BOX)
    plain = sentence(NAMES, BOX, tests)
    assert f"{tests.count} cosmologies ({tests.outside} outside) in" in plain
    assert "not uniform (omega_m p = " in plain
    assert plain.endswith("the prior is this sample, not the box")
    weights = uniform_weights(theta, BOX)
    assert f"the prior is the box: {weights.effective:.0f} effective" in sentence(NAMES, BOX, tests, weights)
    assert "\n" not in sobol + chance + plain


LABEL, HYPERCUBE = REAL / "hsc_y3" / "label.npy", REAL / "quijote" / "latin_hypercube_params.txt"


@pytest.mark.skipif(not LABEL.exists(), reason=f"no labels of the FAIR-Universe challenge in {REAL}")
def test_the_cosmologies_of_the_fair_universe_challenge_are_not_uniform() -> None:
    """101 in Omega_m and S8, 256 skies of each, with the box of the challenge's own prior."""
    theta = np.load(LABEL)[..., :2].reshape(-1, 2)
    bounds = np.array([[0.06, 0.65], [0.662, 0.966]])
    found = uniformity(theta, bounds)
    assert (found.count, found.outside) == (101, 0)
    assert found.each[0] < 1e-5
    assert not found.uniform
    weights = uniform_weights(theta, bounds)
    assert len(weights.weights) == 101 * 256
    assert 50 < weights.effective < 80
    with pytest.raises(UserError, match="cover 7"):
        must_be_enough(weights)


@pytest.mark.skipif(not HYPERCUBE.exists(), reason=f"no Quijote parameters in {REAL}")
def test_the_latin_hypercube_of_quijote_is_more_even_than_chance() -> None:
    found = uniformity(np.loadtxt(HYPERCUBE), np.array([[0.1, 0.5], [0.03, 0.07], [0.5, 0.9], [0.8, 1.2], [0.6, 1.0]]))
    assert found.even
    assert found.count == 2000

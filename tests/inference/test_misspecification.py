"""p-values of maps and of surveys: right for maps like those of training, small for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import kstest

from cosmokeras.inference import shapes
from cosmokeras.inference.feature_model import TESTS
from cosmokeras.inference.measures import Measures, bands
from cosmokeras.inference.misspecification import MapReference, SurveyReference, Verdict, _smallest_p_value
from cosmokeras.inference.profile_fit import profile_fit
from cosmokeras.models.layers import band_edges
from study.null_distribution import BOUNDS, SIZE, simulate

PATCHES = 16


def prior(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(*BOUNDS[0], n)


@dataclass(frozen=True)
class Judge:
    """Measures of maps, a linear regression in place of a network, and both references."""

    measures: Measures
    coefficients: np.ndarray
    single: MapReference
    survey: SurveyReference

    @classmethod
    def trained(cls, rng: np.random.Generator, count: int = 4000) -> Judge:
        theta, held_out = prior(count, rng), prior(count // 2, rng)
        maps, others = simulate(theta, rng), simulate(held_out, rng)
        measures = Measures.fit(
            shapes.signal_weights(shapes.smoothed_channels(maps)), learned(maps), bands(maps.shape[1])
        )
        x, y = measures(maps, learned(maps)), measures(others, learned(others))
        coefficients = np.linalg.lstsq(np.c_[np.ones(len(x)), x], theta, rcond=None)[0]
        sizes = measures.sizes
        pairs = (x, estimates(x, coefficients)), (y, estimates(y, coefficients))
        single = MapReference.fit(*pairs, BOUNDS, sizes)
        survey = SurveyReference.fit((x, theta[:, None]), (y, held_out[:, None]), BOUNDS, sizes)
        return cls(measures, coefficients, single, survey)

    def features(self, maps: np.ndarray) -> np.ndarray:
        return self.measures(maps, learned(maps))

    def p(self, maps: np.ndarray) -> np.ndarray:
        x = self.features(maps)
        return self.single.judge(x, estimates(x, self.coefficients))[0]

    def tests(self, maps: np.ndarray) -> np.ndarray:
        x = self.features(maps)
        return self.single.judge(x, estimates(x, self.coefficients))[1]

    def surveys(self, maps: np.ndarray, patches: int = PATCHES) -> list[Verdict]:
        return [self.survey.judge(x) for x in self.features(maps).reshape(-1, patches, self.measures.sizes.sum())]


def learned(maps: np.ndarray) -> np.ndarray:
    """Two summaries, as a network might have them, one of which is always the same."""
    smooth = np.abs(maps[:, ::2, ::2] + maps[:, 1::2, ::2] + maps[:, ::2, 1::2] + maps[:, 1::2, 1::2])
    return np.stack([np.log(1e-6 + smooth.mean(axis=(1, 2, 3))), np.zeros(len(maps))], axis=1)


def estimates(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return np.clip(np.c_[np.ones(len(x)), x] @ coefficients, *BOUNDS[0])[:, None]


@pytest.mark.parametrize("tests", [1, 5])
def test_the_smallest_p_value_has_the_rank_that_it_would_have_in_the_null_distribution(tests: int) -> None:
    """A statistic like the 99 numbers of each test has p <= 0.05 in 5 % of cases, and none more often than it says."""
    rng = np.random.default_rng(5)
    p = np.concatenate(
        [_smallest_p_value(rng.normal(size=(99, tests)), rng.normal(size=(50, tests)))[0] for _ in range(400)]
    )
    for level in (0.05, 0.1):
        # 20,000 cases, of which 50 share a null distribution; the first ranks of five tests are one p-value, 0.05
        assert np.mean(p <= level) == pytest.approx(level, rel=0.12)
    for level in (0.01, 0.02):
        assert np.mean(p <= level) < 1.12 * level


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.trained(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    rng = np.random.default_rng(1)
    return simulate(prior(1000, rng), rng)


def test_false_alarms_are_as_rare_as_they_say(judge: Judge, fresh: np.ndarray) -> None:
    p = judge.p(fresh)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.06)
    for column in judge.tests(fresh).T:
        assert kstest(column, "uniform").statistic < 0.07


@pytest.mark.parametrize(
    ("change", "most"),
    [({"noise": 1.5}, 0.9), ({"noise": 0.6}, 0.9), ({"slope": -3.0}, 0.9), ({"slope": -0.3}, 0.9)],
    ids=["more noise", "less noise", "steeper spectrum", "flatter spectrum"],
)
def test_maps_of_another_survey_are_surprising(judge: Judge, change: dict[str, float], most: float) -> None:
    rng = np.random.default_rng(2)
    assert np.mean(judge.p(simulate(prior(200, rng), rng, **change)) < 0.05) > most


@pytest.mark.parametrize(
    "spoil",
    [
        lambda maps: np.where((np.indices((SIZE, SIZE)) < SIZE // 2).all(axis=0)[..., None], 0, maps),
        lambda maps: np.where(np.indices((SIZE, SIZE))[0][..., None] == 3, 30, maps),
        lambda maps: np.where(np.indices((SIZE, SIZE)).sum(axis=0)[..., None] == 40, maps + 8, maps),
        lambda maps: np.exp(maps) - np.exp(maps).mean(axis=(1, 2), keepdims=True),
        lambda maps: 2 * maps,
        np.zeros_like,
        lambda maps: np.full_like(maps, 7.0),
        lambda maps: 1e6 * np.cumsum(maps, axis=1),
    ],
    ids=["quarter masked", "hot row", "satellite trail", "lognormal", "scaled", "empty", "constant", "garbage"],
)
def test_spoilt_maps_are_surprising(judge: Judge, fresh: np.ndarray, spoil: Callable) -> None:
    assert np.mean(judge.p(spoil(fresh[:100]).astype(np.float32)) < 0.05) > 0.9


def test_p_values_are_ranks_and_never_zero(judge: Judge, fresh: np.ndarray) -> None:
    n = len(judge.single.null_statistics)
    p = judge.p(1e3 * fresh[:3])
    assert (p >= 1 / (1 + n)).all()
    assert (p <= len(TESTS) / n).all()
    # a feature that cannot be told is no reassurance
    x = judge.features(fresh[:2])
    x[0, 3] = np.nan
    p, _ = judge.single.judge(x, np.full((2, 1), 1.0))
    assert p[0] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("theta", "most"), [(0.5, 0.2), (0.75, 0.12), (1.0, 0.12), (1.5, 0.2)])
def test_survey_false_alarms_of_one_cosmology(judge: Judge, theta: float, most: float) -> None:
    """In the middle and at the edges of the prior, where the 2,000 validation maps are on one side only."""
    rng = np.random.default_rng(3)
    p = np.array([v.p for v in judge.surveys(simulate(np.full(100 * PATCHES, theta), rng))])
    assert np.mean(p < 0.05) < most
    assert np.mean(p < 0.01) < most / 2


@pytest.mark.slow
def test_surveys_from_the_prior_have_uniform_p_values(judge: Judge) -> None:
    rng = np.random.default_rng(9)
    p = np.array([v.p for v in judge.surveys(simulate(np.repeat(prior(300, rng), PATCHES), rng))])
    # 2,000 maps make 125 surveys that share none: 5 +- 2 % of them lie beyond the true 5 %
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.12)


def test_realisations_of_the_noise_are_more_maps(judge: Judge) -> None:
    """The same maps twice, as two realisations of their noise, have the same null distribution but for chance."""
    residuals = judge.survey.null_residuals
    twice = replace(judge.survey, null_residuals=np.concatenate([residuals, residuals]))
    one, other = (reference.null_distribution(4)[1] for reference in (judge.survey, twice))
    assert np.median(other, axis=0) == pytest.approx(np.median(one, axis=0), rel=0.1)
    # and a survey has no map twice
    for row in twice._neighbours(PATCHES, np.random.default_rng(1)):
        assert len(set(row)) == PATCHES


def test_profile_fit_finds_the_parameters_of_many_surveys(judge: Judge) -> None:
    rng = np.random.default_rng(10)
    theta = prior(40, rng)
    means = judge.features(simulate(np.repeat(theta, 200), rng)).reshape(40, 200, -1).mean(axis=1)
    found = profile_fit(judge.survey, means, 200, np.full((40, 1), 1.0))
    assert np.sqrt(np.mean((found[:, 0] - theta) ** 2)) < 0.02
    # each as if it were alone, and as good as a search along a line
    alone = profile_fit(judge.survey, means[:1], 200, np.full((1, 1), 1.0))
    assert alone[0] == pytest.approx(found[0], abs=1e-9)
    line = np.linspace(*BOUNDS[0], 4001)[:, None]
    error = judge.survey.error(line, 200)[:, None]
    for mean, best in zip(means[:5], found, strict=False):
        chi2 = np.sum((judge.survey.residuals(mean, line) / error) ** 2, axis=1)
        assert best[0] == pytest.approx(line[np.argmin(chi2), 0], abs=3e-4)
    assert profile_fit(judge.survey, 1e9 * means[:2], 200, np.full((2, 1), 1.0)).shape == (2, 1)


@pytest.mark.slow
def test_false_alarms_of_large_surveys(judge: Judge) -> None:
    """Where the reference, thousands of maps, is not much larger than the survey."""
    rng = np.random.default_rng(4)
    p = np.array([v.p for v in judge.surveys(simulate(np.full(40 * 200, 0.9), rng), 200)])
    assert np.mean(p < 0.05) < 0.2


@pytest.mark.parametrize(
    ("change", "test"),
    [({"noise": 1.15}, "spectra"), ({"slope": -2.0}, "spectra"), ({"skew": 0.0}, "asymmetry")],
    ids=["more noise", "steeper spectrum", "Gaussian"],
)
def test_sixteen_patches_show_what_one_does_not(judge: Judge, change: dict[str, float], test: str) -> None:
    rng = np.random.default_rng(5)
    maps = simulate(np.repeat(prior(50, rng), PATCHES), rng, **change)
    assert np.mean(judge.p(maps) < 0.05) < 0.85
    verdicts = judge.surveys(maps)
    assert np.mean([v.p < 0.01 for v in verdicts]) > 0.9
    assert np.mean([v.tests[test] < 0.01 for v in verdicts]) > 0.9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [12, 48, 300])
def test_few_training_maps_are_enough_for_an_answer(fresh: np.ndarray, count: int) -> None:
    few = Judge.trained(np.random.default_rng(8), count)
    assert (few.p(fresh[:200]) < 0.05).mean() < 0.3
    assert few.surveys(fresh[:PATCHES])[0].p > 0
    for maps in (100 * fresh[:PATCHES], np.zeros_like(fresh[:PATCHES])):
        assert 0 < few.surveys(maps)[0].p <= few.surveys(fresh[:PATCHES])[0].p


def test_patches_that_are_too_much_alike_are_surprising(judge: Judge, fresh: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    one = simulate(np.full(1, 1.0), rng)
    alike = np.repeat(one, PATCHES, axis=0) + 0.05 * rng.standard_normal((PATCHES, SIZE, SIZE, 1)).astype(np.float32)
    assert judge.surveys(alike)[0].p < 0.01
    mixed = np.concatenate([fresh[: PATCHES - 2], 3 * fresh[:2]])
    assert judge.surveys(mixed)[0].p < 0.01


def test_verdicts_name_what_is_off(judge: Judge) -> None:
    rng = np.random.default_rng(7)
    maps = simulate(np.full(PATCHES, 1.0), rng)
    wave = 0.5 * np.cos(2 * np.pi * 3 * np.arange(SIZE) / SIZE)  # at three times the fundamental
    names = [str(i) for i in range(judge.measures.sizes.sum())]
    (name, pull), *_ = judge.surveys(maps + wave.astype(np.float32)[:, None])[0].worst(names)
    where = int(name)
    assert where < judge.measures.sizes[0]
    edges = band_edges(SIZE, judge.measures.sizes[0])
    assert edges[where] <= 3 <= edges[where + 1]
    assert pull > 5


def test_verdicts_are_repeatable(judge: Judge, fresh: np.ndarray) -> None:
    one, other = judge.surveys(fresh[:PATCHES])[0], judge.surveys(fresh[:PATCHES])[0]
    assert one.p == other.p
    assert one.tests == other.tests


def test_features_of_one_map_do_not_depend_on_the_others(judge: Judge, fresh: np.ndarray) -> None:
    assert judge.features(fresh[:300])[290:] == pytest.approx(judge.features(fresh[290:300]), abs=1e-4)

"""Scores of the challenge and figures of merit, on posteriors and scores of maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.evaluation.challenge import (
    FALSE_POSITIVE_RATES,
    PENALTY,
    Estimates,
    challenge_metrics,
    figure_of_merit,
    phase1_score,
    phase2_score,
    words,
)

SIGMA = np.array([0.04, 0.03])
MANY = 200_000


def gaussian(n: int = MANY, correlation: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Means and truths (n, 2) whose differences have the errors SIGMA."""
    rng = np.random.default_rng(seed)
    covariance = np.outer(SIGMA, SIGMA) * np.array([[1, correlation], [correlation, 1]])
    truth = rng.uniform([0.1, 0.7], [0.6, 0.9], (n, 2))
    return truth + rng.multivariate_normal(np.zeros(2), covariance, n), truth


def test_phase_1_of_gaussian_posteriors_is_analytic() -> None:
    mean, truth = gaussian()
    expected = -np.sum(1 + 2 * np.log(SIGMA) + PENALTY * SIGMA**2)
    assert phase1_score(mean, np.tile(SIGMA, (MANY, 1)), truth) == pytest.approx(expected, abs=0.02)
    # errors claimed f times too large or too small: 1 / f^2 + 2 ln f in place of 1
    for f in (0.5, 2.0):
        off = expected - 2 * (f**-2 - 1 + 2 * np.log(f))
        assert phase1_score(mean, np.tile(f * SIGMA, (MANY, 1)), truth) == pytest.approx(off, abs=0.05)
        assert off < expected - 1.2


def test_phase_1_of_one_map_by_hand() -> None:
    found = phase1_score(np.array([[0.3, 0.8]]), np.array([[0.1, 0.2]]), np.array([[0.4, 0.7]]))
    assert found == pytest.approx(-(1 + 0.25 + np.log(0.01) + np.log(0.04) + 1000 * 0.02))


def test_phase_1_is_as_published_for_the_error_bars_of_the_starting_kit() -> None:
    """Its network had mean error bars of 0.0447 and 0.0318 and a score of 8.009; calibrated ones give nearly that."""
    bars = np.array([0.0447, 0.0318])
    assert -np.sum(1 + 2 * np.log(bars) + PENALTY * bars**2) == pytest.approx(8.1, abs=0.1)
    rng, std = np.random.default_rng(1), np.tile(bars, (MANY, 1))
    errors = std * rng.standard_normal((MANY, 2))
    assert phase1_score(errors, std, np.zeros((MANY, 2))) == pytest.approx(8.009, abs=0.15)


@pytest.mark.parametrize(
    ("mean", "std", "truth", "words"),
    [
        (np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)), "std=0"),
        (np.zeros((3, 2)), np.ones((3, 2)), np.zeros((2, 2)), "shapes"),
        (np.zeros((3, 2)), np.ones((3, 1)), np.zeros((3, 2)), "shapes"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), np.zeros((3, 2)), "mean"),
    ],
)
def test_phase_1_refuses(mean: np.ndarray, std: np.ndarray, truth: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        phase1_score(mean, std, truth)
    assert "\n" not in str(caught.value)


def test_phase_2_of_perfect_of_no_and_of_inverted_separation() -> None:
    rng = np.random.default_rng(0)
    ordinary = rng.standard_normal(20_000)
    assert phase2_score(ordinary, ordinary + 100) == 1
    assert phase2_score(ordinary, ordinary - 100) == 0
    assert phase2_score(ordinary, rng.standard_normal(20_000)) == pytest.approx(FALSE_POSITIVE_RATES.mean(), abs=0.002)
    # scores that tell nothing at all are crossed at once
    assert phase2_score(np.zeros(50), np.zeros(70)) == pytest.approx(FALSE_POSITIVE_RATES.mean(), rel=1e-12)


def test_phase_2_of_shifted_normal_scores_is_analytic() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(2)
    expected = np.mean(norm.sf(norm.isf(FALSE_POSITIVE_RATES) - 2))
    found = phase2_score(rng.standard_normal(100_000), 2 + rng.standard_normal(100_000))
    assert found == pytest.approx(expected, abs=0.01)


def test_phase_2_by_hand() -> None:
    """A threshold between the ordinary maps: half of the others are above all of them."""
    ordinary, other = np.arange(1000.0), np.array([2000.0, 2000.0, -1.0, -1.0])
    assert phase2_score(ordinary, other) == pytest.approx(0.5)
    # of ten ordinary maps one is 0.1 of the rate: rates below it lie on the line to the first step
    few = np.array([*np.zeros(9), 5.0])
    assert phase2_score(few, np.array([4.0, 4.0])) == pytest.approx(0.0, abs=1e-12)
    assert phase2_score(few, np.array([5.0])) == pytest.approx(np.mean(FALSE_POSITIVE_RATES / 0.1))


def test_phase_2_knows_the_order_of_scores_only() -> None:
    rng = np.random.default_rng(3)
    ordinary, other = rng.standard_normal(3000), 1 + rng.standard_normal(500)
    plain = phase2_score(ordinary, other)
    assert phase2_score(np.exp(ordinary), np.exp(other)) == plain
    assert phase2_score(ordinary, np.append(other, np.inf)) > plain


def test_phase_2_shows_a_score_that_was_turned_round() -> None:
    """A p-value passed as a score, small where maps are odd, is worse than none."""
    rng = np.random.default_rng(4)
    ordinary, other = rng.random(5000), rng.random(5000) ** 8
    assert phase2_score(ordinary, other) < 0.5 * FALSE_POSITIVE_RATES.mean()
    assert phase2_score(-ordinary, -other) > 20 * FALSE_POSITIVE_RATES.mean()


@pytest.mark.parametrize(
    ("ordinary", "other", "words"),
    [
        ([], [1.0], "ordinary"),
        ([1.0], [np.nan], "other: 1 of 1"),
        ([[1.0]], [1.0], "ordinary of shape"),
        (["a"], [1.0], "ordinary"),
    ],
)
def test_phase_2_refuses(ordinary: list, other: list, words: str) -> None:
    with pytest.raises(UserError, match=words):
        phase2_score(np.array(ordinary), np.array(other))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_figure_of_merit_of_gaussian_errors_is_analytic(correlation: float) -> None:
    mean, truth = gaussian(correlation=correlation)
    expected = 1 / (SIGMA.prod() * np.sqrt(1 - correlation**2))
    assert figure_of_merit(mean - truth) == pytest.approx(expected, rel=0.01)
    # a bias counts
    assert figure_of_merit(mean - truth + SIGMA * [1, -1]) < 0.8 * expected
    # half the errors, four times the figure
    assert figure_of_merit((mean - truth) / 2) == pytest.approx(4 * figure_of_merit(mean - truth))


@pytest.mark.parametrize("errors", [np.zeros((5, 2)), np.ones((5, 3)), np.ones((1, 2)), np.full((5, 2), np.nan)])
def test_figure_of_merit_refuses(errors: np.ndarray) -> None:
    with pytest.raises(UserError, match="errors"):
        figure_of_merit(errors)


WAYS = ("posterior", "likelihood", "network", "higher_order_likelihood", "higher_order_network")


def found(n: int = 4000, scale: dict[str, float] | None = None) -> tuple[dict[str, Estimates], np.ndarray, np.ndarray]:
    """Estimates of two parameters and S8, with calibrated Gaussian errors `scale` times (0.04, 0.05, 0.03)."""
    rng = np.random.default_rng(5)
    truth = rng.uniform([0.1, 0.6, 0.7], [0.5, 1.0, 0.9], (n, 3))
    sigma = np.array([0.04, 0.05, 0.03])
    scale = dict.fromkeys(WAYS, 1.0) | (scale or {})
    made = {
        way: Estimates(truth + f * sigma * rng.standard_normal((n, 3)), np.tile(f * sigma, (n, 1)))
        for way, f in scale.items()
    }
    return made, truth, np.repeat(np.arange(n // 4), 4)


NAMES = ("omega_m", "sigma8", "S8")


def test_metrics_of_two_targets_and_s8() -> None:
    estimates, truth, cosmology = found(scale={"likelihood": 2.0, "network": 1.5, "higher_order_network": 3.0})
    estimates["limit"] = Estimates(truth + 0.01 * np.random.default_rng(6).standard_normal(truth.shape))
    metrics = challenge_metrics(NAMES, estimates, truth, cosmology, 2)
    assert list(metrics["figure_of_merit"]) == ["omega_m_S8", "omega_m_sigma8"]
    pair = metrics["figure_of_merit"]["omega_m_S8"]
    assert pair["network"] == pytest.approx(1 / (0.04 * 0.03), rel=0.05)
    assert pair["baseline"] == pytest.approx(pair["network"] / 1.5**2, rel=0.07)  # the better of two
    assert pair["higher_order"] == pytest.approx(pair["network"], rel=0.07)
    assert pair["limit"] == pytest.approx(1e4, rel=0.05)
    assert pair["gain"] == pytest.approx(pair["network"] / pair["baseline"], rel=1e-5)
    # errors of independent maps: each figure is known to 1 / sqrt(n)
    assert pair["gain_std"] / pair["gain"] == pytest.approx(np.sqrt(2 / len(truth)), rel=0.25)
    score = metrics["fair_phase1"]
    assert score["network"] == pytest.approx(-np.sum(1 + 2 * np.log(SIGMA) + PENALTY * SIGMA**2), abs=0.1)
    assert score["baseline"] < score["network"] - 1
    assert score["higher_order"] == pytest.approx(score["network"], abs=0.2)
    first, _, last = words(metrics)
    assert first.startswith(f"omega_m_S8: figure of merit {pair['network']:.4g} (power spectrum {pair['baseline']:.4g}")
    assert f"phase-1 score {score['network']:.3f} (" in last
    assert words({"nll": 1.0}) == []


def test_metrics_where_scores_are_not_defined() -> None:
    estimates, truth, cosmology = found(40)
    one = {way: Estimates(e.mean[:, :1], e.std[:, :1]) for way, e in estimates.items()}
    assert challenge_metrics(("omega_m",), one, truth[:, :1], cosmology, 1) == {}
    other = challenge_metrics(("omega_m", "w0", "h"), estimates, truth, cosmology, 3)
    assert set(other) == {"figure_of_merit"}
    assert list(other["figure_of_merit"]) == ["omega_m_w0", "omega_m_h", "w0_h"]
    # S8 may be a target itself
    both = challenge_metrics(("S8", "omega_m", "w0"), estimates, truth, cosmology, 3)
    assert list(both["figure_of_merit"]) == ["omega_m_S8", "S8_w0", "omega_m_w0"]
    assert "fair_phase1" in both


def test_estimates_that_were_shuffled_lose_their_merit() -> None:
    estimates, truth, cosmology = found()
    order = np.random.default_rng(7).permutation(len(truth))
    broken = estimates | {"posterior": Estimates(estimates["posterior"].mean[order], estimates["posterior"].std)}
    right, wrong = (challenge_metrics(NAMES, e, truth, cosmology, 2) for e in (estimates, broken))
    assert wrong["figure_of_merit"]["omega_m_S8"]["network"] < 0.2 * right["figure_of_merit"]["omega_m_S8"]["network"]
    assert wrong["figure_of_merit"]["omega_m_S8"]["gain"] < 0.2
    assert wrong["fair_phase1"]["network"] < right["fair_phase1"]["network"] - 5


def test_a_network_without_errors_gets_a_number() -> None:
    estimates, truth, cosmology = found(8)
    sure = estimates | {"posterior": Estimates(estimates["posterior"].mean, np.zeros_like(truth))}
    metrics = challenge_metrics(NAMES, sure, truth, cosmology, 2)
    assert np.isfinite(metrics["fair_phase1"]["network"])
    assert metrics["fair_phase1"]["network"] < -1e6

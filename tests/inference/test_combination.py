"""Many patches of one sky: an estimator with a known bias and shrinkage still gives a posterior that covers."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.inference.combination import Response

ONE = np.array([[0.1, 0.5]])
TWO = np.array([[0.1, 0.5], [0.6, 1.0]])
NOISE = 0.06
SURVEYS = 400


def toy(theta: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Estimates (draws, n, 1): shrunk to the prior's middle, bent, shifted; their scatter grows with theta."""
    scatter = NOISE * (0.7 + theta)
    x = theta - 0.3 + scatter * rng.standard_normal((draws, *theta.shape))
    return 0.32 + 0.6 * x + 0.4 * x**2


def fitted(maps: int, draws: int, seed: int) -> Response:
    rng = np.random.default_rng(seed)
    theta = rng.uniform(*ONE.T, (maps, 1))
    return Response.fit(toy(theta, draws, rng), theta, ONE)


@pytest.fixture(scope="module")
def response() -> Response:
    return fitted(800, 8, 0)


GRID = np.linspace(0.1, 0.5, 2001)[:, None]


def on_grid(log_l: np.ndarray, truth: float) -> tuple[float, float]:
    """Distribution function at the truth, and standard deviation, of a posterior on GRID."""
    weight = np.exp(log_l - log_l.max())
    weight /= weight.sum()
    mean = weight @ GRID[:, 0]
    below = np.interp(truth, GRID[:, 0], np.cumsum(weight) - weight / 2)
    return below, np.sqrt(weight @ (GRID[:, 0] - mean) ** 2)


def covered(pit: list[float]) -> float:
    return float(np.mean(np.abs(np.array(pit) - 0.5) < 0.34))


def surveys(patches: int, seed: int) -> list[tuple[float, np.ndarray]]:
    """Truth and estimates (patches, 1) of many skies."""
    rng = np.random.default_rng(seed)
    truths = rng.uniform(0.1, 0.5, SURVEYS)
    return [(t, toy(np.full((patches, 1), t), 1, rng)[0]) for t in truths]


def test_combined_posteriors_cover_the_truth_and_shrink(response: Response) -> None:
    widths = []
    for patches in (4, 16, 64):
        found = [
            on_grid(response.log_likelihood(x.mean(axis=0), patches, GRID), t) for t, x in surveys(patches, patches)
        ]
        pit, std = zip(*found, strict=True)
        assert covered(pit) == pytest.approx(0.68, abs=0.08)
        widths.append(np.mean(std))
    # twice as narrow for four times the patches, where the prior's edges do not matter
    assert widths[1] < 0.6 * widths[0]
    assert widths[2] < 0.6 * widths[1]


def test_a_plain_product_of_the_same_posteriors_does_not_cover() -> None:
    """Posteriors N(x, NOISE) that are off by 0.3 of their width: hardly seen in one map, fatal in many."""
    rng = np.random.default_rng(1)

    def biased(theta: np.ndarray) -> np.ndarray:
        return theta + 0.3 * NOISE + NOISE * rng.standard_normal(theta.shape)

    theta = rng.uniform(*ONE.T, (800, 1))
    response = Response.fit(np.array([biased(theta) for _ in range(8)]), theta, ONE)
    product, combined = [], []
    for patches in (1, 16, 64):
        pits = []
        for truth in rng.uniform(0.1, 0.5, SURVEYS):
            x = biased(np.full((patches, 1), truth))
            of_product = -0.5 * np.sum((GRID - x.T) ** 2, axis=1) / NOISE**2
            of_mean = response.log_likelihood(x.mean(axis=0), patches, GRID)
            pits.append([on_grid(log_l, truth)[0] for log_l in (of_product, of_mean)])
        for part, pit in zip((product, combined), np.transpose(pits), strict=True):
            part.append(covered(pit))
    assert product[0] == pytest.approx(0.68, abs=0.08)
    assert product[1] < 0.5
    assert product[2] < 0.25
    assert combined == pytest.approx([0.68] * 3, abs=0.08)


@pytest.mark.parametrize("patches", [4, 64, 10_000])
def test_samples_are_those_of_the_likelihood(response: Response, patches: int) -> None:
    """Also when the posterior is a sliver of the prior box, or leans against its edge."""
    rng = np.random.default_rng(2)
    for truth in (0.1, 0.27):
        estimates = toy(np.full((patches, 1), truth), 1, rng)[0]
        samples = response.posterior(estimates, 4000, seed=0)
        assert samples.shape == (4000, 1)
        assert ((samples >= 0.1) & (samples <= 0.5)).all()
        log_l = response.log_likelihood(estimates.mean(axis=0), patches, GRID)
        _, std = on_grid(log_l, truth)
        weight = np.exp(log_l - log_l.max())
        mean = weight @ GRID[:, 0] / weight.sum()
        assert samples.mean() == pytest.approx(mean, abs=0.08 * std)
        assert samples.std() == pytest.approx(std, rel=0.06)
    assert (samples == response.posterior(estimates, 4000, seed=0)).all()
    assert (samples != response.posterior(estimates, 4000, seed=1)).any()


def test_few_validation_maps_are_allowed_for() -> None:
    """With many patches the error of the response itself is most of the error bar."""
    known, ignored, patches = [], [], 400
    for seed, (truth, x) in enumerate(surveys(patches, 5)):
        response = fitted(60, 1, 100 + seed)
        sure = Response(
            response.bounds, response.mean, response.log_scatter, response.correlation, 0 * response.covariance
        )
        for one, pit in ((response, known), (sure, ignored)):
            pit.append(on_grid(one.log_likelihood(x.mean(axis=0), patches, GRID), truth)[0])
    assert covered(known) == pytest.approx(0.68, abs=0.08)
    assert covered(ignored) < 0.5


@pytest.mark.slow
def test_two_parameters_one_of_them_seen_through_the_other() -> None:
    """Estimates of both, correlated: the joint posterior covers, marginally and along the degeneracy."""
    rng = np.random.default_rng(3)
    covariance = np.array([[0.06**2, -0.9 * 0.06 * 0.1], [-0.9 * 0.06 * 0.1, 0.1**2]])
    middle = TWO.mean(axis=1)

    def estimates(theta: np.ndarray, draws: int) -> np.ndarray:
        noise = rng.multivariate_normal([0, 0], covariance, (draws, len(theta)))
        return middle + (theta - middle + noise) @ np.array([[0.8, -0.2], [-0.1, 0.5]])

    theta = rng.uniform(*TWO.T, (800, 2))
    response = Response.fit(estimates(theta, 8), theta, TWO)
    assert response.correlation[0, 1] < -0.5
    ranks, widths = [], []
    for i in range(150):
        truth = rng.uniform(*TWO.T)
        samples = response.posterior(estimates(np.tile(truth, (16, 1)), 1)[0], 500, seed=i)
        drawn = np.column_stack([samples, samples @ [1.0, 0.6]])
        ranks.append(np.mean(drawn < np.append(truth, truth @ [1.0, 0.6]), axis=0))
        widths.append(samples.std(axis=0))
    for column in np.array(ranks).T:
        assert covered(column) == pytest.approx(0.68, abs=0.1)
    assert np.mean(widths, axis=0) == pytest.approx(np.sqrt(np.diag(covariance)) / 4, rel=0.2)

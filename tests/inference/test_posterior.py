"""Posteriors: what their methods say about one and the same distribution must agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from cosmokeras.inference.posterior import MixturePosterior, PointPosterior, prior_rmse
from cosmokeras.models.heads import from_normal, unpack_mixture

BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0]])
MAPS = 3
SAMPLES = 20_000


def mixture(d: int) -> MixturePosterior:
    """Three maps with three unequal components each: tilted, off centre, narrow or nearly as wide as the prior."""
    rng = np.random.default_rng(d)
    weights = rng.dirichlet([2.0, 2.0, 2.0], MAPS)
    factors = np.exp(rng.uniform(0.4, 1.2, (MAPS, 3, d)))[..., None] * np.eye(d)
    if d > 1:
        factors[..., 1, 0] = rng.uniform(-0.9, 0.3, (MAPS, 3))
    return MixturePosterior(np.log(weights), rng.normal(0, 0.8, (MAPS, 3, d)), factors, BOUNDS[:d])


def points(d: int) -> PointPosterior:
    """In the middle, near an edge, and outside the box."""
    unit = np.array([[0.5, 0.4], [0.05, 0.9], [-0.1, 1.2]])[:, :d]
    low, high = BOUNDS[:d].T
    return PointPosterior(low + (high - low) * unit, np.array([0.05, 0.08])[:d], BOUNDS[:d])


POSTERIORS = [mixture(1), mixture(2), points(1), points(2)]
NAMES = ["mixture-1", "mixture-2", "points-1", "points-2"]
every = pytest.mark.parametrize("posterior", POSTERIORS, ids=NAMES)


def tiled(posterior, i: int, count: int):
    """Map `i`, `count` times: to ask it at many places."""
    if isinstance(posterior, PointPosterior):
        return replace(posterior, points=np.repeat(posterior.points[i : i + 1], count, axis=0))
    parts = {name: np.repeat(getattr(posterior, name)[i : i + 1], count, axis=0) for name in ("log_weights", "means")}
    return replace(posterior, **parts, factors=np.repeat(posterior.factors[i : i + 1], count, axis=0))


def grid(d: int) -> tuple[np.ndarray, float]:
    """Cell centres of the box (nodes, d), and the volume of a cell."""
    count = {1: 20_000, 2: 500}[d]
    axes = [low + (high - low) * (np.arange(count) + 0.5) / count for low, high in BOUNDS[:d]]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    return nodes, float(np.prod((BOUNDS[:d, 1] - BOUNDS[:d, 0]) / count))


@every
def test_density_agrees_with_mean_std_and_cdf(posterior) -> None:
    d = len(posterior.bounds)
    nodes, cell = grid(d)
    middle = np.full((MAPS, d), BOUNDS[:d].mean(axis=1) + 0.03)
    for i in range(MAPS):
        mass = np.exp(tiled(posterior, i, len(nodes)).log_prob(nodes)) * cell
        assert mass.sum() == pytest.approx(1, abs=2e-3)
        mass /= mass.sum()
        mean = mass @ nodes
        if not isinstance(posterior, PointPosterior):
            assert posterior.mean()[i] == pytest.approx(mean, abs=2e-4)
        assert posterior.std()[i] == pytest.approx(np.sqrt(mass @ (nodes - mean) ** 2), rel=5e-3)
        below = [mass[nodes[:, j] < middle[i, j]].sum() for j in range(d)]
        assert posterior.cdf(middle)[i] == pytest.approx(below, abs=5e-3)


@every
def test_quantile_inverts_the_distribution_function(posterior) -> None:
    for q in (0.025, 0.16, 0.5, 0.84, 0.975):
        assert posterior.cdf(posterior.quantile(q)) == pytest.approx(np.full((MAPS, len(posterior.bounds)), q))


@every
def test_samples_follow_the_density(posterior) -> None:
    d = len(posterior.bounds)
    samples = posterior.sample(SAMPLES, seed=5)
    assert samples.shape == (MAPS, SAMPLES, d)
    assert (samples >= posterior.bounds[:, 0]).all()
    assert (samples <= posterior.bounds[:, 1]).all()
    assert samples.std(axis=1) == pytest.approx(posterior.std(), rel=0.03)
    nodes, cell = grid(d)
    for i in range(MAPS):
        ranks = tiled(posterior, i, SAMPLES).cdf(samples[i])
        assert all(kstest(column, "uniform").pvalue > 1e-3 for column in ranks.T)
        if d == 2:  # what marginals do not show
            mass = np.exp(tiled(posterior, i, len(nodes)).log_prob(nodes)) * cell
            expected = np.cov(nodes.T, aweights=mass)[0, 1] / posterior.std()[i].prod()
            assert np.corrcoef(samples[i].T)[0, 1] == pytest.approx(expected, abs=0.03)


@every
def test_samples_follow_their_seed(posterior) -> None:
    one, same, other = (posterior.sample(10, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("d", [1, 2])
def test_samples_are_those_of_numpy_s_random_numbers(d: int) -> None:
    """So that no backend has samples of its own: a component for each uniform number, then a solve."""
    posterior, rng = mixture(d), np.random.default_rng(4)
    uniform, normal = rng.random((MAPS, 50)), rng.standard_normal((MAPS, 50, d))
    samples = posterior.sample(50, seed=4)
    assert samples.dtype == np.float64
    for i, j in np.ndindex(MAPS, 50):
        k = np.searchsorted(np.cumsum(np.exp(posterior.log_weights[i]))[:-1], uniform[i, j])
        u = posterior.means[i, k] + np.linalg.solve(posterior.factors[i, k].T, normal[i, j])
        assert samples[i, j] == pytest.approx(from_normal(u, BOUNDS[:d]), abs=1e-6)


@every
def test_no_density_outside_the_box(posterior) -> None:
    outside = np.full((MAPS, len(posterior.bounds)), 0.3)
    outside[:, 0] = 0.51
    assert (posterior.log_prob(outside) == -np.inf).all()
    for edge, value in ((posterior.bounds[:, 0], 0.0), (posterior.bounds[:, 1], 1.0)):
        ends = np.repeat(edge[None], MAPS, axis=0)
        assert posterior.cdf(ends) == pytest.approx(np.full(ends.shape, value), abs=2e-5)


@pytest.mark.parametrize("d", [1, 2])
def test_a_silent_head_gives_the_prior_exactly(d: int) -> None:
    """All outputs 0: equal components, unit normal in u."""
    raw = np.zeros((2, 4 * (1 + d + d * (d + 1) // 2)), np.float32)
    posterior = MixturePosterior(*(np.asarray(part, float) for part in unpack_mixture(raw, d, 4)), BOUNDS[:d])
    low, high = BOUNDS[:d].T
    for q in (1e-4, 0.2, 0.5, 0.93):
        theta = np.repeat((low + (high - low) * q)[None], 2, axis=0)
        assert posterior.log_prob(theta) == pytest.approx(-np.log(high - low).sum(), abs=1e-6)
        assert posterior.cdf(theta) == pytest.approx(np.full((2, d), q), abs=1e-6)
        assert posterior.quantile(q) == pytest.approx(theta, abs=1e-6)
    assert posterior.mean() == pytest.approx(np.repeat(BOUNDS[:d].mean(axis=1)[None], 2, axis=0))
    assert posterior.std() == pytest.approx(np.repeat(prior_rmse(BOUNDS[:d])[None], 2, axis=0), rel=1e-4)


def test_points_answer_themselves_inside_the_box() -> None:
    posterior = points(2)
    assert posterior.mean()[0] == pytest.approx(posterior.points[0])
    assert posterior.mean()[2] == pytest.approx([0.1, 1.0])
    # well inside the box the cut changes nothing
    assert PointPosterior(np.array([[0.3]]), np.array([0.01]), BOUNDS[:1]).std()[0, 0] == pytest.approx(0.01)

"""The mixture density over the prior box against scipy and against its own integral."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from cosmokeras.models.heads import (
    CLIP,
    MixtureLoss,
    apply_head,
    from_normal,
    mixture_log_prob,
    mixture_size,
    to_normal,
    unpack_mixture,
)

RNG = np.random.default_rng(0)
BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0], [-1.5, -0.5]])


def raw_mixtures(n: int, dim: int, components: int) -> np.ndarray:
    return RNG.standard_normal((n, mixture_size(dim, components))).astype(np.float32)


def log_prob(raw: np.ndarray, u: np.ndarray, components: int) -> np.ndarray:
    return keras.ops.convert_to_numpy(mixture_log_prob(raw, u.astype(np.float32), components))


@pytest.mark.parametrize(("dim", "components"), [(1, 1), (1, 4), (2, 1), (2, 4), (3, 2)])
def test_mixture_density_is_that_of_scipy(dim: int, components: int) -> None:
    raw, u = raw_mixtures(20, dim, components), RNG.standard_normal((20, dim))
    out = log_prob(raw, u, components)
    assert out.shape == (20,)
    log_weights, means, factors = (
        keras.ops.convert_to_numpy(x).astype(float) for x in unpack_mixture(raw, dim, components)
    )
    assert logsumexp(log_weights, axis=-1) == pytest.approx(np.zeros(20), abs=1e-5)
    assert (np.triu(factors, 1) == 0).all()
    for i in range(20):
        terms = []
        for k in range(components):
            covariance = np.linalg.inv(factors[i, k] @ factors[i, k].T)
            terms.append(log_weights[i, k] + multivariate_normal(means[i, k], covariance).logpdf(u[i]))
        assert out[i] == pytest.approx(logsumexp(terms), rel=1e-4, abs=1e-4)


def test_density_over_the_prior_box_integrates_to_1_in_one_dimension() -> None:
    """p(theta) = q(u) / N(u; 0, 1) / (high - low)."""
    theta = np.linspace(0.1, 0.5, 20001)
    theta = (theta[1:] + theta[:-1]) / 2
    u = to_normal(theta[:, None], BOUNDS[:1])
    # a posterior as data makes them, in the middle of the box
    raw = np.array([[0.3, -0.2, 0.4, -0.6, 1.0, 0.7]], np.float32)
    density = np.exp(log_prob(np.repeat(raw, len(u), axis=0), u, 2) - norm.logpdf(u[:, 0])) / 0.4
    assert density.sum() * (theta[1] - theta[0]) == pytest.approx(1, abs=2e-3)
    assert density.max() > 1.5 / 0.4


def test_density_over_the_prior_box_integrates_to_1_in_two_dimensions() -> None:
    n = 300
    unit = (np.arange(n) + 0.5) / n
    low, high = BOUNDS[:2].T
    theta = low + (high - low) * np.stack(np.meshgrid(unit, unit, indexing="ij"), axis=-1).reshape(-1, 2)
    u = to_normal(theta, BOUNDS[:2])
    raw = np.array([[0.0, 0.5, -0.4, 0.3, 0.6, -0.2, 1.0, 1.2, 0.8, 0.9, 0.5, -0.7]], np.float32)
    density = np.exp(log_prob(np.repeat(raw, len(u), axis=0), u, 2) - norm.logpdf(u).sum(axis=1)) / 0.16
    assert density.sum() * 0.16 / n**2 == pytest.approx(1, abs=2e-3)


def test_no_information_is_the_uniform_prior() -> None:
    u = RNG.standard_normal((50, 2))
    nothing = np.zeros((50, mixture_size(2, 3)), np.float32)
    assert log_prob(nothing, u, 3) == pytest.approx(norm.logpdf(u).sum(axis=1), abs=1e-5)


def test_wild_outputs_give_finite_losses() -> None:
    raw = 1e4 * raw_mixtures(50, 2, 4)
    loss = keras.ops.convert_to_numpy(MixtureLoss(4)(RNG.standard_normal((50, 2)).astype(np.float32), raw))
    assert np.isfinite(loss)


def test_loss_is_the_mean_negative_log_density() -> None:
    raw, u = raw_mixtures(10, 2, 3), RNG.standard_normal((10, 2)).astype(np.float32)
    loss = MixtureLoss(3)
    assert float(loss(u, raw)) == pytest.approx(-log_prob(raw, u, 3).mean(), rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(again(u, raw)) == pytest.approx(float(loss(u, raw)))


def test_to_normal_and_back() -> None:
    low, high = BOUNDS.T
    theta = low + (high - low) * RNG.uniform(0.001, 0.999, (500, 3))
    u = to_normal(theta, BOUNDS)
    assert from_normal(u, BOUNDS) == pytest.approx(theta, rel=1e-9)
    # the middle of the box is 0, one sigma is where the normal has it
    assert to_normal((low + high)[None] / 2, BOUNDS) == pytest.approx(np.zeros((1, 3)), abs=1e-12)
    assert to_normal((low + (high - low) * norm.cdf(1.0))[None], BOUNDS) == pytest.approx(np.ones((1, 3)), rel=1e-9)


def test_edges_of_the_box_are_finite_and_inside() -> None:
    u = to_normal(BOUNDS.T, BOUNDS)
    assert np.isfinite(u).all()
    assert u[0] == pytest.approx(norm.ppf(CLIP))
    assert (from_normal(np.array([[-50.0] * 3, [50.0] * 3]), BOUNDS) == BOUNDS.T).all()


@pytest.mark.parametrize(("head", "dim", "units"), [("mse", 2, 2), ("posterior", 1, 12), ("posterior", 2, 24)])
def test_heads_have_their_size_in_single_precision(head: str, dim: int, units: int) -> None:
    inputs = keras.Input((7,))
    outputs = apply_head(inputs, head, dim, components=4)
    assert outputs.shape == (None, units)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_components_start_apart() -> None:
    inputs = keras.Input((7,))
    model = keras.Model(inputs, apply_head(inputs, "posterior", 1, components=4))
    _, means, _ = unpack_mixture(model(np.zeros((1, 7), np.float32)), 1, 4)
    assert len(np.unique(keras.ops.convert_to_numpy(means))) == 4

"""The mixture density over the prior box against scipy and against its own integral."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from cosmokeras.models.heads import (
    CLIP,
    MixtureHead,
    MixtureLoss,
    PointHead,
    from_normal,
    mixture_log_prob,
    mixture_sample,
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


@pytest.mark.parametrize(("head", "units"), [(PointHead(2), 2), (MixtureHead(1, 4), 12), (MixtureHead(2, 4), 24)])
def test_heads_have_their_size_in_single_precision(head: MixtureHead | PointHead, units: int) -> None:
    inputs = keras.Input((7,))
    outputs = head.apply(inputs)
    assert head.outputs == units
    assert outputs.shape == (None, units)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_points_are_encoded_and_decoded() -> None:
    theta = np.array([[0.1, 0.8, -0.5], [0.4, 1.0, -1.5]])
    encoded = PointHead(3).encode(theta, BOUNDS)
    assert encoded == pytest.approx(np.array([[-1, 0, 1], [0.5, 1, -1]]), abs=1e-6)
    assert PointHead(3).decode(encoded, BOUNDS).theta == pytest.approx(theta, abs=1e-6)


def test_components_start_apart() -> None:
    inputs = keras.Input((7,))
    model = keras.Model(inputs, MixtureHead(1, components=4).apply(inputs))
    _, means, _ = unpack_mixture(model(np.zeros((1, 7), np.float32)), 1, 4)
    assert len(np.unique(keras.ops.convert_to_numpy(means))) == 4


def numbers(raw: np.ndarray, dim: int, components: int) -> list[np.ndarray]:
    """Log weights, means and lower factors in double precision."""
    return [keras.ops.convert_to_numpy(x).astype(float) for x in unpack_mixture(raw, dim, components)]


@pytest.mark.parametrize(("dim", "components"), [(1, 1), (1, 4), (3, 2)])
def test_samples_are_made_of_the_numbers_given(dim: int, components: int) -> None:
    """Component by component, by a solve in double precision."""
    raw, rng = raw_mixtures(5, dim, components), np.random.default_rng(1)
    uniform, normal = rng.random((5, 40)), rng.standard_normal((5, 40, dim))
    found = keras.ops.convert_to_numpy(mixture_sample(raw, uniform, normal, components))
    log_weights, means, factors = numbers(raw, dim, components)
    which = [np.searchsorted(np.cumsum(np.exp(log_weights[i]))[:-1], uniform[i]) for i in range(5)]
    assert len(np.unique(which)) == components
    for i, j in np.ndindex(5, 40):
        k = which[i][j]
        wanted = means[i, k] + np.linalg.solve(factors[i, k].T, normal[i, j])
        assert found[i, j] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


DIMENSIONS = (1, 2)
COMPONENTS = 3
DRAWS = 100_000
ON_A_BACKEND = """
import sys
import keras
import numpy as np
from cosmokeras.models.heads import mixture_log_prob, mixture_sample

given, k, found = np.load(sys.argv[1]), int(sys.argv[3]), {"backend": keras.backend.backend()}
for d in sys.argv[4:]:
    raw, points, uniform, normal = (given[name + d] for name in ("raw", "points", "uniform", "normal"))
    samples = mixture_sample(raw, uniform, normal, k)
    densities = mixture_log_prob(np.repeat(raw[:1], len(points), axis=0), points, k)
    found |= {"samples" + d: keras.ops.convert_to_numpy(samples), "log_prob" + d: keras.ops.convert_to_numpy(densities)}
np.savez(sys.argv[2], **found)
"""


def lattice(dim: int) -> np.ndarray:
    """Points (n, d) that cover all that a mixture reaches."""
    axis = np.linspace(-8, 8, 321)
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim).astype(np.float32)


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    """Two mixtures of each dimension, points of the lattice, random numbers."""
    rng, out = np.random.default_rng(2), {}
    for d in DIMENSIONS:
        out[f"raw{d}"] = 0.5 * rng.standard_normal((2, mixture_size(d, COMPONENTS))).astype(np.float32)
        out[f"points{d}"] = lattice(d)
        out[f"uniform{d}"] = rng.random((2, DRAWS)).astype(np.float32)
        out[f"normal{d}"] = rng.standard_normal((2, DRAWS, d)).astype(np.float32)
    return out


@pytest.fixture(scope="module")
def found_on(given: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict]:
    """`found_on(backend)`: samples and log densities of `given`, by a process of its own."""
    folder, known = tmp_path_factory.mktemp("backends"), {}
    np.savez(folder / "given.npz", **given)

    def find(backend: str) -> dict[str, np.ndarray]:
        if backend not in known:
            if find_spec(backend) is None:
                pytest.skip(f"{backend} is not installed")
            paths = [str(folder / "given.npz"), str(folder / f"{backend}.npz")]
            command = [sys.executable, "-c", ON_A_BACKEND, *paths, str(COMPONENTS), *map(str, DIMENSIONS)]
            subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})
            known[backend] = dict(np.load(Path(paths[1])))
            assert known[backend]["backend"] == backend
        return known[backend]

    return find


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_every_backend_has_the_right_distribution(
    backend: str, d: int, given: dict[str, np.ndarray], found_on: Callable[[str], dict]
) -> None:
    found = found_on(backend)
    log_weights, means, factors = numbers(given[f"raw{d}"], d, COMPONENTS)
    weights, covariances = np.exp(log_weights), np.linalg.inv(factors @ np.swapaxes(factors, -1, -2))
    samples, points, log_density = found[f"samples{d}"], given[f"points{d}"], found[f"log_prob{d}"]
    for i in range(2):
        mean = weights[i] @ means[i]
        covariance = np.einsum("k,kab->ab", weights[i], covariances[i])
        covariance += np.einsum("k,ka,kb->ab", weights[i], means[i] - mean, means[i] - mean)
        scale = np.sqrt(np.diag(covariance))
        assert np.abs(samples[i].mean(axis=0) - mean).max() < 5 * scale.max() / np.sqrt(DRAWS)
        left = (np.atleast_2d(np.cov(samples[i].T)) - covariance) / np.outer(scale, scale)
        assert np.abs(left).max() < 10 / np.sqrt(DRAWS)  # fourth moments of a mixture: a few times those of a normal
    assert np.exp(log_density).sum() * 0.05**d == pytest.approx(1, abs=1e-4)
    peaks = [multivariate_normal(means[0, k], covariances[0, k]).logpdf(points) for k in range(COMPONENTS)]
    near = log_density > -20
    wanted = logsumexp(log_weights[0][:, None] + np.array(peaks).reshape(COMPONENTS, -1), axis=0)
    assert np.abs(log_density[near] - wanted[near]).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend: str, found_on: Callable[[str], dict]) -> None:
    here, there = found_on("tensorflow"), found_on(backend)
    for d in DIMENSIONS:
        assert np.abs(there[f"samples{d}"] - here[f"samples{d}"]).max() < 1e-5
        assert np.allclose(there[f"log_prob{d}"], here[f"log_prob{d}"], rtol=1e-5, atol=1e-5)

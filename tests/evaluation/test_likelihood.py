"""Analyses of spectra, on features whose posterior is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_t

from cosmokeras.evaluation.baselines import calibrated
from cosmokeras.evaluation.challenge import Estimates
from cosmokeras.evaluation.likelihood import GaussianLikelihood, compression
from cosmokeras.evaluation.summary_network import network_means, network_moments
from cosmokeras.inference import regression
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior

FEATURES = 6
NOISE = 0.15  # of features that tell the log of a product


def response(d: int) -> np.ndarray:
    """Features per unit of the parameters, (d, FEATURES)."""
    return np.random.default_rng(10 + d).normal(0, 1, (d, FEATURES)) * 4


def covariance() -> np.ndarray:
    """Of the features' noise: correlated, unequal."""
    sigma = np.array([0.6, 0.8, 1.0, 1.2, 1.4, 1.6])
    return 0.6 ** np.abs(np.subtract.outer(np.arange(FEATURES), np.arange(FEATURES))) * np.outer(sigma, sigma)


def draw(cfg: Config, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, f) that are linear in theta with Gaussian noise, and theta (n, p)."""
    theta = sample_prior(cfg, n, seed)
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(FEATURES), covariance(), n)
    return 5 + theta @ response(theta.shape[1]) + noise, theta


def exact_means(cfg: Config, features: np.ndarray) -> np.ndarray:
    """Posterior means by summing over a grid."""
    return exact_moments(cfg, features)[0]


def exact_moments(cfg: Config, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations by summing over a grid."""
    count = {1: 2000, 2: 150}[len(cfg.bounds)]
    axes = [low + (high - low) * (np.arange(count) + 0.5) / count for low, high in cfg.bounds]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    inverse = np.linalg.inv(covariance())
    model = 5 + grid @ response(len(axes))
    log_l = features @ inverse @ model.T - 0.5 * np.einsum("gi,ij,gj->g", model, inverse, model)
    weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return weight @ grid, np.sqrt(weight @ grid**2 - (weight @ grid) ** 2)


def rms(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(x**2, axis=0))


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def cfg(request, config: Callable[..., Config], tiny) -> Config:
    return config({**tiny, "prior.omega_m": [0.1, 0.5], **({"prior.h": [0.5, 0.9]} if request.param == 2 else {})})


def test_likelihood_finds_the_analytic_posterior(cfg: Config) -> None:
    likelihood = GaussianLikelihood.fit(*draw(cfg, 8000, 0), cfg.bounds)
    features, theta = draw(cfg, 500, 1)
    exact = exact_means(cfg, features)
    best = rms(exact - theta)
    found = likelihood.posterior_mean(cfg, features)
    assert found.shape == theta.shape
    # the data must say something, and the fit loses little of it
    assert best[0] < 0.9 * 0.1155
    assert (rms(found - exact) < 0.15 * best).all()
    assert rms(found - theta) == pytest.approx(best, rel=0.03)


def test_standard_deviations_are_those_of_the_analytic_posterior(cfg: Config) -> None:
    likelihood = GaussianLikelihood.fit(*draw(cfg, 8000, 0), cfg.bounds)
    features, theta = draw(cfg, 500, 1)
    mean, std = likelihood.posterior_moments(cfg, features)
    assert np.array_equal(mean, likelihood.posterior_mean(cfg, features))
    exact = exact_moments(cfg, features)[1]
    assert std / exact == pytest.approx(1, abs=0.35)
    assert np.mean(std / exact, axis=0) == pytest.approx(1, abs=0.03)
    assert rms((mean - theta) / std) == pytest.approx(1, abs=0.1)
    # features of less noise than the analysis believes leave widths that are too large
    calm = 5 + theta @ response(theta.shape[1])
    assert (
        rms((likelihood.posterior_mean(cfg, calm) - theta) / likelihood.posterior_moments(cfg, calm)[1]) < 0.8
    ).all()


def test_no_posterior_is_narrower_than_prior_samples_lie_apart(cfg: Config) -> None:
    _, theta = draw(cfg, 2000, 0)
    sharp = GaussianLikelihood.fit(1e4 * theta, theta, cfg.bounds)
    std = sharp.posterior_moments(cfg, 1e4 * theta[:5])[1]
    spacing = {1: 0.4 / 400, 2: 0.4 / 64}[len(cfg.bounds)] / np.sqrt(12)
    assert std == pytest.approx(spacing, rel=0.05)


def product(theta: np.ndarray) -> np.ndarray:
    """A number derived from two parameters, (n, 1)."""
    return theta[:, :1] * theta[:, 1:]


def draw_product(cfg: Config, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that tell the product of two parameters and neither of them, and the parameters."""
    theta = sample_prior(cfg, n, seed)
    return np.log(product(theta)) + NOISE * np.random.default_rng(seed).standard_normal((n, 4)), theta


@pytest.fixture(scope="module")
def pair(config: Callable[..., Config], tiny) -> Config:
    return config({**tiny, "prior.omega_m": [0.1, 0.5], "prior.h": [0.5, 0.9]})


def exact_products(cfg: Config, features: np.ndarray) -> np.ndarray:
    """Posterior means of the product, by summing over a grid, (n, 1)."""
    axes = [low + (high - low) * (np.arange(150) + 0.5) / 150 for low, high in cfg.bounds]
    grid = product(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2))
    # all that the features say is in their mean
    left = features.mean(axis=1, keepdims=True) - np.log(grid).T
    log_l = -0.5 * left**2 * features.shape[1] / NOISE**2
    weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
    return weight @ grid / weight.sum(axis=1, keepdims=True)


def test_the_prior_may_be_another_than_the_box(cfg: Config) -> None:
    """A Gaussian prior, exact: the same as one more feature, which measured the parameters at its centre."""
    features, theta = draw(cfg, 8000, 0)
    centre, width = cfg.bounds.mean(axis=1), 0.1 * np.ptp(cfg.bounds, axis=1)

    def log_prior(nodes: np.ndarray) -> np.ndarray:
        return -0.5 * np.sum(((nodes - centre) / width) ** 2, axis=1)

    plain = GaussianLikelihood.fit(features, theta, cfg.bounds)
    found = GaussianLikelihood.fit(features, theta, cfg.bounds, log_prior=log_prior)
    some = draw(cfg, 300, 1)[0]
    nodes = sample_prior(cfg, 20000, 5)
    log_p = plain.log_likelihood(some, nodes) + log_prior(nodes)
    weight = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    exact = weight @ nodes / weight.sum(axis=1, keepdims=True)
    mean, std = found.posterior_moments(cfg, some)
    assert (rms(mean - exact) < 0.05 * width).all()
    assert (rms(plain.posterior_mean(cfg, some) - exact) > 0.1 * width).all()
    assert (std < 1.02 * width).all()


@pytest.mark.slow
def test_derived_numbers_have_posterior_means_of_their_own(pair: Config) -> None:
    """The product of the means is a worse estimate of the product, and a biased one."""
    likelihood = GaussianLikelihood.fit(*draw_product(pair, 8000, 0), pair.bounds)
    features, theta = draw_product(pair, 1000, 1)
    exact, truth = exact_products(pair, features), product(theta)
    found = likelihood.posterior_mean(pair, features, product)
    assert found.shape == (1000, 1)
    best = rms(exact - truth)
    assert rms(found - exact) < 0.15 * best
    assert rms(found - truth) == pytest.approx(best, rel=0.01)
    of_means = product(likelihood.posterior_mean(pair, features))
    assert rms(of_means - truth) > 1.02 * best
    assert rms(of_means - exact) > 5 * rms(found - exact)


@pytest.mark.slow
def test_network_learns_derived_numbers(pair: Config) -> None:
    features, theta = draw_product(pair, 1000, 1)
    (known, known_theta), (held_out, held_out_theta) = draw_product(pair, 4000, 0), draw_product(pair, 500, 2)
    bounds = product(pair.bounds.T).T
    sets = (known, product(known_theta)), (held_out, product(held_out_theta))
    mean, std = network_moments(pair, *sets, np.vstack([features, held_out]), bounds)
    found = mean[:1000]
    best = rms(exact_products(pair, features) - product(theta))
    assert mean.shape == std.shape == (1500, 1)
    # dropout makes its errors too large, and held-out features tell by how much
    raw, known = Estimates(found, std[:1000]), Estimates(mean[1000:], std[1000:])
    right = calibrated(raw, known, product(held_out_theta))
    assert rms((found - product(theta)) / raw.std) < 0.85
    assert rms((found - product(theta)) / right.std) == pytest.approx(1, abs=0.1)
    assert np.array_equal(right.mean, found)
    assert rms(found - product(theta)) == pytest.approx(best, rel=0.1)


def test_log_likelihood_is_that_of_a_normal_distribution(cfg: Config) -> None:
    """Differences between parameter values, which are all that matters."""
    likelihood = GaussianLikelihood.fit(*draw(cfg, 8000, 0), cfg.bounds)
    features, _ = draw(cfg, 20, 1)
    nodes = sample_prior(cfg, 16, 2)
    left = features[:, None] - 5 - nodes @ response(nodes.shape[1])
    exact = -0.5 * np.einsum("nmi,ij,nmj->nm", left, np.linalg.inv(covariance()), left)
    found = likelihood.log_likelihood(features, nodes)
    found, exact = found - found[:, :1], exact - exact[:, :1]
    assert np.std(found - exact) < 0.1 * np.std(exact)


def test_noise_that_grows_with_the_parameter_is_followed(config: Callable[..., Config], tiny) -> None:
    """Features of zero mean, whose variance alone tells the parameter, as spectra of maps do."""
    cfg = config({**tiny, "prior.omega_m": [0.1, 0.5]})
    theta = sample_prior(cfg, 8000, 0)
    sigma = np.exp(2 * theta)
    features = sigma * np.random.default_rng(0).standard_normal((len(theta), 3))
    likelihood = GaussianLikelihood.fit(features, theta, cfg.bounds)
    fitted = regression.sigma(theta[:200], cfg.bounds, likelihood.log_variance)
    assert fitted == pytest.approx(np.repeat(sigma[:200], 3, axis=1), rel=0.08)


@pytest.mark.slow
def test_network_is_as_good_as_the_analytic_posterior(pair: Config) -> None:
    """It answers what it is asked for; the other parameter is marginalised."""
    features, theta = draw(pair, 1000, 1)
    exact = exact_means(pair, features)[:, 1:]
    training, validation = ((x, y[:, 1:]) for x, y in (draw(pair, 4000, 0), draw(pair, 500, 2)))
    found = network_means(pair, training, validation, features, pair.bounds[1:])
    assert found.shape == (1000, 1)
    best = rms(exact - theta[:, 1:])
    assert best < 0.9 * 0.1155
    assert rms(found - exact) < 0.25 * best
    assert rms(found - theta[:, 1:]) == pytest.approx(best, rel=0.04)


FEW, MANY = 20, 40  # features and maps


def coverages(known: int, draws: int = 1, freedom: float | None = None) -> float:
    """Part of central intervals of 95 % that hold the truth; covariances are from `known` maps, `draws` times each."""
    bounds, nodes = np.array([[0.1, 0.5]]), np.linspace(0.1, 0.5, 801)[:, None]
    scatter = 0.6 ** np.abs(np.subtract.outer(np.arange(FEW), np.arange(FEW)))
    rng, hits = np.random.default_rng(3), []

    def simulate(n: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        theta = rng.uniform(low, high, (n, 1))
        return 15 * theta * np.cos(np.arange(FEW)) + rng.multivariate_normal(np.zeros(FEW), scatter, n), theta

    for _ in range(20):
        features, theta = simulate(known, 0.1, 0.5)
        tiled = (np.tile(features, (draws, 1)), np.tile(theta, (draws, 1)))
        likelihood = GaussianLikelihood.fit(*tiled, bounds, known)
        likelihood = likelihood if freedom is None else replace(likelihood, freedom=freedom)
        unknown, truth = simulate(100, 0.15, 0.45)
        log_l = likelihood.log_likelihood(unknown, nodes)
        below = np.cumsum(np.exp(log_l - log_l.max(axis=1, keepdims=True)), axis=1)
        pit = [np.interp(t, nodes[:, 0], row / row[-1]) for t, row in zip(truth[:, 0], below, strict=True)]
        hits.append(np.abs(np.array(pit) - 0.5) < 0.475)
    return float(np.mean(hits))


@pytest.mark.slow
def test_covariance_of_few_maps_does_not_promise_too_much() -> None:
    """A Gaussian that takes the covariance of twice as many maps as features for the true one does."""
    assert coverages(MANY) == pytest.approx(0.95, abs=0.05)
    assert coverages(MANY, freedom=1e12) < 0.87
    # with many maps there is nothing to correct
    assert coverages(2000, freedom=1e12) == pytest.approx(coverages(2000), abs=0.005)


def test_copies_of_a_map_are_no_new_maps() -> None:
    assert coverages(MANY, draws=8) == pytest.approx(coverages(MANY), abs=0.01)


def test_likelihood_is_the_t_distribution_of_its_covariance(cfg: Config) -> None:
    """As scipy has it: a scale matrix S (n - 1) / (n - f) and n - f degrees of freedom are those of the n maps' t."""
    likelihood = GaussianLikelihood.fit(*draw(cfg, 60, 0), cfg.bounds)
    features, _ = draw(cfg, 30, 1)
    nodes = sample_prior(cfg, 8, 2)
    n = likelihood.freedom + 1
    assert n == 60 - len(likelihood.mean) + 1
    found, means = likelihood.log_likelihood(features, nodes), likelihood._mean_and_sigma(nodes)
    correlation = np.linalg.inv(likelihood.whiten.T @ likelihood.whiten)
    exact = [
        multivariate_t(mean, np.outer(s, s) * correlation * (n - 1) / (n - FEATURES), n - FEATURES).logpdf(features)
        for mean, s in zip(*means, strict=True)
    ]
    exact = np.array(exact).T
    assert found - found[:, :1] == pytest.approx(exact - exact[:, :1], abs=1e-6)


@pytest.mark.slow
def test_compressed_features_say_what_all_of_them_say(cfg: Config) -> None:
    """Means that are linear in the parameters lose nothing; many features that say nothing are left out."""
    (known, theta), (unknown, truth) = draw(cfg, 4000, 0), draw(cfg, 1000, 1)
    rng = np.random.default_rng(5)
    mixed, also = (np.hstack([x, rng.standard_normal((len(x), 100))]) for x in (known, unknown))
    few = compression(mixed, theta, len(mixed))
    assert few(also).shape == truth.shape
    found = GaussianLikelihood.fit(few(mixed), theta, cfg.bounds).posterior_mean(cfg, few(also))
    best = rms(exact_means(cfg, unknown) - truth)
    assert rms(found - truth) == pytest.approx(best, rel=0.04)


def test_compression_of_few_maps_is_finite(cfg: Config) -> None:
    known, theta = draw(cfg, 4, 0)
    few = compression(known, theta, 4)(draw(cfg, 10, 1)[0])
    assert np.isfinite(few).all()
    # no more than the training set spans, however few its maps
    assert np.abs(few).max() < 1

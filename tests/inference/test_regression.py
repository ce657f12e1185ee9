"""Smooth means and scatters over the prior box."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from cosmokeras.inference.regression import degree_for, fit, mean_variance, polynomial, sigma, terms


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1, 2, 4])
def test_polynomial_has_each_monomial_once(dimensions: int, degree: int) -> None:
    bounds = np.array([[1.0, 3.0]] * dimensions)
    theta = np.random.default_rng(0).uniform(1, 3, (200, dimensions))
    unit, design = theta - 2, polynomial(theta, bounds, degree)
    terms = comb(dimensions + degree, degree)
    assert design.shape == (200, terms)
    assert np.linalg.matrix_rank(design) == terms
    wanted = (1 + unit.sum(axis=1)) ** degree + unit[:, 0] ** degree
    coefficients = np.linalg.lstsq(design, wanted, rcond=None)[0]
    assert design @ coefficients == pytest.approx(wanted, abs=1e-9)


def test_mean_and_scatter_are_found() -> None:
    """Two numbers whose mean is a parabola and whose scatter grows; residuals come out with unit variance."""
    bounds, rng = np.array([[0.1, 0.5]]), np.random.default_rng(1)
    theta = rng.uniform(0.1, 0.5, (20000, 1))
    true_mean, true_sigma = np.hstack([theta**2, 1 - theta]), np.exp(3 * theta) * [1.0, 0.1]
    values = true_mean + true_sigma * rng.standard_normal((20000, 2))
    mean, log_variance, standard = fit(values, theta, bounds, 2)
    nodes = np.linspace(0.1, 0.5, 5)[:, None]
    found = polynomial(nodes, bounds, 2) @ mean
    error = 6 * np.exp(3 * nodes) * [1.0, 0.1] / np.sqrt(len(theta))
    assert (np.abs(found - np.hstack([nodes**2, 1 - nodes])) < error).all()
    assert sigma(nodes, bounds, log_variance) == pytest.approx(np.exp(3 * nodes) * [1.0, 0.1], rel=0.08)
    assert standard.var(axis=0) == pytest.approx(1.0)
    # a mean that does not bend leaves the parabola in the residuals
    flat = fit(values[:, :1] * 0 + theta**2, theta, bounds, 1)
    assert np.abs(theta**2 - polynomial(theta, bounds, 1) @ flat[0]).max() > 0.01


@pytest.mark.parametrize(("parameters", "degree"), [(1, 8), (2, 5), (3, 4), (5, 2)])
def test_terms_are_columns_of_the_design(parameters: int, degree: int) -> None:
    box = np.tile([0.0, 1.0], (parameters, 1))
    design = polynomial(np.full((3, parameters), 0.2), box, degree)
    assert design.shape[1] == terms(parameters, degree)
    # with exactly as many maps as are asked for, and with one fewer
    assert degree_for(8 * terms(parameters, degree), parameters, degree, 8) == degree
    assert degree_for(8 * terms(parameters, degree) - 1, parameters, degree, 8) == degree - 1
    assert degree_for(1, parameters, degree, 8) == 1


def test_variance_of_the_mean_is_that_of_its_coefficients() -> None:
    rng = np.random.default_rng(0)
    design, factor = rng.standard_normal((5, 3)), rng.standard_normal((3, 3))
    coefficients = rng.standard_normal((100_000, 3)) @ factor.T
    assert mean_variance(design, factor @ factor.T) == pytest.approx(np.var(coefficients @ design.T, axis=0), rel=0.03)

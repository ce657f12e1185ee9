"""Regression of statistics on the parameters: polynomials over the prior box for the mean and for the log variance.

The variance is that of multiplicative heteroscedasticity: least squares of the log of squared residuals (Harvey 1976,
Econometrica 44, 461).
"""

from __future__ import annotations

from itertools import count
from math import comb

import numpy as np

SCATTER_DEGREE = 2  # of the log variance


def polynomial(theta: np.ndarray, bounds: np.ndarray, degree: int) -> np.ndarray:
    """Design matrix (n, terms): all monomials up to total `degree` of theta (n, p), with the box scaled to -1..1."""
    low, high = bounds.T
    unit = 2 * (theta - low) / (high - low) - 1
    columns = [np.ones(len(unit))]
    frontier = [(columns[0], 0)]
    for _ in range(degree):
        frontier = [(value * unit[:, j], j) for value, first in frontier for j in range(first, unit.shape[1])]
        columns += [value for value, _ in frontier]
    return np.array(columns).T


def terms(parameters: int, degree: int) -> int:
    """Number of coefficients of a polynomial of total `degree` in so many parameters."""
    return comb(parameters + degree, degree)


def degree_of(coefficients: int, parameters: int) -> int:
    """Degree of a polynomial in so many parameters, from the number of its coefficients."""
    return next(degree for degree in count() if terms(parameters, degree) >= coefficients)


def degree_for(maps: int, parameters: int, degree: int, maps_per_term: int) -> int:
    """`degree`, or the largest one below it, but 1 at least, with so many maps for each coefficient."""
    while degree > 1 and maps_per_term * terms(parameters, degree) > maps:
        degree -= 1
    return degree


def mean_variance(design: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Variance (n,) of the fitted mean at the points of a design matrix, from the covariance of its coefficients."""
    return np.einsum("ni,ij,nj->n", design, covariance, design)


def fit(
    values: np.ndarray, theta: np.ndarray, bounds: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares for the mean of values (n, f) at theta (n, p), and for the log of the squared residuals.

    Returns
    -------
    mean : (terms, f) coefficients of `polynomial(theta, bounds, degree)`
    log_variance : (terms, f) coefficients of `polynomial(theta, bounds, SCATTER_DEGREE)`
    standard : (n, f) residuals in units of the scatter, of unit variance
    """
    design, wide = polynomial(theta, bounds, degree), polynomial(theta, bounds, SCATTER_DEGREE)
    mean = np.linalg.lstsq(design, values, rcond=None)[0]
    residual = values - design @ mean
    log_variance = np.linalg.lstsq(wide, np.log(residual**2 + 1e-30), rcond=None)[0]
    standard = residual * np.exp(-0.5 * wide @ log_variance)
    # the mean log of a squared normal is below the log of its mean: set the scale from the residuals themselves
    scale = np.maximum(np.mean(standard**2, axis=0), 1e-300)  # there may be no scatter at all
    log_variance[0] += np.log(scale)
    return mean, log_variance, standard / np.sqrt(scale)


def sigma(theta: np.ndarray, bounds: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """Scatter (n, f) at theta (n, p)."""
    return np.exp(0.5 * polynomial(theta, bounds, SCATTER_DEGREE) @ log_variance)


def shrunk(correlation: np.ndarray, maps: int) -> np.ndarray:
    """Correlation matrix (f, f) of a number of maps, shrunk to the identity: its inverse is noisy, or does not exist.

    Linear shrinkage as in Ledoit & Wolf 2004, J. Multivariate Anal. 88, 365, but of intensity f / maps.
    """
    shrink = min(1.0, len(correlation) / maps)
    return (1 - shrink) * correlation + shrink * np.eye(len(correlation))

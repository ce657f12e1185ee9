"""Simulation-based likelihood of summary statistics, spectra or others: the analysis that networks are compared with.

Mean and covariance are smooth functions of the parameters, fitted to the training maps; the covariance's own error is
marginalised over (Sellentin & Heavens 2016, MNRAS 456, L132, arXiv:1511.05969).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosmokeras.inference import regression
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior

LogPrior = Callable[[np.ndarray], np.ndarray]
# Prior samples on which the likelihood is evaluated, by number of free parameters, else MANY_NODES: with 16 times as
# many, means change by less than 1 % of the posterior's standard deviation (`python -m study.posterior_nodes`).
NODES = {1: 400}
MANY_NODES = 4096
DEGREE = {1: 4, 2: 4, 3: 3}  # of the polynomials of the mean, by number of parameters; beyond, 2
BLOCK = 512  # what is held at once stays in the cache


@dataclass(frozen=True)
class GaussianLikelihood:
    """p(statistics | theta) = N(mean(theta), D(theta) R D(theta)) with a constant correlation matrix R.

    The covariance is an estimate from a number of maps, over whose errors the likelihood is marginalised: a
    multivariate t-distribution (Sellentin & Heavens 2016, MNRAS 456, L132, arXiv:1511.05969), which the factor
    of Hartlap, Simon & Schneider 2007 (A&A 464, 399, astro-ph/0608064) approximates. `freedom`, maps less the terms of
    the mean, is n - 1 there, where the mean has one term.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_variance: np.ndarray
    whiten: np.ndarray
    freedom: float = 1e12  # degrees of freedom: the Gaussian limit
    log_prior: LogPrior | None = None  # log density in the box, up to a constant; None: uniform

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        theta: np.ndarray,
        bounds: np.ndarray,
        maps: int | None = None,
        log_prior: LogPrior | None = None,
    ) -> GaussianLikelihood:
        """Smooth mean and scatter by least squares, and the correlation of the residuals.

        Parameters
        ----------
        features : (n, f) at theta (n, p)
        maps : how many of them are independent, where several are noise realisations of one map; all n unless given
        log_prior : of the posterior, (nodes,) at theta (nodes, p), up to a constant; uniform in `bounds` unless given
        """
        maps = maps or len(features)
        mean, log_variance, standard = regression.fit(features, theta, bounds, cls._degree(theta.shape[1]))
        freedom = max(1, maps - len(mean))
        log_variance[0] += np.log(maps / freedom)  # unbiased: the mean's own terms are degrees of freedom
        correlation = regression.shrunk(np.atleast_2d(np.corrcoef(standard.T)), maps)
        whiten = np.linalg.inv(np.linalg.cholesky(correlation))
        return cls(
            bounds=bounds, mean=mean, log_variance=log_variance, whiten=whiten, freedom=freedom, log_prior=log_prior
        )

    @staticmethod
    def _degree(p: int) -> int:
        return DEGREE.get(p, 2)

    def _mean_and_sigma(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = regression.polynomial(theta, self.bounds, self._degree(theta.shape[1])) @ self.mean
        return mean, regression.sigma(theta, self.bounds, self.log_variance)

    def log_likelihood(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(n, nodes) for features (n, f) at parameter values theta (nodes, p)."""
        n, f = features.shape
        out, block = np.empty((n, len(theta))), max(1, BLOCK // f)  # one matrix product for many nodes
        for j in range(0, len(theta), block):
            mean, sigma = self._mean_and_sigma(theta[j : j + block])
            scaled = self.whiten / sigma[:, None]  # (nodes, f, f)
            z = features.astype(float) @ scaled.reshape(-1, f).T
            z -= (scaled @ mean[..., None]).ravel()
            chi2 = np.sum(np.square(z, out=z).reshape(n, -1, f), axis=-1)
            log_det = -np.log(sigma).sum(axis=1)
            out[:, j : j + block] = log_det - 0.5 * (self.freedom + 1) * np.log1p(chi2 / self.freedom)
        return out

    def posterior_mean(
        self, cfg: Config, features: np.ndarray, derived: Callable[[np.ndarray], np.ndarray] = lambda theta: theta
    ) -> np.ndarray:
        """Posterior means (n, q) of numbers `derived` (nodes, q) from the free parameters (nodes, p).

        By self-normalised importance sampling from the box.
        """
        return self.posterior_moments(cfg, features, derived)[0]

    def posterior_moments(
        self, cfg: Config, features: np.ndarray, derived: Callable[[np.ndarray], np.ndarray] = lambda theta: theta
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means and standard deviations, both (n, q); see `posterior_mean`.

        No standard deviation is below that of a uniform distribution as wide as the distance of two prior samples,
        which is as far as they resolve a posterior.
        """
        p = len(self.bounds)
        theta = sample_prior(cfg, NODES.get(p, MANY_NODES), seed=0)
        values, means, squares = derived(theta), [], []
        prior = 0.0 if self.log_prior is None else self.log_prior(theta)
        centre = values.mean(axis=0)  # of the squares, which would cancel to no digits about 0
        for start in range(0, len(features), BLOCK):
            log_l = self.log_likelihood(features[start : start + BLOCK], theta) + prior
            weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
            total = weight.sum(axis=1, keepdims=True)
            means.append(weight @ values / total)
            squares.append(weight @ (values - centre) ** 2 / total)
        mean = np.concatenate(means)
        variance = np.concatenate(squares) - (mean - centre) ** 2
        resolution = np.ptp(values, axis=0) / np.sqrt(12) / len(theta) ** (1 / p)
        return mean, np.sqrt(np.maximum(variance, resolution**2))


def compression(features: np.ndarray, theta: np.ndarray, maps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Linear compression of features (n, f) to one number for each parameter, its linear regression on them (n, p).

    Statistics of few modes are not normally distributed, but such sums of them are, nearly. Regression of the
    parameters takes the place of the derivatives in Heavens, Jimenez & Lahav 2000 (MOPED, MNRAS 317, 965,
    astro-ph/9911102), which need a fiducial cosmology. `maps` is that of `GaussianLikelihood.fit`.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
    unit = (features - mean) / deviation
    correlation, response = unit.T @ unit / len(unit), unit.T @ (theta - theta.mean(axis=0)) / len(unit)
    weights = np.linalg.solve(regression.shrunk(correlation, maps), response)
    return lambda observed: (observed - mean) / deviation @ weights

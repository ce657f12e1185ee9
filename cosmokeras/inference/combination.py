"""One posterior from many patches of one sky.

Multiplying the posteriors of patches multiplies their small errors too. Instead the mean of the network's estimates
over all patches is taken as one statistic, and what it is at given parameters (mean, scatter, and how well either is
known) is measured on validation maps: with many patches it is normally distributed, whatever the network does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.stats import qmc

from cosmokeras.inference import regression

MOST = (8, 7, 5, 3, 2)  # largest degree of the mean for 1, 2, 3, ... parameters


@dataclass(frozen=True)
class Response:
    """How estimates respond to the parameters: t ~ N(mean(theta), scatter(theta) / patches + uncertainty(theta)).

    `bounds` (p, 2) of all free parameters; `mean` (terms, d); `log_scatter` (terms2, d) of single maps' estimates;
    `correlation` (d, d); `covariance` (terms, terms) of the mean's coefficients in units of the scatter.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_scatter: np.ndarray
    correlation: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(cls, estimates: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> Response:
        """From estimates (draws, n, d) of validation maps with free parameters theta (n, p)."""
        draws, count = estimates.shape[:2]
        degree = _best_degree(estimates.mean(axis=0), theta, bounds)
        tiled = np.tile(theta, (draws, 1))
        mean, log_scatter, standard = regression.fit(estimates.reshape(draws * count, -1), tiled, bounds, degree)
        correlation = np.atleast_2d(np.corrcoef(standard.T))
        # errors of the coefficients, from the residuals of maps averaged over noise (maps are independent, draws not)
        design = regression.polynomial(theta, bounds, degree)
        left = standard.reshape(estimates.shape).mean(axis=0)
        inverse = np.linalg.pinv(design.T @ design)
        freedom = max(1, len(design) - design.shape[1])
        return cls(bounds, mean, log_scatter, correlation, inverse * float(np.sum(left**2) / freedom / left.shape[1]))

    @property
    def degree(self) -> int:
        """Of the polynomial of the mean, from the number of its terms."""
        return next(d for d in itertools.count() if comb(len(self.bounds) + d, d) >= len(self.mean))

    def log_likelihood(self, statistic: np.ndarray, patches: int, theta: np.ndarray) -> np.ndarray:
        """Log likelihood (m,) of the mean estimate (d,) of `patches` maps at theta (m, p)."""
        design = regression.polynomial(theta, self.bounds, self.degree)
        sigma = regression.sigma(theta, self.bounds, self.log_scatter)
        known = np.einsum("mi,ij,mj->m", design, self.covariance, design)
        sigma = sigma * np.sqrt(1 / patches + known)[:, None]
        z = (statistic - design @ self.mean) / sigma
        chi2 = np.einsum("mi,ij,mj->m", z, np.linalg.inv(self.correlation), z)
        return -0.5 * chi2 - np.log(sigma).sum(axis=1)

    def posterior(self, estimates: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Samples (n, p) of the free parameters given the estimates (patches, d) of the patches of one sky.

        Importance sampling from the prior box, which is narrowed three times around the bulk of the weight.
        """
        statistic, box = estimates.mean(axis=0), self.bounds.astype(float)
        rng = np.random.default_rng(seed)
        for _ in range(4):
            sampler = qmc.Sobol(len(box), rng=rng)
            theta = box[:, 0] + (box[:, 1] - box[:, 0]) * sampler.random_base2(14)
            log_l = self.log_likelihood(statistic, len(estimates), theta)
            weight = np.exp(log_l - log_l.max())
            weight /= weight.sum()
            chosen = theta[rng.choice(len(theta), n, p=weight)]
            heavy = theta[weight > 1e-8 * weight.max()]
            margin = 2 * (box[:, 1] - box[:, 0]) / len(theta) ** (1 / len(box))
            low = np.maximum(heavy.min(axis=0) - margin, self.bounds[:, 0])
            high = np.minimum(heavy.max(axis=0) + margin, self.bounds[:, 1])
            box = np.stack([low, high], axis=1)
        return chosen


def _best_degree(estimates: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> int:
    """Degree of the mean of estimates (n, d) at theta (n, p) with the smallest error of prediction.

    By generalised cross-validation (Craven & Wahba 1979, Numer. Math. 31, 377). With many patches the error of the mean
    is what counts: a polynomial that is too stiff shifts posteriors of large skies, one that is too free widens them.
    """
    most = MOST[min(theta.shape[1], len(MOST)) - 1]
    while most > 1 and comb(theta.shape[1] + most, most) > len(theta) / 10:
        most -= 1
    log_variance = regression.fit(estimates, theta, bounds, most)[1]
    weight = 1 / regression.sigma(theta, bounds, log_variance)
    scores = []
    for degree in range(1, most + 1):
        design = regression.polynomial(theta, bounds, degree)
        error = 0.0
        for one, each in zip(estimates.T, weight.T, strict=True):
            part = design * each[:, None]
            left = one * each - part @ np.linalg.lstsq(part, one * each, rcond=None)[0]
            error += float(np.mean(left**2))
        scores.append(error / (1 - design.shape[1] / len(theta)) ** 2)
    return int(np.argmin(scores)) + 1

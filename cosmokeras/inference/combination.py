"""One posterior from many patches of one sky, by a Gaussian synthetic likelihood of their mean estimate.

Multiplying the posteriors of patches multiplies their small errors too. Instead the mean of the network's estimates
over all patches is the one summary statistic. It is normally distributed with many patches, whatever the network does,
and its mean and covariance as functions of the parameters are fitted to simulations, the validation maps (synthetic
likelihood: Wood 2010, Nature 466, 1102). The error of the fitted mean is part of the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from cosmokeras.inference import regression

MAX_DEGREE = (8, 7, 5, 3, 2)  # tried for 1, 2, 3, ... parameters by cross-validation: 9, 36, 56, 35, 21 coefficients
MAPS_PER_TERM = 10  # validation maps for each coefficient, at least
SOBOL = 14  # 2^14 importance samples in each round
ROUNDS = 4  # of importance sampling, each in the box of the last one's weight; the first in the prior box
NEGLIGIBLE = 1e-8  # weight beside the largest, outside of which a round ends: 6 sigma of a Gaussian, exp(-6.07^2 / 2)


@dataclass(frozen=True)
class Response:
    """Distribution of the mean estimate t of patches: N(mean(theta), D(theta) R D(theta) (1 / patches + e(theta))).

    `bounds` (p, 2) of all free parameters; `mean` (terms, d) and `log_scatter` (terms2, d) are coefficients of
    `regression` for estimates of single maps: their mean, and ln D^2; `correlation` (d, d) is R; `covariance`
    (terms, terms) is that of the mean's coefficients in units of the scatter, from which e(theta) follows.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_scatter: np.ndarray
    correlation: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(cls, estimates: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> Response:
        """From estimates (noise realisations, n, d) of validation maps with free parameters theta (n, p)."""
        realisations, count = estimates.shape[:2]
        degree = _best_degree(estimates.mean(axis=0), theta, bounds)
        tiled = np.tile(theta, (realisations, 1))
        mean, log_scatter, standard = regression.fit(estimates.reshape(realisations * count, -1), tiled, bounds, degree)
        correlation = np.atleast_2d(np.corrcoef(standard.T))
        # errors of the coefficients from residuals averaged over the noise of a map: maps are independent of each other
        design = regression.polynomial(theta, bounds, degree)
        residuals = standard.reshape(estimates.shape).mean(axis=0)
        inverse = np.linalg.pinv(design.T @ design)
        freedom = max(1, len(design) - design.shape[1])
        return cls(
            bounds=bounds,
            mean=mean,
            log_scatter=log_scatter,
            correlation=correlation,
            covariance=inverse * float(np.sum(residuals**2) / freedom / residuals.shape[1]),
        )

    @property
    def degree(self) -> int:
        """Of the polynomial of the mean, from the number of its terms."""
        return regression.degree_of(len(self.mean), len(self.bounds))

    def expected(self, theta: np.ndarray) -> np.ndarray:
        """Mean estimates (m, d) of maps at theta (m, p)."""
        return regression.polynomial(theta, self.bounds, self.degree) @ self.mean

    def log_likelihood(self, statistic: np.ndarray, patches: int, theta: np.ndarray) -> np.ndarray:
        """Log likelihood (m,) of the mean estimate (d,) of `patches` maps at theta (m, p)."""
        design = regression.polynomial(theta, self.bounds, self.degree)
        sigma = regression.sigma(theta, self.bounds, self.log_scatter)
        sigma = sigma * np.sqrt(1 / patches + regression.mean_variance(design, self.covariance))[:, None]
        z = (statistic - design @ self.mean) / sigma
        chi2 = np.einsum("mi,ij,mj->m", z, np.linalg.inv(self.correlation), z)
        return -0.5 * chi2 - np.log(sigma).sum(axis=1)

    def posterior(self, estimates: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Samples (n, p) of the free parameters given the estimates (patches, d) of the patches of one sky.

        Importance sampling with Sobol points in the prior box, which is narrowed three times around the weight.
        """
        statistic, box = estimates.mean(axis=0), self.bounds.astype(float)
        rng = np.random.default_rng(seed)
        for _ in range(ROUNDS):
            sampler = qmc.Sobol(len(box), rng=rng)
            theta = box[:, 0] + (box[:, 1] - box[:, 0]) * sampler.random_base2(SOBOL)
            log_l = self.log_likelihood(statistic, len(estimates), theta)
            weight = np.exp(log_l - log_l.max())
            weight /= weight.sum()
            chosen = theta[rng.choice(len(theta), n, p=weight)]
            heavy = theta[weight > NEGLIGIBLE * weight.max()]
            margin = 2 * (box[:, 1] - box[:, 0]) / len(theta) ** (1 / len(box))
            low = np.maximum(heavy.min(axis=0) - margin, self.bounds[:, 0])
            high = np.minimum(heavy.max(axis=0) + margin, self.bounds[:, 1])
            box = np.stack([low, high], axis=1)
        return chosen


def _best_degree(estimates: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> int:
    """Degree of the polynomial of the mean of estimates (n, d) at theta (n, p) with the smallest prediction error.

    By generalised cross-validation (Craven & Wahba 1979, Numer. Math. 31, 377). With many patches the error of the mean
    is what counts: a polynomial that is too stiff shifts posteriors of large skies, one that is too free widens them.
    """
    largest = MAX_DEGREE[min(theta.shape[1], len(MAX_DEGREE)) - 1]
    largest = regression.degree_for(len(theta), theta.shape[1], largest, MAPS_PER_TERM)
    log_variance = regression.fit(estimates, theta, bounds, largest)[1]
    weight = 1 / regression.sigma(theta, bounds, log_variance)
    scores = []
    for degree in range(1, largest + 1):
        design = regression.polynomial(theta, bounds, degree)
        error = 0.0
        for one, each in zip(estimates.T, weight.T, strict=True):
            weighted = design * each[:, None]
            residuals = one * each - weighted @ np.linalg.lstsq(weighted, one * each, rcond=None)[0]
            error += float(np.mean(residuals**2))
        scores.append(error / (1 - design.shape[1] / len(theta)) ** 2)
    return int(np.argmin(scores)) + 1

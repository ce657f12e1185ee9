"""Posteriors of many maps at once, inside a prior box: mixtures from the posterior head, Gaussians from the point head.

Both have `mean`, `std`, `sample`, `log_prob`, `cdf` and `quantile`; marginals are exact, not sampled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.special import logsumexp, ndtr
from scipy.stats import truncnorm

from cosmokeras.common import arguments
from cosmokeras.models.heads import LOG_TWO_PI, draw_mixture, from_normal, to_normal
from cosmokeras.params.description import Described, Rows

BISECTIONS = 40  # an error of 2^-40 of the width of the box, 1e-12
SHOWN = 4  # maps by their numbers at a prompt, at most
QUADRATURE = 40  # nodes of Gauss-Hermite quadrature
BLOCK = 1024  # maps whose nodes are in memory together


class _Posterior(Described):
    """What follows from the marginal cumulative distribution function (CDF)."""

    bounds: np.ndarray

    def _rows(self) -> Rows:
        mean, std = self.mean(), self.std()
        rows = {"maps": str(len(self))}
        for i, (low, high) in enumerate(self.bounds):
            each = [f"{m:.4g} +- {s:.2g}" for m, s in zip(mean[:SHOWN, i], std[:SHOWN, i], strict=True)]
            more = f" and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
            rows[f"target {i + 1}, in [{low:g}, {high:g}]"] = ", ".join(each) + more
        return rows

    def __len__(self) -> int:
        raise NotImplementedError

    def mean(self) -> np.ndarray:
        raise NotImplementedError

    def std(self) -> np.ndarray:
        raise NotImplementedError

    def cdf(self, theta: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _each(self, theta: np.ndarray) -> np.ndarray:
        """One finite row of theta for each map, in the box or not."""
        names = [f"target {i + 1}" for i in range(len(self.bounds))]
        return arguments.on_edges(arguments.rows("theta", theta, names, len(self)), self.bounds)

    def quantile(self, q: float) -> np.ndarray:
        """Marginal quantiles, (n, d), by bisection of the CDF; `q` from 0 to 1."""
        q = arguments.number("q", q, 0.0, 1.0)
        low, high = (np.repeat(edge[None], len(self), axis=0) for edge in self.bounds.T)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2


@dataclass(frozen=True, repr=False)
class MixturePosterior(_Posterior):
    """Gaussian mixtures in u = Phi^-1 of the unit-box parameters (see `cosmokeras.models.heads`).

    `log_weights` (n, K), `means` (n, K, d), `factors` (n, K, d, d): lower L with precision L L^T; `bounds` (d, 2).
    """

    log_weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.means)

    @property
    def _sigmas(self) -> np.ndarray:
        """Marginal standard deviations of each component, (n, K, d)."""
        inverse = np.linalg.inv(self.factors)
        return np.sqrt(np.sum(inverse**2, axis=-2))

    def stretched(self, factors: np.ndarray) -> MixturePosterior:
        """The mixture with each target's u (d,) scaled about its mean by a factor, in the same box."""
        weights = np.exp(self.log_weights)[..., None]
        centre = np.sum(weights * self.means, axis=1, keepdims=True)
        means = centre + factors * (self.means - centre)
        return replace(self, means=means, factors=self.factors / factors[:, None])

    def members(self, count: int) -> list[MixturePosterior]:
        """The posteriors of the members of an ensemble, whose components follow one another."""
        parts = zip(
            *(np.split(one, count, axis=1) for one in (self.log_weights, self.means, self.factors)), strict=True
        )
        return [
            replace(self, log_weights=w - logsumexp(w, axis=1, keepdims=True), means=m, factors=f) for w, m, f in parts
        ]

    def mean(self) -> np.ndarray:
        """Posterior means, (n, d): E[Phi(u)] = Phi(m / sqrt(1 + s^2)) for u ~ N(m, s^2)."""
        unit = ndtr(self.means / np.sqrt(1 + self._sigmas**2))
        return self._scaled(np.sum(np.exp(self.log_weights)[..., None] * unit, axis=1))

    def std(self) -> np.ndarray:
        """Posterior standard deviations, (n, d), by Gauss-Hermite quadrature over each component."""
        sigmas = self._sigmas
        parts = [self._unit_std(sigmas, slice(start, start + BLOCK)) for start in range(0, len(self), BLOCK)]
        return np.concatenate(parts or [np.empty((0, len(self.bounds)))]) * (self.bounds[:, 1] - self.bounds[:, 0])

    def _unit_std(self, sigmas: np.ndarray, maps: slice) -> np.ndarray:
        nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE)
        unit = ndtr(self.means[maps, ..., None] + sigmas[maps, ..., None] * nodes)
        moments = [np.sum(unit**p * weights, axis=-1) / np.sqrt(2 * np.pi) for p in (1, 2)]
        first, second = (np.sum(np.exp(self.log_weights[maps])[..., None] * m, axis=1) for m in moments)
        return np.sqrt(np.maximum(second - first**2, 0.0))

    def _scaled(self, unit: np.ndarray) -> np.ndarray:
        low, high = self.bounds.T
        return low + (high - low) * unit

    def sample(self, n: int, seed: int) -> np.ndarray:
        """(maps, n, d) samples; `n` 1 or more, `seed` 0 or more."""
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        rng = np.random.default_rng(seed)
        maps, _, d = self.means.shape
        uniform, normal = rng.random((maps, n)), rng.standard_normal((maps, n, d))
        u = draw_mixture(self.log_weights, self.means, self.factors, uniform, normal)
        return from_normal(keras.ops.convert_to_numpy(u).astype(float), self.bounds)

    def log_prob(self, theta: np.ndarray) -> np.ndarray:
        """Log density (n,) at theta (n, d), normalised over the prior box; -inf outside."""
        theta = self._each(theta)
        u = to_normal(theta, self.bounds)
        z = np.einsum("nkij,nki->nkj", self.factors, u[:, None] - self.means)
        log_det = np.sum(np.log(np.diagonal(self.factors, axis1=-2, axis2=-1)), axis=-1)
        d = u.shape[1]
        log_u = logsumexp(self.log_weights + log_det - 0.5 * np.sum(z**2, -1) - 0.5 * d * LOG_TWO_PI, axis=1)
        # du / dtheta = 1 / (phi(u) (high - low))
        jacobian = np.sum(0.5 * u**2 + 0.5 * LOG_TWO_PI - np.log(self.bounds[:, 1] - self.bounds[:, 0]), axis=1)
        inside = np.all((theta >= self.bounds[:, 0]) & (theta <= self.bounds[:, 1]), axis=1)
        return np.where(inside, log_u + jacobian, -np.inf)

    def cdf(self, theta: np.ndarray) -> np.ndarray:
        """Marginal distribution functions at theta (n, d)."""
        theta = self._each(theta)
        u = to_normal(theta, self.bounds)[:, None]
        return np.sum(np.exp(self.log_weights)[..., None] * ndtr((u - self.means) / self._sigmas), axis=1)


@dataclass(frozen=True, repr=False)
class PointPosterior(_Posterior):
    """Point estimates with one error for all maps: independent Gaussians, truncated at the prior box.

    `points` (n, d); `errors` (d,): the rms error on validation maps; `bounds` (d, 2).
    """

    points: np.ndarray
    errors: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def _standard(self) -> tuple[np.ndarray, np.ndarray]:
        return (self.bounds[:, 0] - self.points) / self.errors, (self.bounds[:, 1] - self.points) / self.errors

    def mean(self) -> np.ndarray:
        """The points, inside the box."""
        return np.clip(self.points, self.bounds[:, 0], self.bounds[:, 1])

    def std(self) -> np.ndarray:
        """Standard deviations of the truncated Gaussians, (n, d)."""
        low, high = self._standard()
        return truncnorm.std(low, high) * self.errors

    def sample(self, n: int, seed: int) -> np.ndarray:
        """(maps, n, d) samples; `n` 1 or more, `seed` 0 or more."""
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        low, high = self._standard()
        shape = (len(self.points), n, len(self.errors))
        rng = np.random.default_rng(seed)
        standard = truncnorm.rvs(low[:, None], high[:, None], size=shape, random_state=rng)
        return self.points[:, None] + standard * self.errors

    def log_prob(self, theta: np.ndarray) -> np.ndarray:
        """Log density (n,) at theta (n, d), normalised over the prior box; -inf outside."""
        theta = self._each(theta)
        low, high = self._standard()
        return np.sum(truncnorm.logpdf((theta - self.points) / self.errors, low, high) - np.log(self.errors), axis=1)

    def cdf(self, theta: np.ndarray) -> np.ndarray:
        """Marginal distribution functions at theta (n, d)."""
        theta = self._each(theta)
        low, high = self._standard()
        return np.asarray(truncnorm.cdf((theta - self.points) / self.errors, low, high))


def prior_rmse(bounds: np.ndarray) -> np.ndarray:
    """Standard deviation (d,) of the uniform prior: the rms error of always quoting its mean."""
    return (bounds[:, 1] - bounds[:, 0]) / np.sqrt(12)

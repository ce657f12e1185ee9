"""Today's analysis of the same maps: binned auto- and cross-spectra, or any other summary statistics.

Two versions, and the better one is the baseline: a Gaussian likelihood whose mean and covariance are smooth functions
of the parameters learned from the training maps, and a small network on the same statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from cosmokeras.inference import regression
from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.models.heads import MixtureLoss, apply_head, to_normal, unpack_mixture
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior

NODES = {1: 400}  # points of the prior box that carry the likelihood, by number of free parameters
MANY_NODES = 4096
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
    freedom: float = 1e12  # of a covariance that is as good as known

    @classmethod
    def fit(
        cls, features: np.ndarray, theta: np.ndarray, bounds: np.ndarray, maps: int | None = None
    ) -> GaussianLikelihood:
        """Smooth mean and scatter by least squares, and the correlation of what is left.

        Parameters
        ----------
        features : (n, f) at theta (n, p)
        maps : how many of them are independent, where several are noise draws of one map; all n unless given
        """
        maps = maps or len(features)
        mean, log_variance, standard = regression.fit(features, theta, bounds, cls._degree(theta.shape[1]))
        freedom = max(1, maps - len(mean))
        log_variance[0] += np.log(maps / freedom)  # what the mean's own terms have taken out of the residuals
        correlation = regression.shrunk(np.atleast_2d(np.corrcoef(standard.T)), maps)
        whiten = np.linalg.inv(np.linalg.cholesky(correlation))
        return cls(bounds, mean, log_variance, whiten, freedom)

    @staticmethod
    def _degree(p: int) -> int:
        return {1: 4, 2: 4, 3: 3}.get(p, 2)

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
        self, cfg: Config, features: np.ndarray, wanted: Callable[[np.ndarray], np.ndarray] = lambda theta: theta
    ) -> np.ndarray:
        """Posterior means (n, q) of what `wanted` makes, (nodes, q), of the free parameters (nodes, p)."""
        p = len(self.bounds)
        theta = sample_prior(cfg, NODES.get(p, MANY_NODES), seed=0)
        values, means = wanted(theta), []
        for start in range(0, len(features), BLOCK):
            log_l = self.log_likelihood(features[start : start + BLOCK], theta)
            weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
            means.append(weight @ values / weight.sum(axis=1, keepdims=True))
        return np.concatenate(means)


def compression(features: np.ndarray, theta: np.ndarray, maps: int) -> Callable[[np.ndarray], np.ndarray]:
    """What turns features (n, f) into as many numbers as there are parameters: their best linear estimates (n, p).

    Many statistics of few modes each are not normally distributed, but such sums of them are, nearly. The least squares
    of the parameters are in place of the derivatives by the parameters of Heavens, Jimenez & Lahav 2000 (MNRAS 317,
    965, astro-ph/9911102), which need a fiducial cosmology. `maps` is that of `GaussianLikelihood.fit`.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
    unit = (features - mean) / deviation
    correlation, response = unit.T @ unit / len(unit), unit.T @ (theta - theta.mean(axis=0)) / len(unit)
    weights = np.linalg.solve(regression.shrunk(correlation, maps), response)
    return lambda unknown: (unknown - mean) / deviation @ weights


def network_means(
    cfg: Config,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    bounds: np.ndarray,
) -> np.ndarray:
    """Posterior means (n, q) of numbers in the box `bounds` (q, 2), from a small posterior network on statistics.

    `training` and `validation` are (features, numbers), `test` features.
    """
    mean, deviation = training[0].mean(axis=0), training[0].std(axis=0) + 1e-12
    d, k = len(bounds), cfg.model.components

    def inputs(features: np.ndarray) -> np.ndarray:
        return ((features - mean) / deviation).astype(np.float32)

    def outputs(numbers: np.ndarray) -> np.ndarray:
        return to_normal(numbers, bounds).astype(np.float32)

    keras.utils.set_random_seed(cfg.train.seed)
    given = keras.Input((len(mean),), name="statistics")
    # the noise draws of a map are few and its cosmology is one: a larger network learns them by heart
    hidden = keras.layers.Dropout(0.1, seed=0, name="dropout")(given)
    hidden = keras.layers.Dense(64, activation="gelu", name="hidden")(hidden)
    model = keras.Model(given, apply_head(hidden, "posterior", d, k))
    epochs, batch = 20, min(256, len(training[0]))
    steps = epochs * -(-len(training[0]) // batch)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.01)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-2), loss=MixtureLoss(k))
    stop = keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True)
    held_out = (inputs(validation[0]), outputs(validation[1]))
    x, y = inputs(training[0]), outputs(training[1])
    model.fit(x, y, batch_size=batch, epochs=epochs, validation_data=held_out, callbacks=[stop], verbose=0)
    raw = model.predict(inputs(test), batch_size=1024, verbose=0)
    parts = unpack_mixture(raw, d, k)
    log_weights, means, factors = (keras.ops.convert_to_numpy(part).astype(float) for part in parts)
    return MixturePosterior(log_weights, means, factors, bounds).mean()

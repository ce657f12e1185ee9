"""Today's analysis of the same maps: binned auto- and cross-spectra.

Two versions, and the better one is the baseline: a Gaussian likelihood whose mean and covariance are smooth functions
of the parameters learned from the training maps, and a small network on the same spectra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from cosmokeras.config import Config
from cosmokeras.cosmology import sample_prior
from cosmokeras.inference import regression
from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.models.heads import MixtureLoss, apply_head, to_normal, unpack_mixture

NODES = {1: 400}  # points of the prior box that carry the likelihood, by number of free parameters
MANY_NODES = 4096


@dataclass(frozen=True)
class GaussianLikelihood:
    """p(spectra | theta) = N(mean(theta), D(theta) R D(theta)) with a constant correlation matrix R."""

    bounds: np.ndarray
    mean: np.ndarray
    log_variance: np.ndarray
    whiten: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> GaussianLikelihood:
        """Smooth mean and scatter by least squares, and the correlation of what is left."""
        mean, log_variance, standard = regression.fit(features, theta, bounds, cls._degree(theta.shape[1]))
        # shrunk towards no correlation: the inverse of a matrix from few maps is noisy, or does not exist
        shrink = min(1.0, features.shape[1] / len(features))
        correlation = np.atleast_2d(np.corrcoef(standard.T))
        correlation = (1 - shrink) * correlation + shrink * np.eye(len(correlation))
        whiten = np.linalg.inv(np.linalg.cholesky(correlation))
        return cls(bounds, mean, log_variance, whiten)

    @staticmethod
    def _degree(p: int) -> int:
        return {1: 4, 2: 4, 3: 3}.get(p, 2)

    def _mean_and_sigma(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = regression.polynomial(theta, self.bounds, self._degree(theta.shape[1])) @ self.mean
        return mean, regression.sigma(theta, self.bounds, self.log_variance)

    def whitened(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Residuals (n, f) of features (n, f) at their own theta (n, p): unit normal under the model."""
        mean, sigma = self._mean_and_sigma(theta)
        return ((features - mean) / sigma) @ self.whiten.T

    def log_likelihood(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(n, nodes) for features (n, f) at parameter values theta (nodes, p)."""
        out = np.empty((len(features), len(theta)))
        for j, (mean, sigma) in enumerate(zip(*self._mean_and_sigma(theta), strict=True)):
            z = ((features - mean) / sigma) @ self.whiten.T
            out[:, j] = -0.5 * np.sum(z**2, axis=1) - np.log(sigma).sum()
        return out

    def posterior_mean(
        self, cfg: Config, features: np.ndarray, wanted: Callable[[np.ndarray], np.ndarray] = lambda theta: theta
    ) -> np.ndarray:
        """Posterior means (n, q) of what `wanted` makes, (nodes, q), of the free parameters (nodes, p)."""
        p = len(self.bounds)
        theta = sample_prior(cfg, NODES.get(p, MANY_NODES), seed=0)
        log_l = self.log_likelihood(features, theta)
        weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
        return (weight @ wanted(theta)) / weight.sum(axis=1, keepdims=True)


def network_means(
    cfg: Config,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    bounds: np.ndarray,
) -> np.ndarray:
    """Posterior means (n, q) of numbers in the box `bounds` (q, 2), from a small posterior network on spectra.

    `training` and `validation` are (features, numbers), `test` features.
    """
    mean, deviation = training[0].mean(axis=0), training[0].std(axis=0) + 1e-12
    d, k = len(bounds), cfg.model.components

    def inputs(features: np.ndarray) -> np.ndarray:
        return ((features - mean) / deviation).astype(np.float32)

    def outputs(numbers: np.ndarray) -> np.ndarray:
        return to_normal(numbers, bounds).astype(np.float32)

    keras.utils.set_random_seed(cfg.train.seed)
    given = keras.Input((len(mean),), name="spectra")
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
    parts = (keras.ops.convert_to_numpy(part).astype(float) for part in unpack_mixture(raw, d, k))
    return MixturePosterior(*parts, bounds).mean()

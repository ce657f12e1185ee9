"""Does a map look like the training set? A p-value from spectra and one-point moments.

Features of a map are compared with what maps of the parameters that the network finds in it have: the Mahalanobis
distance of the residual, ranked among those of validation maps, which the fit has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.inference.baseline import GaussianLikelihood
from cosmokeras.inference.features import moments, spectra

BINS = 8


def features(obs: np.ndarray) -> np.ndarray:
    """Spectra and moments of observed maps, (n, f)."""
    return np.concatenate([spectra(obs, min(BINS, obs.shape[1] // 4)), moments(obs)], axis=1)


@dataclass(frozen=True)
class Reference:
    """What features training maps have at given estimates, and the distances of validation maps.

    The first four arrays are those of the `GaussianLikelihood` of features (f) at estimates (d) as parameters: maps of
    strong fields scatter more than those of weak ones, and count against their like. `distances` (n,) is sorted.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_variance: np.ndarray
    whiten: np.ndarray
    distances: np.ndarray

    @classmethod
    def fit(
        cls,
        training: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        bounds: np.ndarray,
    ) -> Reference:
        """From (features (n, f), estimates (n, d)) of training and of validation maps."""
        model = GaussianLikelihood.fit(*training, bounds)
        arrays = (bounds, model.mean, model.log_variance, model.whiten)
        return cls(*arrays, np.sort(cls(*arrays, np.zeros(0)).distance(*validation)))

    def distance(self, x: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (n,) from training maps of like estimates."""
        model = GaussianLikelihood(self.bounds, self.mean, self.log_variance, self.whiten)
        return np.sum(model.whitened(x, estimates) ** 2, axis=1)

    def p_value(self, distance: np.ndarray) -> np.ndarray:
        """Part of validation maps at least as far out, (n,); never 0."""
        n = len(self.distances)
        beyond = n - np.searchsorted(self.distances, distance, side="left")
        return (1 + beyond) / (1 + n)

    def survey_p_value(self, distance: np.ndarray, seed: int = 0, draws: int = 20_000) -> float:
        """p-value of all patches together: their mean distance among means of as many validation maps.

        Two-sided, since maps that are too much alike are as suspect as maps that are too far out.
        """
        rng = np.random.default_rng(seed)
        n = len(self.distances)
        # the reference is itself a sample: its mean is uncertain, and normally distributed
        error = self.distances.std() / np.sqrt(n) * rng.standard_normal(draws)
        means = self.distances[rng.integers(0, n, (draws, len(distance)))].mean(axis=1) + error
        above = (1 + np.count_nonzero(means >= distance.mean())) / (1 + draws)
        below = (1 + np.count_nonzero(means <= distance.mean())) / (1 + draws)
        return float(min(1.0, 2 * min(above, below)))

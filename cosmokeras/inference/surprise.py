"""Does a map look like the training set? A p-value from spectra and one-point moments.

Features of a map are compared with what maps of the parameters that the network finds in it have: the Mahalanobis
distance of the residual, ranked among those of validation maps, which the fit has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.inference.baseline import polynomial
from cosmokeras.inference.features import moments, spectra

BINS = 8
DEGREE = 3


def features(obs: np.ndarray) -> np.ndarray:
    """Spectra and moments of observed maps, (n, f)."""
    return np.concatenate([spectra(obs, min(BINS, obs.shape[1] // 4)), moments(obs)], axis=1)


@dataclass(frozen=True)
class Reference:
    """What features training maps have at given estimates, and the distances of validation maps.

    `bounds` (d, 2) of the estimates; `mean` (terms, f); `whiten` (f, f); `distances` (n,) sorted.
    """

    bounds: np.ndarray
    mean: np.ndarray
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
        x, estimates = training
        design = polynomial(cls._unit(estimates, bounds), DEGREE)
        mean = np.linalg.lstsq(design, x, rcond=None)[0]
        residual = x - design @ mean
        # shrunk towards its diagonal: the inverse of a covariance from few maps is noisy
        covariance = np.cov(residual.T)
        shrink = min(1.0, x.shape[1] / len(x))
        covariance = (1 - shrink) * covariance + shrink * np.diag(np.diag(covariance))
        whiten = np.linalg.inv(np.linalg.cholesky(covariance + 1e-12 * np.diag(np.diag(covariance))))
        unsorted = cls(bounds, mean, whiten, np.zeros(0))
        return cls(bounds, mean, whiten, np.sort(unsorted.distance(*validation)))

    @staticmethod
    def _unit(theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        low, high = bounds.T
        return 2 * (theta - low) / (high - low) - 1

    def distance(self, x: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (n,)."""
        design = polynomial(self._unit(estimates, self.bounds), DEGREE)
        return np.sum(((x - design @ self.mean) @ self.whiten.T) ** 2, axis=1)

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
        picks = rng.integers(0, len(self.distances), (draws, len(distance)))
        means = self.distances[picks].mean(axis=1)
        above = (1 + np.count_nonzero(means >= distance.mean())) / (1 + draws)
        below = (1 + np.count_nonzero(means <= distance.mean())) / (1 + draws)
        return float(min(1.0, 2 * min(above, below)))

"""Features of maps as a function of the parameters: mean, scatter and correlation, learned from training maps.

Residuals are whitened by the Cholesky factor of the features' correlation, family after family: those of shapes are
what spectra do not explain, and so on. Test statistics are squared Mahalanobis distances (Mahalanobis 1936), one for
each family, and the squared residual along the direction in which maps differ from their negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.inference import regression, shapes

FAMILIES = ("spectra", "shapes", "summaries")
TESTS = (*FAMILIES, "asymmetry")
# Degree of the polynomials of the mean, by number of parameters; beyond, 2. What they miss is in the null
# distributions, but hides what maps of another kind do: p < 0.05 in 9, 10 and 8 +- 1.4 % of surveys like the training
# maps with degrees 2, 4 and 6 for one parameter (`python -m study.null_distribution degree`; from before moments were
# compressed and ranks were exact).
DEGREE = {1: 6, 2: 5, 3: 4}
# Training maps for each coefficient, at least; with fewer the degree is lower. p < 0.05 in 15, 7 and 9 +- 1.4 % of
# surveys with 2, 8 and 64 (`python -m study.null_distribution training_maps`).
MAPS_PER_TERM = 8


@dataclass(frozen=True)
class FeatureModel:
    """Features (f) of maps at parameters (p) in a box: N(mean(theta), D(theta) R D(theta)), R a constant correlation.

    `bounds` (p, 2); `mean` and `log_variance` are coefficients of `regression`; `whiten` (f, f) is the
    inverse Cholesky factor of R: lower triangular, so that the whitened residual of a feature is what the features
    before it do not explain; `covariance` (terms, terms) is that of the mean's coefficients in units of the scatter;
    `sizes` (3,) are numbers of features of each family; `degree` () is that of the polynomials.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_variance: np.ndarray
    whiten: np.ndarray
    covariance: np.ndarray
    sizes: np.ndarray
    degree: np.ndarray

    @classmethod
    def from_maps(cls, features: np.ndarray, theta: np.ndarray, bounds: np.ndarray, sizes: np.ndarray) -> FeatureModel:
        """From features (n, f) of maps at theta (n, p)."""
        degree = regression.degree_for(len(theta), theta.shape[1], DEGREE.get(theta.shape[1], 2), MAPS_PER_TERM)
        mean, log_variance, standard = regression.fit(features, theta, bounds, degree)
        # a feature without scatter in training maps, such as a count of peaks that are never so high, keeps its unit
        constant = features.std(axis=0) < 1e-6
        log_variance[:, constant], standard[:, constant] = 0.0, 0.0
        correlation = regression.shrunk(standard.T @ standard / len(standard), len(standard))
        np.fill_diagonal(correlation, 1.0)
        design = regression.polynomial(theta, bounds, degree)
        whiten = np.linalg.inv(np.linalg.cholesky(correlation))
        return cls(
            bounds=bounds,
            mean=mean,
            log_variance=log_variance,
            whiten=whiten,
            covariance=np.linalg.pinv(design.T @ design),
            sizes=np.asarray(sizes),
            degree=np.asarray(degree),
        )

    def design(self, theta: np.ndarray) -> np.ndarray:
        """Design matrix (n, terms) of the mean at theta (n, p)."""
        return regression.polynomial(theta, self.bounds, int(self.degree))

    def mean_and_sigma(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scatter of single maps, both (n, f), at theta (n, p)."""
        return self.design(theta) @ self.mean, regression.sigma(theta, self.bounds, self.log_variance)

    def residuals(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Whitened residuals of features (n, f) from their mean at theta (n, p): unit normal under the model."""
        mean, sigma = self.mean_and_sigma(theta)
        return ((features - mean) / sigma) @ self.whiten.T

    def mean_variance(self, theta: np.ndarray) -> np.ndarray:
        """Variance (n,) of the fitted mean at theta (n, p), from few training maps, in units of that of single maps."""
        return regression.mean_variance(self.design(theta), self.covariance)

    def error(self, theta: np.ndarray, patches: int) -> np.ndarray:
        """Error (n,) of mean residuals of so many maps at theta (n, p), that of the fitted mean included."""
        return np.sqrt(1 / patches + self.mean_variance(theta))

    def asymmetry_axis(self, theta: np.ndarray) -> np.ndarray:
        """Unit vectors (n, f), in whitened residuals, from mean features of negated maps to those of maps at theta."""
        mean, sigma = self.mean_and_sigma(theta)
        first, last = self.sizes[0], self.sizes[0] + self.sizes[1]
        shift = np.zeros_like(mean)
        shift[:, first:last] = mean[:, first:last] - shapes.of_negated(mean[:, first:last])
        direction = (shift / sigma) @ self.whiten.T
        return direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-300)

    def test_statistics(self, residuals: np.ndarray, axis: np.ndarray) -> np.ndarray:
        """Statistics (n, 4) of TESTS for whitened residuals (n, f) and asymmetry axes (n, f): chi^2 under the model."""
        parts = np.split(np.square(residuals), np.cumsum(self.sizes)[:-1], axis=1)
        along = np.sum(residuals * axis, axis=1) ** 2
        return np.stack([*(part.sum(axis=1) for part in parts), along], axis=1)

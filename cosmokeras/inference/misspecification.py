"""Misspecification test: do maps come from the distribution that the network was trained on?

The features of a map are binned spectra, non-Gaussian shapes (`cosmokeras.inference.shapes`) and the network's learned
summaries; each family is blind to something that another sees. Their mean and scatter are smooth functions of the
parameters, learned from training maps. Residuals of an observed map are whitened by the Cholesky factor of the
features' correlation, family after family: those of shapes are what spectra do not explain, and so on. Test statistics
are squared Mahalanobis distances (Mahalanobis 1936), one for each family, and the squared residual along the direction
in which maps differ from their negatives, the most sensitive to maps that are too Gaussian.

The p-value is that of the smallest p-value of all tests (Tippett 1931, "The Methods of Statistics"). Null distributions
are empirical: statistics of validation maps, or of bootstrap surveys of them, give the p-value of each test by rank and
of their minimum, so that correlated tests need no correction (Westfall & Young 1993, "Resampling-Based Multiple
Testing"). `python -m study.null_distribution` measures how the settings below change the rate of false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc, rankdata

from cosmokeras.inference import regression, shapes

FAMILIES = ("spectra", "shapes", "summaries")
TESTS = (*FAMILIES, "asymmetry")
# Degree of the polynomials of the mean, by number of parameters; beyond, 2. For one parameter p < 0.05 in 14, 13 and
# 12 % of 180 surveys like the training maps with degrees 2, 4 and 6 (`python -m study.null_distribution degree`).
DEGREE = {1: 6, 2: 5, 3: 4}
# Training maps for each coefficient, at least; with fewer the degree is lower. A fit takes no fewer, a test takes many
# more: p < 0.05 in 62 % of surveys with 8 and 15 % with 64 (`python -m study.null_distribution training_maps`).
MAPS_PER_TERM = 8
MAX_RESIDUAL = 1e6  # of a survey in the profile fit, in sigma: maps may be anything, and squares must stay finite
START_POINTS = 64  # of the prior box, from the best of which the profile fit starts
BOOTSTRAP_SURVEYS = 4000  # a p-value of 0.01 is known to sqrt(0.01 / 4000) = 0.0016
# Part, and least number, of validation maps, nearest in parameters, that are resampled. With 50, 500 or all of 2000
# p < 0.05 in 12, 12 and 11 % of 180 surveys alike, no difference (`python -m study.null_distribution neighbours`).
NEIGHBOUR_FRACTION, MIN_NEIGHBOURS = 0.25, 500


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


@dataclass(frozen=True)
class MapReference(FeatureModel):
    """Test of single maps: the features' model at the network's own estimates, and its null distribution.

    `null_statistics` (n, 4) are test statistics of validation maps.
    """

    null_statistics: np.ndarray = field(metadata={"stored": "known"})

    @classmethod
    def fit(
        cls,
        training: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        bounds: np.ndarray,
        sizes: np.ndarray,
    ) -> MapReference:
        """From (features (n, f), estimates (n, d)) of training and of validation maps."""
        model = FeatureModel.from_maps(*training, bounds, sizes)
        null = model.test_statistics(model.residuals(*validation), model.asymmetry_axis(validation[1]))
        return cls(**vars(model), null_statistics=null)

    def judge(self, features: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p-values (n,) of maps with features (n, f) and estimates (n, d), and of each test, (n, 4)."""
        residuals = self.residuals(features, estimates)
        return _smallest_p_value(self.null_statistics, self.test_statistics(residuals, self.asymmetry_axis(estimates)))

    def distance(self, features: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (n,) from training maps of the same estimates."""
        return np.sum(self.residuals(features, estimates) ** 2, axis=1)

    @property
    def distances(self) -> np.ndarray:
        """Squared Mahalanobis distances (n,) of the validation maps: their null distribution."""
        return self.null_statistics[:, : len(FAMILIES)].sum(axis=1)


@dataclass(frozen=True)
class Verdict:
    """Result of the misspecification test of a survey.

    `p` is that of all tests together, `tests` the p-value of each by name, `pulls` (f,) the residual of each mean
    feature from the best fit in units of its standard error (not whitened).
    """

    p: float
    tests: dict[str, float]
    pulls: np.ndarray

    def worst(self, names: list[str], count: int = 3) -> list[tuple[str, float]]:
        """Features with the largest residuals, and these in sigma."""
        order = np.argsort(-np.abs(self.pulls), kind="stable")[:count]
        return [(names[i], float(self.pulls[i])) for i in order]


@dataclass(frozen=True)
class SurveyReference(FeatureModel):
    """Test of all patches of one sky: goodness of fit of their mean features at the best-fitting parameters.

    The mean of many patches has a smaller error than one map: deviations show that single maps hide in their scatter.
    The null distribution is a bootstrap of validation maps: `null_residuals` (n, f) are their whitened residuals at
    their true parameters `theta` (n, p). `mean_square` (terms,) are coefficients of the mean square of residuals as a
    function of the parameters: 1 where the correlation R is that of all parameters.
    """

    null_residuals: np.ndarray = field(metadata={"stored": "left"})
    theta: np.ndarray
    mean_square: np.ndarray = field(metadata={"stored": "usual"})
    NAMES: ClassVar[tuple[str, ...]] = (*TESTS, "scatter")

    @classmethod
    def fit(
        cls,
        training: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        bounds: np.ndarray,
        sizes: np.ndarray,
    ) -> SurveyReference:
        """From (features (n, f), free parameters (n, p)) of training and of validation maps."""
        model = FeatureModel.from_maps(*training, bounds, sizes)
        residuals, theta = model.residuals(*validation), validation[1]
        mean_square = np.linalg.lstsq(model.design(theta), np.mean(residuals**2, axis=1), rcond=None)[0]
        return cls(**vars(model), null_residuals=residuals, theta=theta, mean_square=mean_square)

    def judge(self, features: np.ndarray, seed: int = 0) -> Verdict:
        """Test of the features (patches, f) of a survey; `seed` is that of the bootstrap."""
        patches, mean = len(features), features.mean(axis=0)
        theta, jacobian, error = self._profile_fit(mean, patches)
        residuals = self.residuals(features, np.repeat(theta[None], patches, axis=0))
        axis = self.asymmetry_axis(theta[None])
        projector = _projector(jacobian)
        statistics = self.test_statistics(residuals.mean(axis=0, keepdims=True) @ projector / error, axis)[0]
        statistics = np.append(statistics, np.mean(residuals**2) / (self.design(theta[None]) @ self.mean_square))

        means, squares = self._bootstrap(theta, patches, error, np.random.default_rng(seed))
        null = np.column_stack([self.test_statistics(means @ projector / error, axis), squares])
        # two-sided: patches that are too much alike are as unlikely as those that differ too much
        statistics[-1], null[:, -1] = (np.abs(x - np.median(null[:, -1])) for x in (statistics[-1], null[:, -1]))
        (p,), (p_values,) = _smallest_p_value(null, statistics[None])
        expected, sigma = (row[0] for row in self.mean_and_sigma(theta[None]))
        pulls = (mean - expected) / (sigma * error)
        return Verdict(p=float(p), tests=dict(zip(self.NAMES, p_values.tolist(), strict=True)), pulls=pulls)

    def _profile_fit(self, mean: np.ndarray, patches: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Least chi^2 of mean features (f,) over the parameters.

        Returns
        -------
        theta : (p,) at the minimum
        jacobian : (f, free) of the residuals, for the parameters that are not at an edge of the prior box
        error : of the mean residuals, that of the fitted mean included
        """
        low, high = self.bounds.T

        def normalised(theta: np.ndarray) -> np.ndarray:
            residuals = self.residuals(mean[None], theta[None])[0]
            residuals = residuals / np.sqrt(1 / patches + self.mean_variance(theta[None])[0])
            return np.clip(residuals, -MAX_RESIDUAL, MAX_RESIDUAL)

        points = low + (high - low) * qmc.Sobol(len(low), rng=0).random(START_POINTS)
        start = points[np.argmin([np.sum(normalised(point) ** 2) for point in points])]
        best = least_squares(normalised, start, bounds=(low, high), x_scale=high - low)
        error = float(np.sqrt(1 / patches + self.mean_variance(best.x[None])[0]))
        return best.x, np.asarray(best.jac)[:, best.active_mask == 0], error

    def _bootstrap(
        self, theta: np.ndarray, patches: int, error: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Surveys resampled, with replacement (Efron 1979), from the validation maps nearest to theta (p,).

        Returns
        -------
        means : (surveys, f) mean residuals
        squares : (surveys,) mean squares of residuals, over their expectation
        """
        low, high = self.bounds.T
        distance = np.sum(((self.theta - theta) / (high - low)) ** 2, axis=1)
        count = min(len(distance), max(round(NEIGHBOUR_FRACTION * len(distance)), MIN_NEIGHBOURS))
        nearest = np.argpartition(distance, count - 1)[:count]
        residuals = self.null_residuals[nearest]
        chosen = rng.integers(0, count, (BOOTSTRAP_SURVEYS, patches)) + count * np.arange(BOOTSTRAP_SURVEYS)[:, None]
        times = np.bincount(chosen.ravel(), minlength=BOOTSTRAP_SURVEYS * count)  # of each map in each survey
        times = times.reshape(BOOTSTRAP_SURVEYS, count)
        # the error of the fitted mean is common to all patches of a survey
        common = np.sqrt(max(error**2 - 1 / patches, 0.0))
        means = times @ residuals / patches + common * rng.standard_normal((BOOTSTRAP_SURVEYS, residuals.shape[1]))
        squares = np.mean(residuals**2, axis=1) / (self.design(self.theta[nearest]) @ self.mean_square)
        return means, times @ squares / patches


def _projector(jacobian: np.ndarray) -> np.ndarray:
    """Projection matrix (f, f) onto residuals orthogonal to the fitted directions, the columns of (f, free)."""
    basis = np.linalg.qr(jacobian)[0]
    return np.eye(len(jacobian)) - basis @ basis.T


def _smallest_p_value(null: np.ndarray, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p-values (m,) of the smallest p-value of all tests, and p-values (m, k) of each test.

    `null` (n, k) are test statistics of validation maps or bootstrap surveys, `statistics` (m, k) those to be tested.
    """
    p_values = np.stack([_p_value(*pair) for pair in zip(null.T, statistics.T, strict=True)], axis=1)
    null_p_values = np.stack([_null_p_value(column) for column in null.T], axis=1)
    return _p_value(-null_p_values.min(axis=1), -p_values.min(axis=1)), p_values


def _p_value(null: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """Part of the null distribution (n,) at least as large as the statistics (m,), which count as one of it.

    So p-values are never 0 (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39). NaN is as large as any number.
    """
    ordered, n = np.sort(null), len(null)
    beyond = n - np.searchsorted(ordered, np.where(np.isnan(statistics), np.inf, statistics), side="left")
    return (1 + beyond) / (1 + n)


def _null_p_value(null: np.ndarray) -> np.ndarray:
    """The p-value of each number (n,) of a null distribution among all of them."""
    n = len(null)
    return (1 + n - rankdata(null, method="min")) / n

"""Does a map, or a sky of many patches, look like the training set?

Features of three families are measured: binned spectra, shapes (`cosmokeras.inference.shapes`) and what the network has
learned to look at; each is blind to something that another sees. Their mean and scatter are smooth functions of
parameters, learned from training maps, and what is left of an observed map is turned into unit normal numbers, family
after family: those of shapes are what spectra do not say about them, and so on. Tests are sums of squares of a family,
and the part along the direction in which maps differ from themselves upside down, the first to see a map that is too
Gaussian. The p-value is that of the most surprising test, ranked among validation maps that went the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc, rankdata

from cosmokeras.inference import regression, shapes

FAMILIES = ("spectra", "shapes", "summaries")
TESTS = (*FAMILIES, "asymmetry")
DEGREE = {1: 6, 2: 5, 3: 4}  # of the polynomials of the mean, by number of parameters; beyond, 2
MOST = 1e6  # residual of a survey that counts, in sigma: maps may be anything
MAPS_PER_TERM = 8  # of these polynomials, at least; with fewer maps the degree is lower
DRAWS = 4000  # surveys put together from validation maps
NEAR = 0.25, 500  # part, and least number, of the validation maps that these are drawn from: those most like the survey


@dataclass(frozen=True)
class Expected:
    """What features (f) maps have at parameters (p) in a box: N(mean(theta), D(theta) R D(theta)), R constant.

    `bounds` (p, 2); `mean` and `log_variance` are coefficients of `regression`; `whiten` (f, f) is lower triangular and
    makes the residuals of a feature those that the features before it do not explain; `covariance` (terms, terms) is
    that of the mean's coefficients in units of the scatter; `sizes` (3,) are numbers of features of each family;
    `degree` () is that of the polynomials.
    """

    bounds: np.ndarray
    mean: np.ndarray
    log_variance: np.ndarray
    whiten: np.ndarray
    covariance: np.ndarray
    sizes: np.ndarray
    degree: np.ndarray

    @classmethod
    def learn(cls, features: np.ndarray, theta: np.ndarray, bounds: np.ndarray, sizes: np.ndarray) -> Expected:
        """From features (n, f) of maps at theta (n, p)."""
        degree = DEGREE.get(theta.shape[1], 2)
        while degree > 1 and MAPS_PER_TERM * regression.polynomial(theta, bounds, degree).shape[1] > len(theta):
            degree -= 1
        mean, log_variance, standard = regression.fit(features, theta, bounds, degree)
        # what is the same in all training maps, such as peaks that are never so high, counts in its own units
        same = features.std(axis=0) < 1e-6
        log_variance[:, same], standard[:, same] = 0.0, 0.0
        correlation = regression.shrunk(standard.T @ standard / len(standard), len(standard))
        np.fill_diagonal(correlation, 1.0)
        design = regression.polynomial(theta, bounds, degree)
        whiten = np.linalg.inv(np.linalg.cholesky(correlation))
        spread = np.linalg.pinv(design.T @ design)
        return cls(bounds, mean, log_variance, whiten, spread, np.asarray(sizes), np.asarray(degree))

    def design(self, theta: np.ndarray) -> np.ndarray:
        """Polynomials (n, terms) of the mean at theta (n, p)."""
        return regression.polynomial(theta, self.bounds, int(self.degree))

    def mean_and_sigma(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scatter of single maps, both (n, f), at theta (n, p)."""
        return self.design(theta) @ self.mean, regression.sigma(theta, self.bounds, self.log_variance)

    def residuals(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Features (n, f) less their mean at theta (n, p), as unit normal numbers."""
        mean, sigma = self.mean_and_sigma(theta)
        return ((features - mean) / sigma) @ self.whiten.T

    def error(self, theta: np.ndarray) -> np.ndarray:
        """Variance (n,) of the mean at theta (n, p) for the training maps being finite, in units of single maps'."""
        design = self.design(theta)
        return np.einsum("ni,ij,nj->n", design, self.covariance, design)

    def uphill(self, theta: np.ndarray) -> np.ndarray:
        """Unit vectors (n, f) along which residuals of maps lie that are less, or more, like themselves upside down."""
        mean, sigma = self.mean_and_sigma(theta)
        first, last = self.sizes[0], self.sizes[0] + self.sizes[1]
        shift = np.zeros_like(mean)
        shift[:, first:last] = mean[:, first:last] - shapes.upside_down(mean[:, first:last])
        direction = (shift / sigma) @ self.whiten.T
        return direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-300)

    def tests(self, residuals: np.ndarray, uphill: np.ndarray) -> np.ndarray:
        """TESTS (n, 4) of residuals (n, f); the larger, the more surprising."""
        parts = np.split(np.square(residuals), np.cumsum(self.sizes)[:-1], axis=1)
        along = np.sum(residuals * uphill, axis=1) ** 2
        return np.stack([*(part.sum(axis=1) for part in parts), along], axis=1)


@dataclass(frozen=True)
class MapReference(Expected):
    """For single maps: features at the network's own estimates, and the tests (n, 4) of validation maps."""

    known: np.ndarray

    @classmethod
    def fit(
        cls,
        training: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        bounds: np.ndarray,
        sizes: np.ndarray,
    ) -> MapReference:
        """From (features (n, f), estimates (n, d)) of training and of validation maps."""
        expected = Expected.learn(*training, bounds, sizes)
        known = expected.tests(expected.residuals(*validation), expected.uphill(validation[1]))
        return cls(**vars(expected), known=known)

    def judge(self, features: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p-values (n,) of maps with features (n, f) and estimates (n, d), and of each test, (n, 4)."""
        found = self.tests(self.residuals(features, estimates), self.uphill(estimates))
        return _most_surprising(self.known, found)

    def distance(self, features: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances (n,) from training maps of like estimates."""
        return np.sum(self.residuals(features, estimates) ** 2, axis=1)

    @property
    def distances(self) -> np.ndarray:
        """Those of the validation maps."""
        return self.known[:, : len(FAMILIES)].sum(axis=1)


@dataclass(frozen=True)
class Verdict:
    """How surprising a survey is: `p`, the p-value of each test, and for each feature how many sigma it is off."""

    p: float
    tests: dict[str, float]
    pulls: np.ndarray

    def worst(self, names: list[str], count: int = 3) -> list[tuple[str, float]]:
        """Features that are furthest off, and by how many sigma."""
        order = np.argsort(-np.abs(self.pulls), kind="stable")[:count]
        return [(names[i], float(self.pulls[i])) for i in order]


@dataclass(frozen=True)
class SurveyReference(Expected):
    """For patches of one sky: features at the parameters, residuals `left` (n, f) of validation maps at `theta` (n, p).

    A survey's mean features are compared with those at the parameters that fit them best: what single maps hide in
    their scatter shows in the mean of many. `usual` (terms,) is the mean square of residuals as a function of the
    parameters: 1 but for what a constant correlation leaves out.
    """

    left: np.ndarray
    theta: np.ndarray
    usual: np.ndarray
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
        expected = Expected.learn(*training, bounds, sizes)
        left, theta = expected.residuals(*validation), validation[1]
        usual = np.linalg.lstsq(expected.design(theta), np.mean(left**2, axis=1), rcond=None)[0]
        return cls(**vars(expected), left=left, theta=theta, usual=usual)

    def judge(self, features: np.ndarray, seed: int = 0) -> Verdict:
        """How surprising the features (patches, f) are together."""
        patches, mean = len(features), features.mean(axis=0)
        theta, jacobian, uncertainty = self._best(mean, patches)
        place = np.repeat(theta[None], patches, axis=0)
        each = self.residuals(features, place)
        uphill = self.uphill(theta[None])
        fit = _projection(jacobian)
        found = self.tests(each.mean(axis=0, keepdims=True) @ fit / uncertainty, uphill)[0]
        found = np.append(found, np.mean(each**2) / (self.design(theta[None]) @ self.usual))

        means, squares = self._draws(theta, patches, uncertainty, np.random.default_rng(seed))
        known = np.column_stack([self.tests(means @ fit / uncertainty, uphill), squares])
        # surveys whose patches are too much alike are as suspect as those whose patches differ too much
        found[-1], known[:, -1] = (np.abs(x - np.median(known[:, -1])) for x in (found[-1], known[:, -1]))
        (p,), (parts,) = _most_surprising(known, found[None])
        expected, sigma = (row[0] for row in self.mean_and_sigma(theta[None]))
        pulls = (mean - expected) / (sigma * uncertainty)
        return Verdict(float(p), dict(zip(self.NAMES, parts.tolist(), strict=True)), pulls)

    def _best(self, mean: np.ndarray, patches: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Parameters (p,) that fit mean features (f,) best, d residuals / d parameters (f, free), residuals' error."""
        low, high = self.bounds.T

        def misfit(theta: np.ndarray) -> np.ndarray:
            off = self.residuals(mean[None], theta[None])[0] / np.sqrt(1 / patches + self.error(theta[None])[0])
            return np.clip(off, -MOST, MOST)

        nodes = low + (high - low) * qmc.Sobol(len(low), rng=0).random(64)
        start = nodes[np.argmin([np.sum(misfit(node) ** 2) for node in nodes])]
        best = least_squares(misfit, start, bounds=(low, high), x_scale=high - low)
        error = float(np.sqrt(1 / patches + self.error(best.x[None])[0]))
        return best.x, np.asarray(best.jac)[:, best.active_mask == 0], error

    def _draws(
        self, theta: np.ndarray, patches: int, uncertainty: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Surveys put together from the validation maps nearest to theta (p,): mean residuals, and their mean squares.

        Returns
        -------
        (draws, f), (draws,)
        """
        low, high = self.bounds.T
        away = np.sum(((self.theta - theta) / (high - low)) ** 2, axis=1)
        count = min(len(away), max(round(NEAR[0] * len(away)), NEAR[1]))
        nearest = np.argpartition(away, count - 1)[:count]
        near = self.left[nearest]
        drawn = rng.integers(0, count, (DRAWS, patches)) + count * np.arange(DRAWS)[:, None]
        times = np.bincount(drawn.ravel(), minlength=DRAWS * count).reshape(DRAWS, count)  # of each map in each survey
        # what is not known of the mean moves all patches of a survey together
        missing = np.sqrt(max(uncertainty**2 - 1 / patches, 0.0))
        means = times @ near / patches + missing * rng.standard_normal((DRAWS, near.shape[1]))
        squares = np.mean(near**2, axis=1) / (self.design(self.theta[nearest]) @ self.usual)
        return means, times @ squares / patches


def _projection(jacobian: np.ndarray) -> np.ndarray:
    """(f, f) matrix that takes the directions of the parameters (f, free) out of residuals: fitting does so."""
    basis = np.linalg.qr(jacobian)[0]
    return np.eye(len(jacobian)) - basis @ basis.T


def _most_surprising(known: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p-values (m,) that the smallest p-value of all tests is so small by chance, and those of each test (m, k).

    known (n, k) and found (m, k): tests of validation and of other maps or surveys.
    """
    parts = np.stack([_rank(*pair) for pair in zip(known.T, found.T, strict=True)], axis=1)
    own = np.stack([_own_rank(column) for column in known.T], axis=1)
    return _rank(-own.min(axis=1), -parts.min(axis=1)), parts


def _rank(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Part of the known numbers (n,) at least as large as those found (m,); never 0. NaN is as large as any."""
    ordered, n = np.sort(known), len(known)
    beyond = n - np.searchsorted(ordered, np.where(np.isnan(found), np.inf, found), side="left")
    return (1 + beyond) / (1 + n)


def _own_rank(known: np.ndarray) -> np.ndarray:
    """The same for each of the known numbers among all of them."""
    n = len(known)
    return (1 + n - rankdata(known, method="min")) / n

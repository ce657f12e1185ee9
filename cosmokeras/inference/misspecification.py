"""Misspecification test: do maps come from the distribution that the network was trained on?

The features of a map are binned spectra, non-Gaussian shapes (`cosmokeras.inference.shapes`) and the network's learned
summaries; each family is blind to something that another sees. Their mean and scatter are smooth functions of the
parameters (`cosmokeras.inference.feature_model`), and each test is of a distance from them.

The p-value is that of the smallest p-value of all tests (Tippett 1931, "The Methods of Statistics"). Null distributions
are empirical: statistics of validation maps, or of surveys that are put together of them, give the p-value of each test
by rank and of their minimum, so that correlated tests need no correction (Westfall & Young 1993, "Resampling-Based
Multiple Testing"). A map or survey like them has each rank with the same probability, whatever the statistics are
(conformal prediction: Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World"): errors of the learned
mean are in the null distribution. `python -m study.null_distribution` measures how the settings below change the rate
of false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.stats import rankdata

from cosmokeras.inference import regression
from cosmokeras.inference.feature_model import FAMILIES, TESTS, FeatureModel
from cosmokeras.inference.profile_fit import best_start, profile_fit

# Rates of false alarms below are from before moments were compressed and ranks were exact, which lowered that of
# surveys of 117 patches from 9.5 to 7.0 %.
SURVEYS = 2000  # put together of validation maps: p-values are ranks among MATCHED of them, 0.002 at least
# Part of these surveys, nearest in best-fitting parameters, among which a survey has its rank. With 10, 25 and 100 %
# p < 0.05 in 22, 15 and 19 % of surveys at the edges of the prior, and in 12, 8 and 7 +- 1.4 % of all, with 2000
# validation maps (`python -m study.null_distribution matched`); with 500 in 15 % of all (`calibration_maps`).
MATCHED = 0.25
# Validation maps, in numbers of patches, nearest to some parameters, of which a survey is drawn. With 1, 2 and 8
# p < 0.05 in 9, 8 and 8 +- 1.4 % of surveys (`python -m study.null_distribution window`).
WINDOW = 2
CHUNK = 2**22  # numbers held at once


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
    The null distribution is that of surveys of as many validation maps, which are nearest to each other in their
    parameters: `null_residuals` (realisations, n, f) or (n, f) are their whitened residuals at their true parameters
    `theta` (n, p), for some realisations of the noise. `mean_square` (terms,) are coefficients of the mean square of
    residuals as a function of the parameters: 1 where the correlation R is that of all parameters.
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
        """From (features (n, f), free parameters (n, p)) of training and of validation maps.

        Those of validation maps may be (realisations, n, f), with realisations of the noise of n maps.
        """
        model = FeatureModel.from_maps(*training, bounds, sizes)
        features, theta = validation
        residuals = np.array([model.residuals(one, theta) for one in features.reshape(-1, *features.shape[-2:])])
        square = np.mean(residuals**2, axis=(0, 2))
        design = regression.polynomial(theta, bounds, regression.SCATTER_DEGREE)
        mean_square = np.linalg.lstsq(design, square, rcond=None)[0]
        stored = residuals.astype(np.float32)
        return cls(**vars(model), null_residuals=stored, theta=theta, mean_square=mean_square)

    def judge(self, features: np.ndarray) -> Verdict:
        """Test of the features (patches, f) of a survey."""
        patches, mean = len(features), features.mean(axis=0)
        theta = profile_fit(self, mean[None], patches, best_start(self, mean, patches))
        statistics = self._statistics(mean[None], theta, patches, self._mean_squares(features[None], theta))

        null_theta, null = self.null_distribution(patches)
        low, high = self.bounds.T
        distance = np.sum(((null_theta - theta) / (high - low)) ** 2, axis=1)
        null = null[np.argsort(distance, kind="stable")[: max(1, round(MATCHED * len(null)))]]
        # two-sided: patches that are too much alike are as unlikely as those that differ too much
        middle = np.median(null[:, -1])
        statistics[:, -1], null[:, -1] = np.abs(statistics[:, -1] - middle), np.abs(null[:, -1] - middle)
        (p,), (p_values,) = _smallest_p_value(null, statistics)
        expected, sigma = (row[0] for row in self.mean_and_sigma(theta))
        pulls = (mean - expected) / (sigma * self.error(theta, patches)[0])
        return Verdict(p=float(p), tests=dict(zip(self.NAMES, p_values.tolist(), strict=True)), pulls=pulls)

    def null_distribution(self, patches: int) -> tuple[np.ndarray, np.ndarray]:
        """Best-fitting parameters (SURVEYS, p) and statistics (SURVEYS, 5) of surveys of so many validation maps."""
        if patches not in self._null_distributions:
            self._null_distributions[patches] = self._simulated(patches, np.random.default_rng(patches))
        return self._null_distributions[patches]

    @cached_property
    def _null_distributions(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _simulated(self, patches: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Surveys of validation maps as if all had the mean parameters of the survey's maps, through the test."""
        residuals = self.null_residuals.reshape(-1, *self.null_residuals.shape[-2:])
        members = self._neighbours(patches, rng)
        noise = rng.integers(0, len(residuals), members.shape)
        # in units of the scatter, not whitened: (realisations, n, f)
        standard = residuals @ np.linalg.inv(self.whiten).T
        theta = self.theta[members].mean(axis=1)
        mean, sigma = self.mean_and_sigma(theta)
        rows = max(1, CHUNK // (patches * residuals.shape[-1]))
        blocks = [slice(start, start + rows) for start in range(0, len(members), rows)]

        def maps(block: slice) -> np.ndarray:
            return mean[block, None] + sigma[block, None] * standard[noise[block], members[block]]

        means = np.concatenate([maps(block).mean(axis=1) for block in blocks])
        theta = profile_fit(self, means, patches, theta)
        squares = np.concatenate([self._mean_squares(maps(block), theta[block]) for block in blocks])
        return theta, self._statistics(means, theta, patches, squares)

    def _neighbours(self, patches: int, rng: np.random.Generator) -> np.ndarray:
        """Numbers of validation maps (SURVEYS, patches): some of those nearest to one of them."""
        low, high = self.bounds.T
        unit = (self.theta - low) / (high - low)
        window = min(len(unit), WINDOW * patches)
        members = np.empty((SURVEYS, patches), int)
        centres = rng.permutation(np.arange(SURVEYS) % len(unit))
        for row, centre in zip(members, centres, strict=True):
            distance = np.sum((unit - unit[centre]) ** 2, axis=1)
            nearest = np.argpartition(distance, window - 1)[:window]
            row[:] = rng.choice(nearest, patches, replace=window < WINDOW * patches)
        return members

    def _mean_squares(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Mean squares (n,) of the residuals of features (n, patches, f) at theta (n, p), over their expectation."""
        mean, sigma = self.mean_and_sigma(theta)
        residuals = ((features - mean[:, None]) / sigma[:, None]) @ self.whiten.T
        degree = regression.degree_of(len(self.mean_square), len(self.bounds))
        expected = regression.polynomial(theta, self.bounds, degree) @ self.mean_square
        return np.mean(residuals**2, axis=(1, 2)) / expected

    def _statistics(self, means: np.ndarray, theta: np.ndarray, patches: int, squares: np.ndarray) -> np.ndarray:
        """Statistics (n, 5) of NAMES, of mean features (n, f) at best-fitting theta (n, p), and `_mean_squares`."""
        residuals = self.residuals(means, theta) / self.error(theta, patches)[:, None]
        return np.column_stack([self.test_statistics(residuals, self.asymmetry_axis(theta)), squares])


def _smallest_p_value(null: np.ndarray, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p-values (m,) of the smallest p-value of all tests, and p-values (m, k) of each test.

    `null` (n, k) are test statistics of validation maps, or of surveys of them, `statistics` (m, k) those to be
    tested. Both p-values are ranks of what is tested among itself and the null distribution, so that they are never 0
    (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39). For the second rank each member of the null
    distribution has its own p-values in the same company: what is tested is one of those that may be beyond it. Left
    out, the smallest p-value would count as rarer than it is, with n = 500 and five tests by 0.01.
    """
    n = len(null)
    beyond = np.stack([_beyond(*pair) for pair in zip(null.T, statistics.T, strict=True)], axis=1)
    others = n - np.stack([rankdata(column, method="min") for column in null.T], axis=1).astype(int)
    fewest, fewest_null = beyond.min(axis=1), others.min(axis=1)
    rarer = np.searchsorted(np.sort(fewest_null), fewest, side="left")
    # a member with as few others beyond it is no rarer where what is tested is beyond it too
    alike = {count: others[fewest_null == count] == count for count in np.unique(fewest)}
    for row, count in enumerate(fewest):
        rarer[row] += np.any(alike[count] & (beyond[row] > count), axis=1).sum()
    return (1 + rarer) / (1 + n), (1 + beyond) / (1 + n)


def _beyond(null: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """How many of a null distribution (n,) are at least as large as statistics (m,); NaN is as large as any number."""
    ordered = np.sort(null)
    return len(null) - np.searchsorted(ordered, np.where(np.isnan(statistics), np.inf, statistics), side="left")

"""Profile fit of the mean features of surveys: least chi^2 over the parameters, many surveys at once.

Levenberg-Marquardt (Marquardt 1963, J. Soc. Ind. Appl. Math. 11, 431) with steps cut off at the edges of the prior box.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from cosmokeras.inference.feature_model import FeatureModel

MAX_RESIDUAL = 1e6  # of a survey, in sigma: maps may be anything, and squares must stay finite
START_POINTS = 64  # of the prior box, from the best of which the fit of an observed survey starts
STEPS = 12
FIRST_DAMPING, DAMPING_FACTOR = 1e-3, 10.0
DIFFERENCE = 1e-5  # of the box, for derivatives


def best_start(model: FeatureModel, mean: np.ndarray, patches: int) -> np.ndarray:
    """The point (1, p) of the box with the least chi^2 for mean features (f,), among START_POINTS."""
    low, high = model.bounds.T
    points = low + (high - low) * qmc.Sobol(len(low), rng=0).random(START_POINTS)
    chi2 = [np.sum(_residuals(model, mean[None], point[None], patches) ** 2) for point in points]
    return points[[int(np.argmin(chi2))]]


def profile_fit(model: FeatureModel, means: np.ndarray, patches: int, start: np.ndarray) -> np.ndarray:
    """Parameters (n, p) with the least chi^2 of mean features (n, f) of n surveys of so many patches, from a start."""
    low, high = model.bounds.T
    width, theta = high - low, np.clip(start, low, high)
    residuals = _residuals(model, means, theta, patches)
    chi2, damping = np.sum(residuals**2, axis=1), np.full(len(theta), FIRST_DAMPING)
    identity = np.eye(len(low))
    for _ in range(STEPS):
        jacobian = np.empty((*residuals.shape, len(low)))  # per width of the box
        for j, step in enumerate(DIFFERENCE * width * identity):
            above, below = np.minimum(theta + step, high), np.maximum(theta - step, low)
            change = _residuals(model, means, above, patches) - _residuals(model, means, below, patches)
            jacobian[..., j] = change / ((above - below)[:, [j]] / width[j])
        gradient = np.einsum("nfp,nf->np", jacobian, residuals)
        stuck = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
        jacobian, gradient = np.where(stuck[:, None], 0.0, jacobian), np.where(stuck, 0.0, gradient)
        hessian = np.einsum("nfp,nfq->npq", jacobian, jacobian)
        ridge = damping * np.einsum("npp->n", hessian) + 1e-12
        hessian += (ridge[:, None] + stuck)[:, None] * identity
        moved = np.clip(theta - np.linalg.solve(hessian, gradient[..., None])[..., 0] * width, low, high)
        tried = _residuals(model, means, moved, patches)
        less = np.sum(tried**2, axis=1)
        good = less <= chi2
        theta, residuals = np.where(good[:, None], moved, theta), np.where(good[:, None], tried, residuals)
        chi2 = np.where(good, less, chi2)
        damping = np.where(good, damping / DAMPING_FACTOR, damping * DAMPING_FACTOR)
    return theta


def _residuals(model: FeatureModel, means: np.ndarray, theta: np.ndarray, patches: int) -> np.ndarray:
    """Whitened residuals (n, f) of mean features in units of their errors."""
    residuals = model.residuals(means, theta) / model.error(theta, patches)[:, None]
    return np.clip(residuals, -MAX_RESIDUAL, MAX_RESIDUAL)

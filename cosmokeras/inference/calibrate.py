"""Calibration of a trained network on validation maps, which no gradient has seen.

Widths of its posteriors (temperature scaling), the synthetic likelihood of many patches (`combination`), and the null
distributions of the misspecification test (`misspecification`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from cosmokeras.dataset.pipeline import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.combination import Response
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.measures import Measures, kept_bands
from cosmokeras.inference.misspecification import MapReference, SurveyReference
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.observation.observer import Observer

REFERENCE_MAPS = 16384  # training maps, at most, for the features' mean and scatter: what is held in memory at once
NOISE_REALISATIONS = 6  # of each validation map for the synthetic likelihood
SEED = 2_000_003  # of the noise; none of these realisations was seen in training


def calibrate(estimator: Estimator, training: Split, validation: Split) -> Estimator:
    """The estimator with all that `posterior`, `surprise`, `judge` and `combine` need."""
    cfg = estimator.cfg
    observer = Observer(cfg)
    realisations = NOISE_REALISATIONS if cfg.kind.observed == "survey" else 1
    noisy = [observed(validation, observer, SEED + i) for i in range(realisations)]
    estimator = with_widths(estimator, noisy[0], validation)
    estimates = np.array([estimator.mean(maps) for maps in noisy])
    response = Response.fit(estimates, validation.theta, cfg.bounds)

    reference = training.head(REFERENCE_MAPS)
    maps = observed(reference, observer, SEED)
    measures = Measures.fit(maps, estimator.summaries(maps), kept_bands(cfg))
    estimator = replace(estimator, response=response, measures=measures)
    features, held_out = estimator.features(maps), estimator.features(noisy[0])
    sizes = measures.sizes
    single = (features, estimator.mean(maps)), (held_out, estimates[0])
    survey = (features, reference.theta), (held_out, validation.theta)
    return replace(
        estimator,
        reference=MapReference.fit(*single, estimator.bounds, sizes),
        survey_reference=SurveyReference.fit(*survey, cfg.bounds, sizes),
    )


def with_widths(estimator: Estimator, obs: np.ndarray, validation: Split) -> Estimator:
    """Errors of point estimates, from residuals on validation maps; stretch of mixtures where it is significant."""
    truth = validation.theta[:, estimator.cfg.target_columns]
    posterior = replace(estimator, errors=np.ones(truth.shape[1])).posterior(obs)  # mixtures have no use for errors
    if isinstance(posterior, PointPosterior):
        return replace(estimator, errors=np.sqrt(np.mean((posterior.mean() - truth) ** 2, axis=0)))
    return replace(estimator, stretch=needed_stretch(posterior, truth, validation.cosmology))


SIGNIFICANCE = 0.01  # probability of a stretch where none is needed (error of the first kind)


def needed_stretch(posterior: MixturePosterior, truth: np.ndarray, cosmology: np.ndarray) -> np.ndarray | None:
    """Maximum-likelihood factors (d,) for `MixturePosterior.stretched`, from the truth (n, d) of held-out maps.

    Temperature scaling (Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599) of each target. None where a
    likelihood-ratio test (Wilks 1938, Ann. Math. Stat. 9, 60) does not ask for it, in which maps of one cosmology count
    as one: a stretch that is not needed would only bring in the noise of the maps that it was measured on.
    """
    independent = len(np.unique(cosmology)) / len(truth)

    def negative_log_likelihood(log_factors: np.ndarray) -> float:
        return -float(np.sum(posterior.stretched(np.exp(log_factors)).log_prob(truth)))

    none = np.zeros(truth.shape[1])
    best = minimize(negative_log_likelihood, none, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
    ratio = 2 * independent * (negative_log_likelihood(none) - best.fun)
    return np.exp(best.x) if ratio > chi2.isf(SIGNIFICANCE, len(none)) else None

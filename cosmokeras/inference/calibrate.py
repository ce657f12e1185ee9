"""Calibration of a trained network on validation maps, which no gradient has seen.

Widths of its posteriors (temperature scaling), the synthetic likelihood of many patches (`combination`), and the null
distributions of the misspecification test (`misspecification`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from cosmokeras.dataset.observed import BATCH, observed_blocks
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.combination import Response
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.features import observed_features
from cosmokeras.inference.measures import Measures, kept_bands
from cosmokeras.inference.misspecification import MapReference, SurveyReference
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.inference.shapes import signal_weights, smoothed_channels
from cosmokeras.observation.ops.forward import Forward, forward_of

REFERENCE_MAPS = 16384  # training maps, at most, for the features' mean and scatter
NOISE_REALISATIONS = 6  # of each validation map: noise adds 1/6 of its variance to errors of the fitted mean
FEATURE_REALISATIONS = 3  # of them, of which features are measured: surveys of as many validation maps are less alike
SMOOTHED_BYTES = 2**30  # of smoothed training maps that are in memory together: 16384 of 4 bins and 64^2 pixels
SEED = 2_000_003  # of the noise; none of these realisations was seen in training


def calibrate(estimator: Estimator, training: Split, validation: Split, calibration: Split | None = None) -> Estimator:
    """The estimator with all that `posterior`, `surprise`, `judge` and `combine` need.

    Surveys of the null distribution of `judge` are put together of validation maps and, where there are any, of
    those of `calibration`: the more maps, the more such surveys share none.

    Maps go by in blocks and are not kept, but for the smoothed training maps of `fitted_measures`, for a while: memory
    is SMOOTHED_BYTES at most beside outputs and features, whose numbers are hundreds to a map.
    """
    cfg = estimator.cfg
    forward = forward_of(cfg)
    reference = training.head(REFERENCE_MAPS)
    measures = fitted_measures(estimator, reference, forward)
    estimator = replace(estimator, measures=measures)
    known, held_out = measured(estimator, reference, forward), measured(estimator, validation, forward)
    estimator = with_widths(estimator, held_out.outputs, validation)

    noisy = cfg.kind.observed == "survey"
    counts = (FEATURE_REALISATIONS, NOISE_REALISATIONS) if noisy else (1, 1)
    each = [held_out, *realisations_of(estimator, validation, forward, range(1, counts[0]))]
    more = observed_features(validation, forward, estimator.mean, [SEED + i for i in range(*counts)])
    estimates = np.array([*(estimator.posterior_from(one.outputs).mean() for one in each), *more])
    estimates_known = estimator.posterior_from(known.outputs).mean()
    features = np.array([one.features for one in each])
    own = np.concatenate(features), np.concatenate(estimates[: len(features)])
    single = (known.features, estimates_known), own
    null, null_theta = features, validation.theta
    if calibration is not None:
        others = realisations_of(estimator, calibration, forward, range(counts[0]))
        null = np.concatenate([features, [one.features for one in others]], axis=1)
        null_theta = np.concatenate([null_theta, calibration.theta])
    surveys = (known.features, reference.theta), (null, null_theta)
    return replace(
        estimator,
        response=Response.fit(estimates, validation.theta, cfg.bounds),
        reference=MapReference.fit(*single, estimator.bounds, measures.sizes),
        survey_reference=SurveyReference.fit(*surveys, cfg.bounds, measures.sizes),
    )


@dataclass(frozen=True)
class Measured:
    """Of all maps of a split: `outputs` (n, outputs) of the network's head, `features` (n, f)."""

    outputs: np.ndarray
    features: np.ndarray


def measured(estimator: Estimator, split: Split, forward: Forward, seed: int = SEED) -> Measured:
    """Outputs and features of the maps of a split, with the noise of a seed."""
    rows = [(estimator.outputs(maps), estimator.features(maps)) for maps in observed_blocks(split, forward, seed)]
    outputs, features = zip(*rows, strict=True)
    return Measured(outputs=np.concatenate(outputs), features=np.concatenate(features))


def realisations_of(estimator: Estimator, split: Split, forward: Forward, numbers: range) -> list[Measured]:
    """`measured` for each of some realisations of the noise."""
    return [measured(estimator, split, forward, SEED + number) for number in numbers]


def fitted_measures(estimator: Estimator, split: Split, forward: Forward) -> Measures:
    """Features whose weights and principal components are those of the maps of a split.

    Weights are those of as many of its first maps as SMOOTHED_BYTES hold, smoothed.
    """
    count = min(len(split), max(1, SMOOTHED_BYTES // (4 * estimator.channels * estimator.size**2)))
    smooth = np.empty((estimator.channels, count, estimator.size**2), np.float32)
    summaries: list[np.ndarray] = []
    for start, maps in zip(range(0, len(split), BATCH), observed_blocks(split, forward, SEED), strict=True):
        if start < count:
            smooth[:, start : start + len(maps)] = smoothed_channels(maps)[:, : count - start]
        summaries.append(estimator.summaries(maps))
    return Measures.fit(signal_weights(smooth), np.concatenate(summaries), kept_bands(estimator.cfg))


def with_widths(estimator: Estimator, outputs: np.ndarray, validation: Split) -> Estimator:
    """Errors of point estimates, from validation residuals; recalibration of mixtures where it is significant."""
    truth = validation.theta[:, estimator.cfg.target_columns]
    # mixtures have no use for errors
    posterior = replace(estimator, errors=np.ones(truth.shape[1])).posterior_from(outputs)
    if isinstance(posterior, PointPosterior):
        return replace(estimator, errors=np.sqrt(np.mean((posterior.mean() - truth) ** 2, axis=0)))
    return replace(estimator, stretch=recalibration_factors(posterior, truth, validation.cosmology))


SIGNIFICANCE = 0.01  # probability of a recalibration where none is needed (error of the first kind)


def recalibration_factors(posterior: MixturePosterior, truth: np.ndarray, cosmology: np.ndarray) -> np.ndarray | None:
    """Maximum-likelihood factors (d,) for `MixturePosterior.stretched`, from the truth (n, d) of held-out maps.

    Temperature scaling (Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599) of each target. None where a
    likelihood-ratio test (Wilks 1938, Ann. Math. Stat. 9, 60) finds it insignificant, in which maps of one cosmology
    count as one: an insignificant factor would only add the noise of the maps that it was measured on.
    """
    independent = len(np.unique(cosmology)) / len(truth)

    def negative_log_likelihood(log_factors: np.ndarray) -> float:
        return -float(np.sum(posterior.stretched(np.exp(log_factors)).log_prob(truth)))

    none = np.zeros(truth.shape[1])
    best = minimize(negative_log_likelihood, none, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
    ratio = 2 * independent * (negative_log_likelihood(none) - best.fun)
    return np.exp(best.x) if ratio > chi2.isf(SIGNIFICANCE, len(none)) else None

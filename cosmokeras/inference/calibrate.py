"""What an estimator learns after training: widths of posteriors, how patches combine, what is surprising."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosmokeras.dataset.pipeline import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.calibration import needed_stretch
from cosmokeras.inference.combination import Response
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.measures import Measures, kept_bands
from cosmokeras.inference.misspecification import MapReference, SurveyReference
from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.observation.observer import Observer

REFERENCE_MAPS = 16384  # training maps, at most, that define what features look like
DRAWS = 6  # noise draws of each validation map for the response
SEED = 2_000_003  # of the noise; none of these draws was seen in training


def calibrate(estimator: Estimator, training: Split, validation: Split) -> Estimator:
    """The estimator with all that `posterior`, `surprise` and `combine` need."""
    cfg = estimator.cfg
    observer = Observer(cfg)
    draws = [observed(validation, observer, SEED + i) for i in range(DRAWS if cfg.kind.observed == "survey" else 1)]
    estimator = with_widths(estimator, draws[0], validation)
    estimates = np.array([estimator.mean(draw) for draw in draws])
    response = Response.fit(estimates, validation.theta, cfg.bounds)

    known = training.head(REFERENCE_MAPS)
    maps = observed(known, observer, SEED)
    measures = Measures.fit(maps, estimator.summaries(maps), kept_bands(cfg))
    estimator = replace(estimator, response=response, measures=measures)
    features, held_out = estimator.features(maps), estimator.features(draws[0])
    sizes = measures.sizes
    single = (features, estimator.mean(maps)), (held_out, estimates[0])
    survey = (features, known.theta), (held_out, validation.theta)
    return replace(
        estimator,
        reference=MapReference.fit(*single, estimator.bounds, sizes),
        survey_reference=SurveyReference.fit(*survey, cfg.bounds, sizes),
    )


def with_widths(estimator: Estimator, obs: np.ndarray, validation: Split) -> Estimator:
    """Errors of the point head, from residuals on validation maps; other widths for the posterior head if needed."""
    truth = validation.theta[:, estimator.cfg.target_columns]
    if estimator.cfg.model.head == "mse":
        points = replace(estimator, errors=np.ones(truth.shape[1])).posterior(obs).mean()
        return replace(estimator, errors=np.sqrt(np.mean((points - truth) ** 2, axis=0)))
    posterior = estimator.posterior(obs)
    assert isinstance(posterior, MixturePosterior)  # of the other head
    return replace(estimator, stretch=needed_stretch(posterior, truth, validation.cosmology))

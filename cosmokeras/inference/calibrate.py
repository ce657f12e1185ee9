"""What an estimator learns after training: point errors, what is surprising, how patches combine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosmokeras.dataset.pipeline import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.combine import Response
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.surprise import Reference, features
from cosmokeras.observation import Observer

REFERENCE_MAPS = 4096  # training maps that define what features look like
DRAWS = 6  # noise draws of each validation map for the response
SEED = 2_000_003  # of the noise; none of these draws was seen in training


def calibrate(estimator: Estimator, training: Split, validation: Split) -> Estimator:
    """The estimator with all that `posterior`, `surprise` and `combine` need."""
    cfg = estimator.cfg
    observer = Observer(cfg)
    columns = cfg.target_columns
    draws = [observed(validation, observer, SEED + i) for i in range(DRAWS if cfg.kind.observed == "survey" else 1)]
    if cfg.model.head == "mse":
        # the errors that make the point head a posterior come from its own residuals
        points = replace(estimator, errors=np.ones(len(columns))).posterior(draws[0]).mean()
        errors = np.sqrt(np.mean((points - validation.theta[:, columns]) ** 2, axis=0))
        estimator = replace(estimator, errors=errors)
    estimates = np.array([estimator.mean(draw) for draw in draws])
    response = Response.fit(estimates, validation.theta, cfg.bounds)
    few = observed(training.head(REFERENCE_MAPS), observer, SEED)
    reference = Reference.fit(
        (features(few), estimator.mean(few)), (features(draws[0]), estimates[0]), estimator.bounds
    )
    return replace(estimator, reference=reference, response=response)

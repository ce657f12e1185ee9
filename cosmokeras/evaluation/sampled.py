"""What samples of the posteriors of many maps say, a block of maps at a time: the samples themselves are not kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.evaluation.diagnostics import TARP_SEED, ranks, tarp
from cosmokeras.inference.derived import with_s8
from cosmokeras.inference.estimator import Estimator

BLOCK = 2048  # maps whose samples are in memory together


@dataclass(frozen=True)
class Sampled:
    """Summaries of samples, (n, q) of the targets with S8 behind them where they have it; `count` samples of each map.

    `mean` and `std` of the samples, `below` the number of them below the truth; `credibility` (n,) of TARP.
    """

    mean: np.ndarray
    std: np.ndarray
    below: np.ndarray
    credibility: np.ndarray
    count: int


def sampled(est: Estimator, outputs: np.ndarray, truth: np.ndarray, count: int) -> Sampled:
    """Draw `count` samples of the posterior of each map and sum them up.

    Parameters
    ----------
    outputs : (n, k) of the network
    truth : (n, d) targets
    """
    parts = []
    for start in range(0, len(outputs), BLOCK):
        rows = slice(start, start + BLOCK)
        own = est.posterior_from(outputs[rows]).sample(count, seed=start)
        samples, true = with_s8(est.parameters, own), with_s8(est.parameters, truth[rows])
        credibility = tarp(own, truth[rows], est.bounds, TARP_SEED + start)
        parts.append((samples.mean(axis=1), samples.std(axis=1), ranks(samples, true), credibility))
    mean, std, below, credibility = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sampled(mean, std, below, credibility, count)

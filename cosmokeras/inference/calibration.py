"""Are the posteriors right? Coverage of central intervals, and TARP for all parameters together."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest


def coverage(pit: np.ndarray, level: float) -> np.ndarray:
    """Part of the maps whose truth lies inside the central interval of probability `level`.

    Parameters
    ----------
    pit : (n, d) marginal distribution function of each posterior at the truth
    """
    return np.mean(np.abs(pit - 0.5) < level / 2, axis=0)


def tarp(samples: np.ndarray, truth: np.ndarray, bounds: np.ndarray, seed: int = 5_000_011) -> np.ndarray:
    """Credibility of the region, centred on a random reference point, that reaches out to the truth.

    Uniform between 0 and 1 over many maps if the posteriors are right. Lemos, Coogan, Hezaveh & Perreault-Levasseur
    2023, "Sampling-based accuracy testing of posterior estimators" (arXiv:2302.03026), algorithm 2.

    Parameters
    ----------
    samples : (n, s, d); truth : (n, d); bounds : (d, 2), for references and units

    Returns
    -------
    (n,)
    """
    low, high = bounds.T
    reference = np.random.default_rng(seed).random(truth.shape)
    unit_samples, unit_truth = (samples - low) / (high - low), (truth - low) / (high - low)
    near = np.linalg.norm(unit_samples - reference[:, None], axis=-1)
    return np.mean(near < np.linalg.norm(unit_truth - reference, axis=-1)[:, None], axis=1)


def tarp_p_value(credibility: np.ndarray, cosmology: np.ndarray) -> float:
    """Kolmogorov-Smirnov p-value that TARP credibilities are uniform.

    Maps of one cosmology share their truth and are not independent: the first of each counts.
    """
    first = np.unique(cosmology, return_index=True)[1]
    return float(kstest(credibility[first], "uniform").pvalue)

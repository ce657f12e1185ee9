"""Diagnostics of posteriors: coverage of central intervals, simulation-based calibration (SBC) and TARP.

SBC: Talts et al. 2018, arXiv:1804.06788. TARP: Lemos et al. 2023, arXiv:2302.03026. Coverage and SBC test marginals,
TARP the joint posterior.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare, kstest

TARP_SEED = 5_000_011  # of the reference points


def coverage(pit: np.ndarray, level: float) -> np.ndarray:
    """Empirical coverage (d,): part of the maps whose truth lies inside the central interval of probability `level`.

    Parameters
    ----------
    pit : (n, d) probability integral transform: marginal distribution function of each posterior at the truth
    """
    return np.mean(np.abs(pit - 0.5) < level / 2, axis=0)


def tarp(samples: np.ndarray, truth: np.ndarray, bounds: np.ndarray, seed: int = TARP_SEED) -> np.ndarray:
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
    distance = np.linalg.norm(unit_samples - reference[:, None], axis=-1)
    return np.mean(distance < np.linalg.norm(unit_truth - reference, axis=-1)[:, None], axis=1)


def tarp_p_value(credibility: np.ndarray, cosmology: np.ndarray) -> float:
    """Kolmogorov-Smirnov p-value that TARP credibilities are uniform.

    Maps of one cosmology share their truth and are not independent: the first of each counts.
    """
    first = np.unique(cosmology, return_index=True)[1]
    return float(kstest(credibility[first], "uniform").pvalue)


def ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """SBC rank statistics (n, d): numbers of samples (n, s, d) below the truth (n, d).

    Uniform from 0 to s over many maps if the posteriors are right. Talts, Betancourt, Simpson, Vehtari & Gelman 2018,
    "Validating Bayesian inference algorithms with simulation-based calibration" (arXiv:1804.06788), theorem 1.
    """
    return np.sum(samples < truth[:, None], axis=1)


def rank_test(
    statistics: np.ndarray, count: int, cosmology: np.ndarray, bins: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's chi^2 test that ranks (n, d) from 0 to `count` are uniform: chi^2 (d,) and p-values (d,).

    Chi^2 has `bins` - 1 degrees of freedom.

    Maps of one cosmology share their truth and are not independent: the first of each counts.
    """
    first = np.unique(cosmology, return_index=True)[1]
    which = statistics[first] * bins // (count + 1)
    expected = np.bincount(np.arange(count + 1) * bins // (count + 1), minlength=bins) / (count + 1) * len(first)
    tests = [chisquare(np.bincount(column, minlength=bins), expected) for column in which.T]
    return np.array([test.statistic for test in tests]), np.array([test.pvalue for test in tests])

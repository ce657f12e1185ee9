"""Are the posteriors right? Coverage of central intervals, ranks, and TARP for all parameters together.

And what to do where they are not: a stretch of all posteriors that validation maps ask for.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2, chisquare, kstest

from cosmokeras.inference.posterior import MixturePosterior

SIGNIFICANT = 0.01  # chance of a stretch where none is needed


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


def ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Numbers of samples (n, s, d) below the truth (n, d), (n, d).

    Uniform from 0 to s over many maps if the posteriors are right. Talts, Betancourt, Simpson, Vehtari & Gelman 2018,
    "Validating Bayesian inference algorithms with simulation-based calibration" (arXiv:1804.06788), theorem 1.
    """
    return np.sum(samples < truth[:, None], axis=1)


def rank_test(found: np.ndarray, most: int, cosmology: np.ndarray, bins: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Chi^2 (d,), of `bins` - 1 degrees of freedom, and p-values (d,) that ranks (n, d) from 0 to `most` are uniform.

    Maps of one cosmology share their truth and are not independent: the first of each counts.
    """
    first = np.unique(cosmology, return_index=True)[1]
    which = found[first] * bins // (most + 1)
    expected = np.bincount(np.arange(most + 1) * bins // (most + 1), minlength=bins) / (most + 1) * len(first)
    tests = [chisquare(np.bincount(column, minlength=bins), expected) for column in which.T]
    return np.array([test.statistic for test in tests]), np.array([test.pvalue for test in tests])


def needed_stretch(posterior: MixturePosterior, truth: np.ndarray, cosmology: np.ndarray) -> np.ndarray | None:
    """Factors (d,) for `MixturePosterior.stretched` that make the truth (n, d) of held-out maps most likely.

    None where the gain may be chance (a likelihood-ratio test; maps of one cosmology count as one): a stretch that is
    not needed would only bring in the noise of the maps that it was measured on. Known as temperature scaling (Guo,
    Pleiss, Sun & Weinberger 2017, arXiv:1706.04599).
    """
    independent = len(np.unique(cosmology)) / len(truth)

    def surprisal(log_factors: np.ndarray) -> float:
        return -float(np.sum(posterior.stretched(np.exp(log_factors)).log_prob(truth)))

    none = np.zeros(truth.shape[1])
    best = minimize(surprisal, none, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
    gain = 2 * independent * (surprisal(none) - best.fun)
    return np.exp(best.x) if gain > chi2.isf(SIGNIFICANT, len(none)) else None

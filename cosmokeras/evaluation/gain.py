"""Gain: ratio of the rms errors of a baseline and of the network, or of figures of merit, with its bootstrap error.

Block bootstrap over cosmologies (Efron 1979, Ann. Stat. 7, 1).
"""

from __future__ import annotations

import numpy as np

HELD = 2**20  # numbers of a part of the resamples that are in memory together
RESAMPLES = 1000  # a standard deviation is known to 1 / sqrt(2 * 1000) = 2.2 %


def gain(
    reference: np.ndarray, network: np.ndarray, cosmology: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Ratio (q,) of two rms errors, and its standard deviation (q,) by the bootstrap.

    Cosmologies are resampled and not maps: maps of one cosmology share their truth, and with it much of their error.
    Both errors are those of the same resamples (paired), since a hard set of maps is hard for both.

    Parameters
    ----------
    reference, network : (n, q) errors of the estimates of the same maps
    cosmology : (n,) whose map it is
    """
    which = np.unique(cosmology, return_inverse=True)[1]
    squares = [_sums(errors**2, which) for errors in (reference, network)]
    first, second = _resampled(squares, seed, resamples)
    ratios = np.sqrt(first / second)
    return np.sqrt(squares[0].sum(axis=0) / squares[1].sum(axis=0)), ratios.std(axis=0)


def merit_gain(
    reference: np.ndarray, network: np.ndarray, cosmology: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Ratio of the network's figure of merit to that of a reference, and its standard deviation by the bootstrap.

    The figure is 1 / sqrt(det C), C the mean products of two errors; arguments are those of `gain`, errors (n, 2).
    """
    which = np.unique(cosmology, return_inverse=True)[1]
    products = [_sums(np.stack([e[:, 0] ** 2, e[:, 1] ** 2, e[:, 0] * e[:, 1]], axis=1), which)
                for e in (reference, network)]  # fmt: skip
    sums = [
        np.vstack([one.sum(axis=0), again])
        for one, again in zip(products, _resampled(products, seed, resamples), strict=True)
    ]
    determinants = [one[:, 0] * one[:, 1] - one[:, 2] ** 2 for one in sums]
    fine = (determinants[0] > 0) & (determinants[1] > 0)  # not so where a resample is one map again and again
    ratios = np.sqrt(determinants[0][fine] / determinants[1][fine])
    return float(ratios[0]), float(ratios[1:].std())


def _resampled(sums: list[np.ndarray], seed: int, resamples: int) -> list[np.ndarray]:
    """Sums over all cosmologies of each resample, (resamples, q), from those of each cosmology (cosmologies, q)."""
    count, rng, out = len(sums[0]), np.random.default_rng(seed), []
    part = max(1, HELD // count)
    for start in range(0, resamples, part):
        times = rng.multinomial(count, np.full(count, 1 / count), min(part, resamples - start)).astype(float)
        out.append([times @ one for one in sums])
    return [np.concatenate(each) for each in zip(*out, strict=True)]


def _sums(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Sums of values (n, q) over the maps of each cosmology, (cosmologies, q)."""
    return np.array([np.bincount(which, column) for column in values.T]).T

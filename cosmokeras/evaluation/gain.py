"""Gain: ratio of the rms errors of a baseline and of the network, with its bootstrap error.

Block bootstrap over cosmologies (Efron 1979, Ann. Stat. 7, 1).
"""

from __future__ import annotations

import numpy as np

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
    count = len(squares[0])
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples).astype(float)
    ratios = np.sqrt((times @ squares[0]) / (times @ squares[1]))
    return np.sqrt(squares[0].sum(axis=0) / squares[1].sum(axis=0)), ratios.std(axis=0)


def _sums(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Sums of values (n, q) over the maps of each cosmology, (cosmologies, q)."""
    return np.array([np.bincount(which, column) for column in values.T]).T

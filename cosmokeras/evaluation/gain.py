"""How much smaller the network's error is than that of others, and how well the test maps tell it."""

from __future__ import annotations

import numpy as np

DRAWS = 1000


def gain(
    reference: np.ndarray, network: np.ndarray, cosmology: np.ndarray, seed: int = 0, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Ratio (q,) of two rms errors, and its standard deviation (q,) by the bootstrap (Efron 1979, Ann. Stat. 7, 1).

    Cosmologies are drawn again and not maps: maps of one cosmology share their truth, and with it much of their error.
    Both errors are those of the same draws, since a hard set of maps is hard for both.

    Parameters
    ----------
    reference, network : (n, q) errors of the estimates of the same maps
    cosmology : (n,) whose map it is
    """
    which = np.unique(cosmology, return_inverse=True)[1]
    squares = [_sums(errors**2, which) for errors in (reference, network)]
    count = len(squares[0])
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws).astype(float)
    ratios = np.sqrt((times @ squares[0]) / (times @ squares[1]))
    return np.sqrt(squares[0].sum(axis=0) / squares[1].sum(axis=0)), ratios.std(axis=0)


def _sums(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Sums of values (n, q) over the maps of each cosmology, (cosmologies, q)."""
    return np.array([np.bincount(which, column) for column in values.T]).T

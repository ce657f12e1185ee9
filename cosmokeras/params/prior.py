"""Samples of the prior box, by a Sobol sequence (1967, USSR Comput. Math. Math. Phys. 7, 86)."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.params import checked
from cosmokeras.params.config import Config


def sample_prior(cfg: Config, n: int, seed: int) -> np.ndarray:
    """Sample `n` cosmologies from the prior box, shape (n, p) float64, columns `cfg.parameter_names`.

    Scrambled as in scipy.stats.qmc (Matousek 1998, J. Complexity 14, 527): every sample is uniform in the box, and
    together they fill it evenly.
    """
    from scipy.stats import qmc  # takes a second, which the processes that make maps do without

    names = checked.checked_config(cfg).parameter_names
    n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
    sampler = qmc.Sobol(d=len(names), scramble=True, rng=np.random.default_rng(seed))
    # powers of two keep the sequence balanced; the rest is thrown away
    unit = sampler.random_base2((n - 1).bit_length())[:n]
    low, high = cfg.bounds.T
    return low + (high - low) * unit

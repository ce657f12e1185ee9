"""Where training maps come from: kept on disk, or simulated when they are asked for.

A source is a function of a step number, counted from the first step of the first epoch, and of the part of a batch that
is asked for. It gives noise-free maps (n, size, size, channels), parameters (n, p) and numbers (n,) of that part, the
same for the same seed, whoever asks. A kept map has its number for good; fresh ones are numbered one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.dataset.shards import Split
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.simulators import SPLITS, realisations, simulator

Source = Callable[[int, slice], tuple[np.ndarray, np.ndarray, np.ndarray]]
ALL = slice(None)


def kept_maps(split: Split, batch: int, seed: int) -> Source:
    """The maps of a split in a fresh order in each epoch of len(split) // batch steps.

    The maps left over when `batch` does not divide their number are the last of the order: others in each epoch.
    """
    batch, seed = arguments.whole("batch", batch, 1, len(split)), arguments.whole("seed", seed)
    steps = len(split) // batch

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng(np.random.SeedSequence([seed, epoch])).permutation(len(split))

    def read(step: int, share: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, i = divmod(step, steps)
        indices = order(epoch)[i * batch : (i + 1) * batch][share]
        return split.stored(indices), split.theta[indices], indices

    return read


def fresh_maps(cfg: Config, batch: int, seed: int) -> Source:
    """New maps of new cosmologies at every step, none of them ever seen twice or kept.

    The parameters of a batch are a Latin hypercube (McKay et al. 1979, Technometrics 21, 239): each is uniform over the
    prior, and together they fill it evenly, which takes noise out of the gradient.
    """
    batch, seed = arguments.whole("batch", batch, 1), arguments.whole("seed", seed)
    module = simulator(checked.checked_config(cfg).data.kind)
    prepared = module.prepare(cfg)
    low, high = cfg.bounds.T

    def read(step: int, share: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS["fresh"], step]))
        shape = (batch, len(low))
        cells = rng.permuted(np.tile(np.arange(batch)[:, None], (1, shape[1])), axis=0)
        theta = low + (high - low) * (cells + rng.random(shape)) / batch
        draw = realisations(seed, SPLITS["fresh"], step)
        rows = range(batch)[share]
        maps = [module.maps(cfg, prepared, theta[i], lambda _, i=i: draw(i), 1) for i in rows]
        return np.concatenate(maps), theta[share], step * batch + np.array(rows)

    return read

"""Observed maps from arrays in memory: noise and mask for simulated maps, the last steps for real ones."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.observation.ops.blocks import in_blocks
from cosmokeras.observation.ops.counters import pick, rows
from cosmokeras.observation.ops.forward import Forward, forward_of
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.params import checked
from cosmokeras.params.config import Config


def observe(cfg: Config, maps: np.ndarray, seed: int, batch: int = 256) -> np.ndarray:
    """Observed maps from noise-free ones: noise, mask, smoothing, scaling.

    Parameters
    ----------
    maps : (n, size, size, channels) noise-free maps in physical units
    seed : of noise and mask choice, 0 or more
    batch : largest number of maps observed at once; no effect on the result except for rounding

    Returns
    -------
    (n, size, size, channels) float32; `lensing`: in units of the noise of a fully covered pixel, one fixed scale per
    bin; `grf`: each map in units of its own standard deviation; `2lpt`: the density contrast as it is
    """
    maps = checked.maps(cfg, maps, varied=checked.checked_config(cfg).kind.observed == "standardised")
    seed, batch = arguments.whole("seed", seed, most=arguments.LARGEST), arguments.whole("batch", batch, 1)
    return observed_by(forward_of(cfg), maps, seed, most=batch)


def observed_by(
    forward: Forward, maps: np.ndarray, seed: int, first: int = 0, most: int = 256, which: np.ndarray | None = None
) -> np.ndarray:
    """Maps (n, size, size, channels) with masks and noise of `seed`, those of the maps from number `first` on.

    `most` maps are observed at once, or fewer; `which` (n,): masks that are not drawn.
    """
    picked, keys = drawn(forward, seed, first, len(maps))
    which = picked if which is None else which
    return in_blocks(forward.still, (maps, which, keys), most)


def survey_maps(
    forward: Forward, maps: np.ndarray, seed: int, which: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A survey's coverage (n, size, size) and noisy maps (n, size, size, channels), before the last steps.

    `which` (n,): masks that are not drawn.
    """
    picked, keys = drawn(forward, seed, 0, len(maps))
    which = picked if which is None else which
    return forward.coverage[which], in_blocks(forward.unfinished, (maps, which, keys))


def drawn(forward: Forward, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask (count,) and keys (count, 3) of maps that are numbered from `first` on."""
    return pick(seed, np.arange(first, first + count), forward.masks), rows(seed, 0, count, first)


def finished(last: LastSteps, maps: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Real maps (n, size, size, channels), noise included, behind coverage (n, size, size): the last steps alone."""
    return in_blocks(last.whole, (maps.astype(np.float32, copy=False), last.used(coverage)))

"""What the peers in `benchmarks.npe` have in common: observed maps as their users have them, and the size of a CNN.

The CNN is the plain one: five convolutions of 3 x 3 pixels, each followed by an activation and a pooling of 2 x 2, with
as many filters as our network, then two dense layers. With the flow behind it, it has about as many weights as ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.npe_trial import Task, targets
from cosmokeras.params.config import Config

CORES = 2
HIDDEN, SUMMARY = 256, 64  # units of the dense layers


def widths(cfg: Config) -> list[int]:
    """Filters of the five convolutions."""
    return [cfg.model.width * n for n in (1, 2, 4, 4, 4)]


@dataclass(frozen=True)
class Observed:
    """Training maps (n, size, size, channels) and parameters (n, d) of all draws, those for gradients first.

    `split` is how many those are; maps are standardised by the `mean` and `deviation` of each channel over them. The
    watched maps, `watch` and `watch_theta`, take no part in training.
    """

    maps: np.ndarray
    theta: np.ndarray
    split: int
    mean: np.ndarray
    deviation: np.ndarray
    watch: np.ndarray
    watch_theta: np.ndarray

    def scaled(self, obs: np.ndarray) -> np.ndarray:
        """Standardised maps."""
        return (obs - self.mean) / self.deviation


def observed(task: Task) -> Observed:
    """The maps of a task; all draws of a map are on the same side of the split."""
    cfg, parts = task.config(), (slice(task.split), slice(task.split, task.count))
    draws = [task.array(f"obs-{draw}") for draw in range(task.draws)]
    theta = targets(cfg, task.array("theta")).astype(np.float32)
    maps = np.concatenate([draw[part] for part in parts for draw in draws])
    split = task.split * task.draws
    mean, deviation = maps[:split].mean(axis=(0, 1, 2)), maps[:split].std(axis=(0, 1, 2))
    maps -= mean
    maps /= deviation
    watch = (task.array("watch") - mean) / deviation
    return Observed(
        maps=maps,
        theta=np.concatenate([np.tile(theta[part], (task.draws, 1)) for part in parts]),
        split=split,
        mean=mean,
        deviation=deviation,
        watch=watch,
        watch_theta=targets(cfg, task.array("watch_theta")),
    )

"""What `fit` reads: batches made by the host alongside the steps, on any backend, in order and from any step on.

A batch is a function of the number of its step. The host reads noise-free maps, and says with which mask and which
random numbers they are to be observed; that is done in the step itself, on the device, by `observation.ops`. For
TensorFlow tf.data makes the batches, which shares them among devices; for JAX and torch threads do, without TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cosmokeras.common.in_order import in_order
from cosmokeras.dataset.batches import ALL, Source
from cosmokeras.dataset.masks import mask_numbers
from cosmokeras.dataset.shards import Split
from cosmokeras.observation.ops.counters import pick, rows

if TYPE_CHECKING:
    import tensorflow as tf

Encode = Callable[[np.ndarray], np.ndarray]  # parameters (n, p) -> what a network is to predict, (n, d) float32
Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]  # signal (n, size, size, channels), masks (n,), keys (n, 3)
Read = Callable[[int], tuple[Inputs, np.ndarray]]  # step -> inputs and what is to be predicted
AHEAD = min(16, max(2, len(os.sched_getaffinity(0))))  # batches that are made at once, where there are cores for it
WAITING = 4  # batches that are ready, at most


def training_batches(
    source: Source, encode: Encode, seed: int, masks: int, batch: int, share: slice = ALL, of: Split | None = None
) -> Read:
    """Batches of a source by step; of each only the part `share` is read.

    `masks` is how many there are to choose from; a map that is kept has the same at every step, that which the split
    `of` gives it where there is one.
    """
    own = range(batch)[share]

    def read(step: int) -> tuple[Inputs, np.ndarray]:
        maps, theta, numbers = source(step, share)
        which = pick(seed, numbers, masks) if of is None else mask_numbers(of, seed, numbers, masks)
        return (maps, which, rows(seed, step, len(own), own[0])), encode(theta)

    return read


def fixed_batches(split: Split, targets: np.ndarray, seed: int, masks: int, batch: int, share: slice = ALL) -> Read:
    """Batches of all maps of a split in order, each with the noise of its number: the same at every pass."""
    own = range(batch)[share]

    def read(step: int) -> tuple[Inputs, np.ndarray]:
        first = step * batch + own[0]
        numbers = np.arange(first, min(first + len(own), len(split)))
        which = mask_numbers(split, seed, numbers, masks)
        inputs = split.stored(numbers), which, rows(seed, 0, len(numbers), first)
        return inputs, targets[numbers]

    return read


def endless(read: Read, start: int) -> Any:
    """Batches from step `start` on, for `fit` with `steps_per_epoch`."""
    if keras.backend.backend() == "tensorflow":
        return _tensorflow(read, start, 2**62)
    return in_order(read, count(start), WAITING, AHEAD)  # reading and NumPy leave the interpreter to other threads


def finite(read: Read, steps: int) -> Any:
    """Batches 0 to `steps` - 1, of one size, at every pass anew."""
    return _tensorflow(read, 0, steps) if keras.backend.backend() == "tensorflow" else _Passes(read, steps)


class _Passes(keras.utils.PyDataset):
    """Batches by number."""

    def __init__(self, read: Read, steps: int) -> None:
        super().__init__(workers=1)  # in the thread that asks
        self.read, self.steps = read, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Inputs, np.ndarray]:
        return self.read(step)


def _tensorflow(read: Read, start: int, stop: int) -> tf.data.Dataset:
    import tensorflow as tf

    def flat(step: np.int64) -> list[np.ndarray]:
        inputs, y = read(int(step))
        return [*inputs, y]

    like = flat(np.int64(start))

    def load(step: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        found = tf.numpy_function(flat, [step], [one.dtype for one in like], stateful=False)
        *inputs, y = (tf.ensure_shape(one, known.shape) for one, known in zip(found, like, strict=True))
        return tuple(inputs), y

    data = tf.data.Dataset.range(start, stop).map(load, num_parallel_calls=AHEAD, deterministic=True)
    return data.with_options(stream_options()).prefetch(WAITING)


def stream_options() -> tf.data.Options:
    """For every stream: in order, whole on each device, and nothing tuned while it runs."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    # all numbers are set above; and whoever is done with a stream waits until autotuning wakes up, which sleeps for
    # 0.01 s, 0.02 s, 0.04 s, ... (up to seconds at the end of each epoch)
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options

"""tf.data: shards -> augmented, observed batches. The stream is a pure function of (seed, epoch, step).

Which maps a batch holds, how they are turned and what noise they get follows from three integers. So one device, many
devices and a resumed run see the same batches, and a run can be taken up at any step without reading what came before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.config import Config
from cosmokeras.dataset.shards import Split
from cosmokeras.dataset.sources import Source
from cosmokeras.observation import Observer

if TYPE_CHECKING:
    import tensorflow as tf

Encode = Callable[[np.ndarray], np.ndarray]  # parameters (n, p) -> what a network is to predict, (n, d) float32
ALL = slice(None)
NOISE_BATCH = 256  # maps of a split that draw their noise together
AHEAD = min(16, max(2, len(os.sched_getaffinity(0))))  # batches that are made at once, where there are cores for it


def training_stream(
    cfg: Config, source: Source, encode: Encode, observer: Observer, batch: int, start: int = 0, share: slice = ALL
) -> tf.data.Dataset:
    """Endless batches (maps, targets) of a source from step `start` on; of each, the part `share` is given out.

    The whole batch is observed all the same, so that noise does not depend on who shares it.
    """
    import tensorflow as tf

    def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps, theta = source(int(step))
        return maps, encode(theta)

    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps, y = tf.numpy_function(read, [step], (tf.float32, tf.float32), stateful=False)
        maps = tf.ensure_shape(maps, (batch, observer.size, observer.size, observer.channels))
        seed = tf.stack([tf.constant(cfg.train.seed, tf.int64), step])
        turn, noise = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        maps = observer(augment(maps, turn, cfg.periodic), noise)
        return maps[share], tf.ensure_shape(y, (batch, len(cfg.targets)))[share]

    data = tf.data.Dataset.range(start, 2**62).map(load, num_parallel_calls=AHEAD, deterministic=True)
    return data.with_options(stream_options()).prefetch(4)


def fixed_stream(
    split: Split, targets: np.ndarray, observer: Observer, seed: int, batch: int = NOISE_BATCH, share: slice = ALL
) -> tf.data.Dataset:
    """All maps once, in order, with the noise of `seed`: the same at every pass and for any size of the batches."""
    import tensorflow as tf

    def read(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = int(start)
        indices = np.arange(first, min(first + NOISE_BATCH, len(split)))
        return split.read(indices), targets[indices]

    def load(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps, y = tf.numpy_function(read, [start], (tf.float32, tf.float32), stateful=False)
        maps = tf.ensure_shape(maps, (None, observer.size, observer.size, observer.channels))
        noise = tf.stack([tf.constant(seed, tf.int64), start])
        return observer(maps, noise), tf.ensure_shape(y, (None, targets.shape[1]))

    data = tf.data.Dataset.range(0, len(split), NOISE_BATCH).map(load, num_parallel_calls=2, deterministic=True)
    if (batch, share) != (NOISE_BATCH, ALL):
        data = data.rebatch(batch).map(lambda maps, y: (maps[share], y[share]))
    data = data.apply(tf.data.experimental.assert_cardinality(-(-len(split) // batch)))
    return data.with_options(stream_options()).prefetch(2)


def observed(split: Split, observer: Observer, seed: int) -> np.ndarray:
    """All maps of a split with the noise of `seed`, in memory, (n, size, size, channels)."""
    nothing = np.zeros((len(split), 1), np.float32)
    return np.concatenate([maps.numpy() for maps, _ in fixed_stream(split, nothing, observer, seed)])


def augment(maps: tf.Tensor, seed: tf.Tensor, periodic: bool) -> tf.Tensor:
    """Turn each square map by a random symmetry of the square; shift periodic ones by any number of pixels."""
    import tensorflow as tf

    n, size = tf.shape(maps)[0], maps.shape[1]
    flips = tf.random.stateless_uniform([3, n, 1, 1, 1], seed, alg="philox") < 0.5
    maps = tf.where(flips[0], tf.reverse(maps, [1]), maps)
    maps = tf.where(flips[1], tf.reverse(maps, [2]), maps)
    maps = tf.where(flips[2], tf.transpose(maps, (0, 2, 1, 3)), maps)
    if periodic:
        shift = tf.random.stateless_uniform([2, n, 1], seed + 1, 0, size, tf.int32, alg="philox")
        index = (tf.range(size)[None, None] + shift) % size
        maps = tf.gather(maps, index[0], axis=1, batch_dims=1)
        maps = tf.gather(maps, index[1], axis=2, batch_dims=1)
    return maps


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

"""tf.data: shards -> augmented, observed batches. The stream is a pure function of (seed, epoch, step).

Which maps a batch holds, how they are turned and what noise they get follows from three integers. So one device, many
devices and a resumed run see the same batches, and a run can be taken up at any step without reading what came before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.dataset.batches import ALL, Source
from cosmokeras.dataset.shards import Split
from cosmokeras.observation.observer import Observer
from cosmokeras.observation.random_rows import integer_rows, uniform_rows
from cosmokeras.params.config import Config

if TYPE_CHECKING:
    import tensorflow as tf

Encode = Callable[[np.ndarray], np.ndarray]  # parameters (n, p) -> what a network is to predict, (n, d) float32
BATCH = 256  # maps of a split that are handed out together
BLOCK = 64  # of these, maps that are observed at once: their Fourier transforms take 4 MB for each map of 64^2 pixels
AHEAD = min(16, max(2, len(os.sched_getaffinity(0))))  # batches that are made at once, where there are cores for it


def training_stream(
    cfg: Config, source: Source, encode: Encode, observer: Observer, batch: int, start: int = 0, share: slice = ALL
) -> tf.data.Dataset:
    """Endless batches (maps, targets) of a source from step `start` on; of each only the part `share` is made."""
    import tensorflow as tf

    rows = range(batch)[share]

    def read(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps, theta = source(int(step), share)
        return maps, encode(theta)

    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps, y = tf.numpy_function(read, [step], (tf.float32, tf.float32), stateful=False)
        maps = tf.ensure_shape(maps, (len(rows), observer.size, observer.size, observer.channels))
        seed = tf.stack([tf.constant(cfg.train.seed, tf.int64), step])
        turn, noise = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        maps = observer(augment(maps, turn, cfg.periodic, rows[0]), noise, rows[0])
        return maps, tf.ensure_shape(y, (len(rows), len(cfg.targets)))

    data = tf.data.Dataset.range(start, 2**62).map(load, num_parallel_calls=AHEAD, deterministic=True)
    return data.with_options(stream_options()).prefetch(4)


def fixed_stream(
    split: Split, targets: np.ndarray, observer: Observer, seed: int, batch: int = BATCH, share: slice = ALL
) -> tf.data.Dataset:
    """All maps once, in order, with the noise of `seed`: the same at every pass and for any size of the batches.

    Of each batch only the part `share` is made.
    """
    import tensorflow as tf

    size = len(range(batch)[share])
    parts = [range(len(split))[i : i + batch][share] for i in range(0, len(split), batch)]
    blocks = [part[i : i + BLOCK] for part in parts for i in range(0, len(part), BLOCK)]

    def read(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        indices = np.arange(int(start), int(stop))
        return split.read(indices), targets[indices]

    def load(start: tf.Tensor, stop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps, y = tf.numpy_function(read, [start, stop], (tf.float32, tf.float32), stateful=False)
        maps = tf.ensure_shape(maps, (None, observer.size, observer.size, observer.channels))
        noise = tf.constant([seed, 0], tf.int64)
        return observer(maps, noise, start), tf.ensure_shape(y, (None, targets.shape[1]))

    limits = np.array([(block.start, block.stop) for block in blocks])
    data = tf.data.Dataset.from_tensor_slices((limits[:, 0], limits[:, 1]))
    data = data.map(load, num_parallel_calls=2, deterministic=True).rebatch(size)
    data = data.apply(tf.data.experimental.assert_cardinality(-(-sum(map(len, parts)) // size)))
    return data.with_options(stream_options()).prefetch(2)


def observed_blocks(split: Split, observer: Observer, seed: int) -> Iterator[np.ndarray]:
    """All maps of a split with the noise of `seed`, in order, as blocks (BATCH, size, size, channels)."""
    nothing = np.zeros((len(split), 1), np.float32)
    return (maps.numpy() for maps, _ in fixed_stream(split, nothing, observer, seed))


def observed(split: Split, observer: Observer, seed: int) -> np.ndarray:
    """The same in memory, (n, size, size, channels)."""
    out, start = np.empty((len(split), observer.size, observer.size, observer.channels), np.float32), 0
    for maps in observed_blocks(split, observer, seed):
        out[start : start + len(maps)] = maps
        start += len(maps)
    return out


def augment(maps: tf.Tensor, seed: tf.Tensor, periodic: bool, first: tf.Tensor | int = 0) -> tf.Tensor:
    """Turn each square map by a random symmetry of the square; shift periodic ones by any number of pixels.

    `first` is the place of the first map in its batch.
    """
    import tensorflow as tf

    n, size = tf.shape(maps)[0], maps.shape[1]
    flips = uniform_rows(seed, first, n, (3, 1, 1, 1)) < 0.5
    maps = tf.where(flips[:, 0], tf.reverse(maps, [1]), maps)
    maps = tf.where(flips[:, 1], tf.reverse(maps, [2]), maps)
    maps = tf.where(flips[:, 2], tf.transpose(maps, (0, 2, 1, 3)), maps)
    if periodic:
        index = (tf.range(size) + integer_rows(seed + 1, first, n, (2, 1), size)) % size
        maps = tf.gather(maps, index[:, 0], axis=1, batch_dims=1)
        maps = tf.gather(maps, index[:, 1], axis=2, batch_dims=1)
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

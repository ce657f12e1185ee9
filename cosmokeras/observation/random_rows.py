"""Counter-based random numbers by rows: those of row i follow from the seed and i alone, in batches of any size.

So a map has the same noise in every batch, and of several processes each generates its own part of a batch. The Philox
generator (Salmon et al. 2011, SC'11, doi:10.1145/2063384.2063405) counts its blocks of four 32-bit words; rows are
whole numbers of blocks, and to begin at another row is to begin at another count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

BLOCK = 4  # numbers of 32 bits
PHILOX = 1  # tf.random.Algorithm.PHILOX


def normal_rows(seed: tf.Tensor, first: tf.Tensor | int, count: tf.Tensor | int, shape: Sequence[int]) -> tf.Tensor:
    """Standard normal numbers (count, *shape) float32: rows `first`, `first` + 1, ... of `seed`, two integers."""
    import tensorflow as tf

    return _rows(tf.raw_ops.StatelessRandomNormalV2, seed, first, count, shape)


def uniform_rows(seed: tf.Tensor, first: tf.Tensor | int, count: tf.Tensor | int, shape: Sequence[int]) -> tf.Tensor:
    """Numbers in [0, 1), (count, *shape) float32; rows as in `normal_rows`."""
    import tensorflow as tf

    return _rows(tf.raw_ops.StatelessRandomUniformV2, seed, first, count, shape)


def integer_rows(
    seed: tf.Tensor, first: tf.Tensor | int, count: tf.Tensor | int, shape: Sequence[int], below: int
) -> tf.Tensor:
    """Integers from 0 to `below` - 1, (count, *shape) int32; rows as in `normal_rows`."""
    import tensorflow as tf

    limits = {"minval": tf.constant(0), "maxval": tf.constant(below)}
    return _rows(tf.raw_ops.StatelessRandomUniformIntV2, seed, first, count, shape, **limits)


def _rows(
    generator: Callable[..., tf.Tensor],
    seed: tf.Tensor,
    first: tf.Tensor | int,
    count: tf.Tensor | int,
    shape: Sequence[int],
    **more: tf.Tensor,
) -> tf.Tensor:
    import tensorflow as tf

    numbers = math.prod(shape)
    blocks = -(-numbers // BLOCK)
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    # the lower of the counter's two words is 0 at the start: no row is far enough away to carry into the upper one
    counter += tf.stack([tf.cast(first, tf.uint64) * tf.constant(blocks, tf.uint64), tf.constant(0, tf.uint64)])
    values = generator(
        shape=tf.stack([tf.cast(count, tf.int32), BLOCK * blocks]), key=key, counter=counter, alg=PHILOX, **more
    )
    return tf.reshape(values[:, :numbers], [-1, *shape])

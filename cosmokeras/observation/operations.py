"""Operations on batches of maps that the mass mappings share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.sky import pixels

if TYPE_CHECKING:
    import tensorflow as tf


USED = pixels.USED


def filter_complex(maps: tf.Tensor, transfer: np.ndarray) -> tf.Tensor:
    """Maps (n, ny, nx, channels), times a transfer (ny, nx) in Fourier space; complex64."""
    import tensorflow as tf

    first = tf.transpose(tf.cast(maps, tf.complex64), (0, 3, 1, 2))
    first = tf.signal.ifft2d(tf.signal.fft2d(first) * tf.constant(transfer, tf.complex64))
    return tf.transpose(first, (0, 2, 3, 1))


def partial_pixel_noise(coverage: tf.Tensor, depth: tf.Tensor | None) -> tf.Tensor:
    """Noise of a pixel that was observed in part grows as 1 / sqrt(coverage), and is `depth` times the survey's."""
    import tensorflow as tf

    boost = tf.math.rsqrt(tf.maximum(coverage, USED))[..., None]
    return boost if depth is None else boost * depth[..., None]


def outside_graphs(*arrays: np.ndarray) -> Callable[[], list[tf.Tensor]]:
    """Arrays as tensors outside of any graph, made once: as constants they would be copied into each graph."""
    kept: list[Any] = []

    def tensors() -> list[tf.Tensor]:
        import tensorflow as tf

        if not kept:
            with tf.init_scope():
                kept.extend(tf.constant(one) for one in arrays)
        return kept

    return tensors

"""Fourier transforms and complex numbers: what `keras.ops` offers only at 1.5 to 2 times the cost, a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, compiled by XLA where the backend has it, also within a step that is not.

    TensorFlow does elementwise operations one by one otherwise, and those of int32 never on a GPU.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def constant(array: np.ndarray) -> Any:
    """An array as a tensor of the backend, of the same type."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():  # outside of any graph: as constants of graphs they would be copied into each
            return tf.constant(array)
    if keras.backend.backend() == "jax":
        import jax

        with jax.ensure_compile_time_eval():  # the same, inside a function that is being traced
            return jax.numpy.asarray(array)
    return ops.convert_to_tensor(array, dtype=str(array.dtype))


def as_complex(real: Any, imag: Any) -> Any:
    """Complex numbers of two real parts."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.complex(real, imag)
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.complex(real, imag)
    import torch

    return torch.complex(real, imag)


def fft2(fields: Any) -> Any:
    """Transform of complex fields over the last two axes."""
    return _native()[0](fields)


def ifft2(modes: Any) -> Any:
    """The inverse of `fft2`."""
    return _native()[1](modes)


def _native() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.signal.fft2d, tf.signal.ifft2d
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        return jnp.fft.fft2, jnp.fft.ifft2
    import torch

    return torch.fft.fft2, torch.fft.ifft2


def parts(fields: Any) -> tuple[Any, Any]:
    """Real and imaginary part."""
    return ops.real(fields), ops.imag(fields)


def mirrored(maps: Any, margin: int) -> Any:
    """Maps (..., y, x) continued by their mirror images, `margin` pixels on each side.

    `keras.ops.pad(mode="symmetric")` repeats the edge on torch instead.
    """
    if margin == 0:
        return maps
    size = maps.shape[-1]
    index = np.pad(np.arange(size), margin, "symmetric")
    return ops.take(ops.take(maps, index, axis=-2), index, axis=-1)


def pairs(maps: Any, channels: int) -> Any:
    """Maps (n, y, x, channels) as complex fields (n, fields, y, x): of two channels the first is the real part."""
    planes = ops.transpose(ops.cast(maps, "float32"), (0, 3, 1, 2))
    if channels % 2:
        planes = ops.concatenate([planes, ops.zeros_like(planes[:, :1])], axis=1)
    return as_complex(planes[:, 0::2], planes[:, 1::2])


def from_pairs(real: Any, imag: Any, channels: int) -> Any:
    """Maps (n, y, x, channels) of real and imaginary parts (n, fields, y, x)."""
    planes = ops.stack([real, imag], axis=2)
    fields, (ny, nx) = planes.shape[1], planes.shape[3:]
    planes = ops.reshape(planes, (-1, 2 * fields, ny, nx))
    return ops.transpose(planes, (0, 2, 3, 1))[..., :channels]

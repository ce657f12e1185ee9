"""Layers for maps, in keras.ops only: every backend runs them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

Shape = tuple[int | None, int, int, int]  # of maps, whose number need not be known


def wavenumber_bins(size: int, bins: int) -> np.ndarray:
    """Weights (size * (size // 2 + 1), bins) of the modes of rfft2, transposed, that average over annuli of |k|.

    From the fundamental to the corners of the grid, over the whole plane. Annuli are equally wide in log k as far as
    the spacing of modes allows; none is empty.
    """
    kx, ky = np.fft.rfftfreq(size) * size, np.fft.fftfreq(size) * size
    k = np.hypot(kx[:, None], ky[None, :])
    # modes stand for their conjugates too, but on the two columns that hold both
    count = np.full(k.shape, 2.0)
    count[0] = count[-1] = 1.0
    which = np.digitize(k.ravel(), band_edges(size, bins)) - 1
    weights = np.zeros((k.size, bins), np.float32)
    for b in range(bins):
        inside = which == b
        weights[inside, b] = (count.ravel() / count.ravel()[inside].sum())[inside]
    return weights


def band_edges(size: int, bins: int) -> np.ndarray:
    """`bins` + 1 edges of |k| in units of the fundamental, from 0.5 to beyond the corners of a grid of `size` pixels.

    At least one mode apart, logarithmic where that is wider.
    """
    out, last = [0.5], size / np.sqrt(2) + 0.5
    for b in range(bins):
        left = bins - b
        out.append(max(out[-1] + 1.0, out[-1] * (last / out[-1]) ** (1 / left)))
    out[-1] = last
    return np.array(out)


@keras.saving.register_keras_serializable("cosmokeras")
class Spectra(layers.Layer):
    """Binned auto- and cross-spectra of the channels of a map: log of the autos, plain crosses.

    Input (n, size, size, channels); output (n, bins * channels (channels + 1) / 2) float32, in units of the map squared
    per mode, so that white noise of unit variance gives auto spectra of 1.

    The transform is two matrix products with sines and cosines: for maps of this size they are faster than an FFT on
    every backend, and need no complex numbers.
    """

    def __init__(self, bins: int = 12, **kwargs: Any) -> None:
        # spectra span orders of magnitude: they stay in single precision under mixed precision
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.bins = bins

    def build(self, input_shape: Shape) -> None:
        """Constants for the shape."""
        size, channels = input_shape[1], input_shape[3]
        self._weights = wavenumber_bins(size, self.bins) / size**2
        # whole turns are taken out first: angles of many turns would cost digits
        phase = 2 * np.pi / size * (np.outer(np.arange(size), np.arange(size)) % size)
        half = phase[:, : size // 2 + 1]
        self._along_x = np.concatenate([np.cos(half), np.sin(half)], axis=1).astype(np.float32)
        self._along_y = np.concatenate([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)
        self._first, self._second = np.triu_indices(channels)
        self._auto = np.flatnonzero(self._first == self._second)
        self._cross = np.flatnonzero(self._first != self._second)

    def call(self, maps: Any) -> Any:
        """Spectra of a batch."""
        size, channels = maps.shape[1], maps.shape[3]
        half = size // 2 + 1
        planes = ops.transpose(maps, (0, 3, 1, 2))
        in_x = ops.transpose(ops.matmul(planes, ops.convert_to_tensor(self._along_x)), (0, 1, 3, 2))
        in_xy = ops.matmul(in_x, ops.convert_to_tensor(self._along_y))  # (n, channels, 2 half, 2 size)
        cos_x, sin_x = in_xy[:, :, :half], in_xy[:, :, half:]
        real = ops.reshape(cos_x[..., :size] - sin_x[..., size:], (-1, channels, half * size))
        imag = ops.reshape(cos_x[..., size:] + sin_x[..., :size], (-1, channels, half * size))
        products = [
            real[:, a] * real[:, b] + imag[:, a] * imag[:, b] for a, b in zip(self._first, self._second, strict=True)
        ]
        weights = ops.convert_to_tensor(self._weights, dtype="float32")
        spectra = ops.matmul(ops.stack(products, axis=1), weights)  # (n, pairs, bins)
        autos = ops.log(ops.take(spectra, self._auto, axis=1) + 1e-12)
        if len(self._cross) == 0:
            return ops.reshape(autos, (-1, channels * self.bins))
        crosses = ops.take(spectra, self._cross, axis=1)
        return ops.reshape(ops.concatenate([autos, crosses], axis=1), (-1, len(self._first) * self.bins))

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, int]:
        """(n, features)."""
        channels = input_shape[3]
        return input_shape[0], self.bins * channels * (channels + 1) // 2

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("dtype", None)
        return {**config, "bins": self.bins}


@keras.saving.register_keras_serializable("cosmokeras")
class Wrap(layers.Layer):
    """Pad a periodic map by its own opposite edges: `pad` pixels before, `pad` after, along both axes."""

    def __init__(self, pad: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad = pad

    def call(self, maps: Any) -> Any:
        """Padded maps."""
        for axis in (1, 2):
            maps = self._wrap(maps, axis)
        return maps

    def _wrap(self, maps: Any, axis: int) -> Any:
        pad, size = self.pad, maps.shape[axis]
        if size <= 2 * pad:
            return ops.take(maps, np.arange(-pad, size + pad) % size, axis=axis)
        # parts that do not overlap: their gradients are put together, where those of overlapping ones are added up in
        # maps of zeros, which costs a fifth of resnet's speed on CPUs
        first, middle, last = ops.split(maps, [pad, size - pad], axis=axis)
        return ops.concatenate([last, first, middle, last, first], axis=axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Two more `pad` on both axes."""
        n, height, width, channels = input_shape
        return n, height + 2 * self.pad, width + 2 * self.pad, channels

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "pad": self.pad}


@keras.saving.register_keras_serializable("cosmokeras")
class Gain(layers.Layer):
    """A factor for each channel that starts at zero, so that a branch is added gradually (Touvron et al. 2021, eq. 1).

    arXiv:2103.17239. A convolution whose kernel begins at zero grows with all of its weights at once, hundreds of times
    as fast.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """One weight for each channel."""
        self.gain = self.add_weight(name="gain", shape=(input_shape[-1],), initializer="zeros")

    def call(self, features: Any) -> Any:
        """Features times gains."""
        return features * self.gain

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return input_shape


@keras.saving.register_keras_serializable("cosmokeras")
class Moments(layers.Layer):
    """Global pooling that keeps second moments: mean and log mean square of each feature, (n, 2 channels).

    The signal of a random field is a variance; a mean alone would average it away.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, features: Any) -> Any:
        """Moments over both map axes."""
        mean = ops.mean(features, axis=(1, 2))
        return ops.concatenate([mean, ops.log(ops.mean(ops.square(features), axis=(1, 2)) + 1e-6)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, int]:
        """(n, 2 channels)."""
        return input_shape[0], 2 * input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("dtype", None)
        return config


@keras.saving.register_keras_serializable("cosmokeras")
class Standardise(layers.Layer):
    """(x - mean) / deviation with constants of the training set, which are weights that are set once and not trained.

    Normalising each map by itself would erase the amplitude, which is the signal. `floor` is the smallest
    divisor: features that do not vary at first may do so later, when the layers before have learned.
    """

    def __init__(self, floor: float = 1e-6, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.floor = floor

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Weights of the features' size."""
        shape = (input_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.deviation = self.add_weight(name="deviation", shape=shape, initializer="ones", trainable=False)

    def set_from(self, features: np.ndarray) -> None:
        """Take mean and deviation of features (n, f)."""
        self.mean.assign(features.mean(axis=0))
        self.deviation.assign(np.maximum(features.std(axis=0), self.floor))

    def call(self, features: Any) -> Any:
        """Standardised features."""
        return (features - self.mean) / self.deviation

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("dtype", None)
        return {**config, "floor": self.floor}

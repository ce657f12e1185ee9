"""The forward model as the first layer of what is trained: (signal, which, keys) in, observed maps out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from cosmokeras.observation.ops.forward import Forward

Shape = tuple[int | None, ...]


class Observation(keras.layers.Layer):
    """Observes a batch, turned in training alone. Not saved: the network behind it is; it has no weights, no state."""

    def __init__(self, forward: Forward, **kwargs: Any) -> None:
        # always in single precision: mixed precision would round the maps before they have their noise
        super().__init__(dtype="float32", autocast=False, trainable=False, **kwargs)
        self.observing = forward  # `forward` is torch's own name
        forward.prepare(signal=False)  # here: torch's trial run of a model would make tables without contents

    def inputs(self, dtype: str) -> list[Any]:
        """Placeholders for signal, mask of each map, and keys."""
        size, channels = self.observing.size, self.observing.channels
        return [
            keras.Input((size, size, channels), dtype=dtype, name="signal"),
            keras.Input((), dtype="int32", name="which"),
            keras.Input((3,), dtype="int32", name="keys"),
        ]

    def call(self, signal: Any, which: Any, keys: Any, training: bool | None = False) -> Any:
        """Observed maps (n, size, size, channels) float32."""
        return ops.stop_gradient(self.observing(signal, which, keys, bool(training)))

    def compute_output_spec(self, signal: Any, which: Any, keys: Any, training: bool | None = False) -> Any:
        """Shape and type, without a trace."""
        return keras.KerasTensor(signal.shape, dtype="float32")


def observed_model(network: keras.Model, forward: Forward, dtype: str = "float16") -> keras.Model:
    """A network that takes (signal, which, keys) in place of observed maps; shares the weights of `network`.

    `dtype` is that of the signal.
    """
    layer = Observation(forward, name="observation")
    inputs = layer.inputs(dtype)
    return keras.Model(inputs, network(layer(*inputs)), name="observed")

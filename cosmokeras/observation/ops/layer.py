"""The forward model as the first layer of what is trained: (signal, which, keys) in, observed maps out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from cosmokeras.observation.ops.forward import Forward

Shape = tuple[int | None, ...]


class Observation(keras.layers.Layer):
    """Observes a batch in the training step. Not saved: the network behind it is; without weights, seeds or state."""

    def __init__(self, forward: Forward, turned: bool = True, **kwargs: Any) -> None:
        # always in single precision: mixed precision would round the maps before they have their noise
        super().__init__(dtype="float32", autocast=False, trainable=False, **kwargs)
        _ = forward.tables  # made here: torch's trial run of a model would make them without contents
        self.observing, self.turned = forward, turned  # `forward` is torch's own name

    def inputs(self) -> list[Any]:
        """Placeholders for signal, mask of each map, and keys."""
        size, channels = self.observing.size, self.observing.channels
        return [
            keras.Input((size, size, channels), dtype="float16", name="signal"),
            keras.Input((), dtype="int32", name="which"),
            keras.Input((3,), dtype="int32", name="keys"),
        ]

    def call(self, signal: Any, which: Any, keys: Any) -> Any:
        """Observed maps (n, size, size, channels) float32."""
        return ops.stop_gradient(self.observing(signal, which, keys, self.turned))

    def compute_output_spec(self, signal: Any, which: Any, keys: Any) -> Any:
        """Shape and type, without a trace."""
        return keras.KerasTensor(signal.shape, dtype="float32")


def observed_model(network: keras.Model, forward: Forward, turned: bool = True) -> keras.Model:
    """A network that takes (signal, which, keys) in place of observed maps; shares the weights of `network`."""
    layer = Observation(forward, turned, name="observation")
    inputs = layer.inputs()
    return keras.Model(inputs, network(layer(*inputs)), name="observed")

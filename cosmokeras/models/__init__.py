"""Networks. One module each, one line in the registry each; a module has `build(cfg)` -> keras.Model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.config import Config

if TYPE_CHECKING:
    import keras

REGISTRY = {"hybrid": "cosmokeras.models.hybrid"}


def build(cfg: Config) -> keras.Model:
    """The network of `model.name`, from maps (size, size, channels) to the parameters of `model.head`."""
    return import_module(REGISTRY[cfg.model.name]).build(cfg)


def standardise(model: keras.Model, maps: np.ndarray) -> None:
    """Set every `Standardise` layer of a new network from observed training maps (n, size, size, channels)."""
    import keras

    from cosmokeras.models.layers import Standardise

    for layer in model.layers:
        if isinstance(layer, Standardise):
            before = keras.Model(model.inputs, layer.input)
            layer.set_from(before.predict(maps, batch_size=256, verbose=0))

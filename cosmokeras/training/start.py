"""What a run starts from: fresh weights, or those of a network that was trained before."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.models.blocks import STEM
from cosmokeras.models.heads import HEAD_LAYERS
from cosmokeras.params.config import Config


def starting_model(cfg: Config, maps: np.ndarray) -> keras.Model:
    """A network on one device with the weights that training begins with.

    Parameters
    ----------
    maps : observed training maps (n, size, size, channels) that fix the standardisation of features
    """
    model = models.build(cfg)
    models.standardise(model, maps)
    if cfg.train.init_from is not None:
        take_weights(model, Path(cfg.train.init_from))
    return model


def take_weights(model: keras.Model, folder: Path) -> None:
    """Copy the weights of a trained network into the layers of the same names.

    All layers up to the summary must be the same; a head for other parameters starts afresh.
    """
    trained = models.load(folder)
    if any(layer.name == "member_1" for layer in trained.layers):
        raise UserError(
            f"train.init_from={folder}: an ensemble cannot be fine-tuned; give a network that was trained with "
            "train.ensemble=1"
        )
    theirs = {layer.name: [w.shape for w in layer.weights] for layer in trained.layers}
    for layer in model.layers:
        shapes = [w.shape for w in layer.weights]
        if shapes == theirs.get(layer.name):
            layer.set_weights(trained.get_layer(layer.name).get_weights())
        elif layer.name not in HEAD_LAYERS:
            raise UserError(
                f"train.init_from={folder}: its {trained.name} does not fit model.name={model.name} at layer "
                f"{layer.name!r} ({theirs.get(layer.name)} there, {shapes} here); name, width, spectrum_bins and the "
                "maps' size and channels must be the same"
            )


def freeze(model: keras.Model, part: str) -> None:
    """Keep weights as they are: `none`, the `stem`, or all `features` that the last layers read."""
    last = ("hidden", "summary", *HEAD_LAYERS)
    for layer in model.layers:
        if (part == "stem" and layer.name == STEM) or (part == "features" and layer.name not in last):
            layer.trainable = False

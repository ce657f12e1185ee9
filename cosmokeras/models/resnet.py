"""The pattern of ResNet-18 (He et al. 2016, arXiv:1512.03385), with the order of layers of arXiv:1603.05027.

Normalisation and activation are never on the way around a block, blocks begin as the identity, and the first
convolution of a stage reads what came around as it is: a linear filter of the map, as long as training finds nothing
better. Moments taken there keep the amplitude that normalisation takes away.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cosmokeras.models.blocks import activate, convolve, finish, groups_of, halve, pool, stem
from cosmokeras.models.layers import Gain
from cosmokeras.params.config import Config

STAGES = 4  # each with twice the filters of the one before, at half its resolution
BLOCKS = 2  # of a stage, the pattern's


def build(cfg: Config) -> keras.Model:
    """Functional model from maps (size, size, channels) to head parameters."""
    maps, x, pooled = stem(cfg)
    for stage in range(STAGES):
        for block in range(BLOCKS):
            x, filtered = residual(
                x, cfg.model.width * 2**stage, cfg.periodic, block == 0, f"stage{stage}_block{block}"
            )
            pooled += [pool(filtered, f"stage{stage}_block{block}")]
        pooled += [pool(x, f"stage{stage}")]
    x = activate(x, "last", groups_of(x.shape[-1]))
    return finish(cfg, maps, [*pooled, pool(x, "last")])


def residual(x: Any, filters: int, periodic: bool, first: bool, name: str) -> tuple[Any, Any]:
    """Two convolutions and the way around them, and what the first of the two gives; the `first` of a stage halves."""
    around = inside = halve(x, f"{name}_half") if first else x
    if first and x.shape[-1] != filters:
        around = convolve(around, filters, 1, periodic, f"{name}_around")
    if not first:
        inside = activate(x, f"{name}_1", groups_of(filters))
    filtered = convolve(inside, filters, 3, periodic, f"{name}_conv1")
    inside = activate(filtered, f"{name}_2", groups_of(filters))
    inside = convolve(inside, filters, 3, periodic, f"{name}_conv2")
    inside = Gain(name=f"{name}_gain")(inside)
    return layers.Add(name=f"{name}_sum")([around, inside]), filtered

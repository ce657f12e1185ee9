"""Five convolutions over five octaves of scale.

Each sees the features of the one before, at half their resolution, and beside them the map itself at that resolution,
so that the largest scales reach the last convolution as they are.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cosmokeras.models.blocks import activate, convolve, finish, halve, pool, stem
from cosmokeras.params.config import Config

LEVELS = 4  # convolutions after the stem
MOST = 4  # filters grow to so many times the width


def build(cfg: Config) -> keras.Model:
    """Functional model from maps (size, size, channels) to head parameters."""
    maps, x, pooled = stem(cfg)
    return finish(cfg, maps, pooled + convolutions(cfg, maps, x))


def convolutions(cfg: Config, maps: Any, x: Any) -> list[Any]:
    """Pooled features of the convolutions that follow the stem's `x`."""
    pooled, seen = [], maps
    for level in range(1, LEVELS + 1):
        x, seen = halve(activate(x, f"level{level}"), f"level{level}_half"), halve(seen, f"level{level}_map")
        x = layers.Concatenate(name=f"level{level}_both")([x, seen])
        x = convolve(x, cfg.model.width * min(2**level, MOST), 3, cfg.periodic, f"level{level}_conv")
        pooled += [pool(x, f"level{level}")]
    x = activate(x, "last")
    return [*pooled, pool(x, "last")]

"""What the networks share: convolutions for periodic maps and others, the stem, and the way from features to the head.

A network is its stem, its own layers, which add to a list of pooled features, and `finish`. Features are pooled by
`Moments` at every scale, before activations too: the mean square of a linear filter is the variance of the map in a
learned band, which contains the information on the spectrum.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from cosmokeras.models.heads import head_of
from cosmokeras.models.layers import Moments, Standardise, Wrap
from cosmokeras.params.config import Config

STEM = "stem"  # the layers whose names begin so see the map first
SUMMARY = "summary"  # name of the layer whose output is the learned summary of a map
FEATURE_FLOOR = 0.05  # least deviation of a feature
MOST_IN_GROUP = 16  # channels that are normalised together


def convolve(x: Any, filters: int, kernel: int, periodic: bool, name: str) -> Any:
    """Convolution that wraps around for periodic maps and pads by zeros for others."""
    padded = periodic and kernel > 1
    if padded:
        x = Wrap(kernel // 2, name=f"{name}_wrap")(x)
    return layers.Conv2D(filters, kernel, padding="valid" if padded else "same", name=name)(x)


def activate(x: Any, name: str, groups: int = 0) -> Any:
    """GELU, after group normalisation (Wu & He 2018, arXiv:1803.08494) where `groups` are given.

    Batch normalisation would make results depend on how many devices share a batch.
    """
    if groups:
        x = layers.GroupNormalization(groups, name=f"{name}_norm")(x)
    return layers.Activation("gelu", name=f"{name}_gelu")(x)


def groups_of(filters: int) -> int:
    """Groups of at most `MOST_IN_GROUP` channels that divide `filters`."""
    return next(g for g in range(math.ceil(filters / MOST_IN_GROUP), filters + 1) if filters % g == 0)


def halve(x: Any, name: str) -> Any:
    """Mean of 2 x 2 pixels; of the remaining ones at the end of an odd side."""
    return layers.AveragePooling2D(2, padding="same", name=name)(x)


def pool(x: Any, name: str) -> Any:
    """First and second moments of features over the map."""
    return Moments(name=f"{name}_moments")(x)


def stem(cfg: Config) -> tuple[Any, Any, list[Any]]:
    """Maps, `model.width` linear filters of them at full resolution, and the moments of both."""
    size = cfg.data.size
    maps = keras.Input((size, size, cfg.channels), name="maps")
    x = convolve(maps, cfg.model.width, 5, cfg.periodic, STEM)
    return maps, x, [pool(x, STEM)]


def finish(cfg: Config, maps: Any, pooled: list[Any]) -> keras.Model:
    """The model: pooled features, one hidden layer, the summary, the head."""
    features = layers.Concatenate(name="features")(pooled)
    # what parameters do to a log variance is small beside its size: in its own units the last layers see it at once
    features = Standardise(FEATURE_FLOOR, name="standardise_features")(features)
    hidden = layers.Dense(8 * cfg.model.width, activation="gelu", name="hidden")(features)
    summary = layers.Dense(4 * cfg.model.width, activation="gelu", name=SUMMARY)(hidden)
    return keras.Model(maps, head_of(cfg).apply(summary), name=cfg.model.name)

"""Convolutions beside a differentiable binned spectrum.

The spectrum branch has the whole two-point information from the first step on; the convolutions add what it lacks.
They keep second moments at every scale (`Moments`), since the signal of a random field is a variance.
"""

from __future__ import annotations

import keras
from keras import layers

from cosmokeras.config import Config
from cosmokeras.models.heads import apply_head
from cosmokeras.models.layers import Moments, Spectra, Standardise, apply_convolution

SUMMARY = "summary"  # name of the layer whose output is the learned summary of a map


def build(cfg: Config) -> keras.Model:
    """Functional model from maps (size, size, channels) to head parameters."""
    size, width, periodic = cfg.data.size, cfg.model.width, cfg.periodic
    maps = keras.Input((size, size, cfg.channels), name="maps")

    spectra = Spectra(cfg.model.spectrum_bins, name="spectra")(maps)
    spectra = Standardise(name="standardise")(spectra)
    two_point = layers.Dense(8 * width, activation="gelu", name="two_point")(spectra)

    x, pooled = maps, []
    for level in range(4):
        filters = width * 2 ** min(level, 2)
        x = apply_convolution(x, filters, 5 if level == 0 else 3, 2, periodic, f"conv{level}")
        # the first filters stay linear: their mean squares are the variances in learned bands
        pooled.append(Moments(name=f"moments{level}")(x))
        x = layers.Activation("gelu", name=f"gelu{level}")(x)
        pooled.append(Moments(name=f"moments_gelu{level}")(x))
    features = layers.Concatenate(name="features")([two_point, *pooled])
    hidden = layers.Dense(8 * width, activation="gelu", name="hidden")(features)
    summary = layers.Dense(4 * width, activation="gelu", name=SUMMARY)(hidden)
    outputs = apply_head(summary, cfg.model.head, len(cfg.targets), cfg.model.components)
    return keras.Model(maps, outputs, name="hybrid")

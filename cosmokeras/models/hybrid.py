"""The convolutions of cosmonet beside a differentiable binned spectrum.

The spectrum has the whole two-point information from the first step on; the convolutions add what it lacks.
"""

from __future__ import annotations

import keras
from keras import layers

from cosmokeras.models.blocks import finish, stem
from cosmokeras.models.cosmonet import convolutions
from cosmokeras.models.layers import Spectra, Standardise
from cosmokeras.params.config import Config


def build(cfg: Config) -> keras.Model:
    """Functional model from maps (size, size, channels) to head parameters."""
    maps, x, pooled = stem(cfg)
    spectra = Spectra(cfg.model.spectrum_bins, name="spectra")(maps)
    spectra = Standardise(name="standardise")(spectra)
    two_point = layers.Dense(8 * cfg.model.width, activation="gelu", name="two_point")(spectra)
    return finish(cfg, maps, [two_point, *pooled, *convolutions(cfg, maps, x)])

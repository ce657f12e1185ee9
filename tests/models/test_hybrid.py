"""The hybrid network: shapes, symmetries, saving, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.config import Config
from cosmokeras.models.heads import mixture_size
from cosmokeras.models.hybrid import SUMMARY

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def grf(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config(tiny)


@pytest.fixture(scope="module")
def four_bins(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config({**tiny, "data.kind": "lensing", "prior.sigma8": [0.6, 1.0]})


def numpy_of(model: keras.Model, maps: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(maps))


def test_outputs_are_the_numbers_of_the_head(four_bins: Config, grf: Config, config: Callable[..., Config]) -> None:
    assert models.build(four_bins).output_shape == (None, mixture_size(2, 4))
    assert models.build(grf).output_shape == (None, mixture_size(1, 4))
    point = grf.model_copy(update={"model": grf.model.model_copy(update={"head": "mse"})})
    assert models.build(point).output_shape == (None, 1)
    assert models.build(grf).get_layer(SUMMARY).output.shape == (None, 4 * grf.model.width)


def test_periodic_network_does_not_see_shifts_by_its_stride(grf: Config) -> None:
    model = models.build(grf)
    maps = RNG.standard_normal((3, 32, 32, 1)).astype(np.float32)
    plain = numpy_of(model, maps)
    # four strides of 2
    assert numpy_of(model, np.roll(maps, (16, 0), axis=(1, 2))) == pytest.approx(plain, abs=1e-4)
    assert np.abs(numpy_of(model, RNG.standard_normal((3, 32, 32, 1)).astype(np.float32)) - plain).max() > 1e-3


def test_amplitude_is_not_normalised_away(four_bins: Config) -> None:
    model = models.build(four_bins)
    maps = RNG.standard_normal((3, 32, 32, 4)).astype(np.float32)
    assert np.abs(numpy_of(model, 1.2 * maps) - numpy_of(model, maps)).max() > 1e-2


def test_standardise_sets_the_features_of_the_training_maps(four_bins: Config) -> None:
    model = models.build(four_bins)
    maps = RNG.standard_normal((100, 32, 32, 4)).astype(np.float32) * np.array([1, 2, 3, 4], np.float32)
    models.standardise(model, maps)
    features = keras.Model(model.inputs, model.get_layer("standardise").output).predict(maps, verbose=0)
    assert features.mean(axis=0) == pytest.approx(np.zeros(60), abs=1e-3)
    assert features.std(axis=0) == pytest.approx(np.ones(60), rel=1e-2)


@pytest.mark.parametrize("name", models.REGISTRY)
@pytest.mark.parametrize("head", ["posterior", "mse"])
def test_saved_networks_give_the_same_outputs(four_bins: Config, tmp_path: Path, name: str, head: str) -> None:
    """With safe_mode, which runs no code from the file."""
    cfg = four_bins.model_copy(update={"model": four_bins.model.model_copy(update={"name": name, "head": head})})
    model = models.build(cfg)
    maps = RNG.standard_normal((5, 32, 32, 4)).astype(np.float32)
    models.standardise(model, maps)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert (numpy_of(again, maps) == numpy_of(model, maps)).all()
    assert again.get_layer(SUMMARY).output.shape == model.get_layer(SUMMARY).output.shape


def test_gradients_reach_every_weight(grf: Config) -> None:
    import tensorflow as tf

    from cosmokeras.models.heads import MixtureLoss

    model = models.build(grf)
    maps = RNG.standard_normal((8, 32, 32, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = MixtureLoss(4)(RNG.standard_normal((8, 1)).astype(np.float32), model(maps))
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, [w.value for w in model.trainable_variables]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient.numpy()).all(), weight.path
        assert np.abs(gradient.numpy()).max() > 0, weight.path

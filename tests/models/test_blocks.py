"""What the networks are made of, against numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import erf

from cosmokeras.models.blocks import (
    MOST_IN_GROUP,
    STEM,
    SUMMARY,
    activate,
    convolve,
    finish,
    groups_of,
    halve,
    stem,
)
from cosmokeras.models.heads import HEAD_LAYERS
from cosmokeras.params.config import Config

RNG = np.random.default_rng(0)


def apply(block: Callable[[Any], Any], maps: np.ndarray) -> np.ndarray:
    """Output of a block of layers with the weights it begins with."""
    inputs = keras.Input(maps.shape[1:])
    return keras.ops.convert_to_numpy(keras.Model(inputs, block(inputs))(maps))


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_periodic_convolution_rolls_with_its_map(kernel: int) -> None:
    maps = RNG.standard_normal((2, 16, 16, 2)).astype(np.float32)
    # periodic or not, with the same weights
    inputs = keras.Input(maps.shape[1:])
    outputs = [convolve(inputs, 3, kernel, periodic, f"conv{periodic}") for periodic in (True, False)]
    model = keras.Model(inputs, outputs)
    model.get_layer("convFalse").set_weights(model.get_layer("convTrue").get_weights())
    (plain, plain_zeros), (moved, moved_zeros) = (
        [keras.ops.convert_to_numpy(x) for x in model(m)] for m in (maps, np.roll(maps, (4, -6), axis=(1, 2)))
    )
    assert plain.shape == plain_zeros.shape == (2, 16, 16, 3)
    assert moved == pytest.approx(np.roll(plain, (4, -6), axis=(1, 2)), abs=1e-5)
    differs = np.abs(moved_zeros - np.roll(plain_zeros, (4, -6), axis=(1, 2))).max()
    assert differs > 0.01 if kernel > 1 else differs < 1e-5
    # away from the edges the two are one
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert plain[inner] == pytest.approx(plain_zeros[inner], abs=1e-5)


def test_halves_are_means_and_no_pixel_is_lost() -> None:
    maps = RNG.standard_normal((2, 5, 6, 3)).astype(np.float32)
    rows = np.stack([maps[:, :2].mean(axis=1), maps[:, 2:4].mean(axis=1), maps[:, 4]], axis=1)
    assert apply(lambda x: halve(x, "half"), maps) == pytest.approx(rows.reshape(2, 3, 3, 2, 3).mean(axis=3), abs=1e-6)


@pytest.mark.parametrize("filters", [1, 4, 12, 16, 17, 24, 40, 64, 100, 512])
def test_groups_are_the_fewest_that_are_small_enough(filters: int) -> None:
    allowed = [g for g in range(1, filters + 1) if filters % g == 0 and filters // g <= MOST_IN_GROUP]
    assert groups_of(filters) == min(allowed)


def test_activation_is_the_exact_gelu() -> None:
    maps = 3 * RNG.standard_normal((2, 8, 8, 4)).astype(np.float32)
    assert apply(lambda x: activate(x, "one"), maps) == pytest.approx(gelu(maps), abs=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_activation_after_group_normalisation(groups: int) -> None:
    """Of each map by itself, so that the rest of the batch does not matter."""
    maps = (3 + 2 * RNG.standard_normal((2, 8, 8, 6)) * np.arange(1, 7)).astype(np.float32)
    grouped = maps.astype(float).reshape(2, 64, groups, 6 // groups)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    normal = ((grouped - mean) / np.sqrt(variance + 1e-3)).reshape(maps.shape)
    assert apply(lambda x: activate(x, "one", groups), maps) == pytest.approx(gelu(normal), abs=1e-5)


@pytest.fixture
def grf(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config(tiny)


def test_stem_is_linear_and_keeps_the_moments(grf: Config) -> None:
    maps, filtered, pooled = stem(grf)
    assert maps.shape == (None, 32, 32, 1)
    assert filtered.shape == (None, 32, 32, grf.model.width)
    assert [p.shape for p in pooled] == [(None, 2 * grf.model.width)]
    model = keras.Model(maps, [filtered, *pooled])
    sky = RNG.standard_normal((3, 32, 32, 1)).astype(np.float32)
    (one, moments), (two, _) = ([keras.ops.convert_to_numpy(x) for x in model(m)] for m in (sky, 2 * sky))
    assert two == pytest.approx(2 * one, abs=1e-5)  # the bias begins at zero
    width = grf.model.width
    assert moments[:, :width] == pytest.approx(one.mean(axis=(1, 2)), abs=1e-5)
    assert moments[:, width:] == pytest.approx(np.log((one**2).mean(axis=(1, 2))), abs=1e-4)
    assert [layer.name for layer in model.layers if layer.weights] == [STEM]


def test_finish_goes_by_the_summary_to_the_head(grf: Config) -> None:
    maps, _, pooled = stem(grf)
    model = finish(grf, maps, pooled)
    assert model.name == grf.model.name
    assert model.get_layer(SUMMARY).output.shape == (None, 4 * grf.model.width)
    assert model.layers[-1].name in HEAD_LAYERS
    assert model.layers[-1].input is model.get_layer(SUMMARY).output

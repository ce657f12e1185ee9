"""Layers against numpy."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cosmokeras.models.layers import Moments, Spectra, Standardise, Wrap, apply_convolution, wavenumber_bins

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bins", [6, 12, 16])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_wavenumber_bins_are_averages_and_none_is_empty(size: int, bins: int) -> None:
    weights = wavenumber_bins(size, bins)
    assert weights.shape == (size * size, bins)
    assert np.isfinite(weights).all()
    assert weights.sum(axis=0, dtype=float) == pytest.approx(1, rel=1e-5)
    # every mode in one bin at most; the mean in none; all modes up to Nyquist in one
    assert ((weights > 0).sum(axis=1) <= 1).all()
    assert not weights[0].any()
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :]).ravel() * size
    assert (weights[(k > 0) & (k <= size / 2)] > 0).any(axis=1).all()
    # bins are annuli, from the inside out, and no wider than needed
    mean_k = weights.T @ k
    assert (np.diff(mean_k) >= 0.8).all()
    for b in range(bins - 1):
        assert k[weights[:, b] > 0].max() < k[weights[:, b + 1] > 0].min()


@pytest.mark.parametrize(("size", "bins"), [(16, 8), (32, 16), (64, 32), (256, 40)])
def test_as_many_bins_as_the_parameters_allow(size: int, bins: int) -> None:
    weights = wavenumber_bins(size, bins)
    assert (weights.sum(axis=0) > 0).all()


def spectra_by_numpy(maps: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Log autos and plain crosses of one map (size, size, channels), by the pairs of np.triu_indices."""
    size, channels = maps.shape[1:]
    modes = [np.fft.fft2(maps[..., c]) / size for c in range(channels)]
    weights = wavenumber_bins(size, bins) > 0
    autos, crosses = [], []
    for a in range(channels):
        for b in range(a, channels):
            power = (modes[a] * modes[b].conj()).real.ravel()
            binned = np.array([power[weights[:, i]].mean() for i in range(bins)])
            (autos if a == b else crosses).append(np.log(binned) if a == b else binned)
    return np.array(autos), np.array(crosses)


def test_spectra_are_those_of_numpy() -> None:
    maps = RNG.standard_normal((3, 32, 32, 3)).astype(np.float32)
    maps[..., 1] += 0.7 * maps[..., 0]
    out = keras.ops.convert_to_numpy(Spectra(6)(maps)).reshape(3, 6, 6)
    for one, found in zip(maps, out, strict=True):
        autos, crosses = spectra_by_numpy(one.astype(float), 6)
        assert found[:3] == pytest.approx(autos, abs=1e-4)
        assert found[3:] == pytest.approx(crosses, abs=1e-4)


def test_spectra_of_white_noise_are_1_and_of_independent_channels_0() -> None:
    maps = RNG.standard_normal((300, 32, 32, 2)).astype(np.float32)
    out = keras.ops.convert_to_numpy(Spectra(6)(maps)).reshape(300, 3, 6)
    assert np.exp(out[:, :2]).mean(axis=0) == pytest.approx(np.ones((2, 6)), abs=0.08)
    assert out[:, 2].mean(axis=0) == pytest.approx(np.zeros(6), abs=0.08)
    single = keras.ops.convert_to_numpy(Spectra(6)(maps[..., :1]))
    assert single == pytest.approx(out[:, 0], abs=1e-5)


def test_spectra_of_nothing_are_finite() -> None:
    assert np.isfinite(keras.ops.convert_to_numpy(Spectra(6)(np.zeros((1, 32, 32, 2), np.float32)))).all()


def test_spectra_stay_in_single_precision_under_mixed_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = Spectra(6)
        assert keras.backend.standardize_dtype(layer(RNG.standard_normal((1, 32, 32, 1))).dtype) == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("pad", [1, 2, 5])
def test_wrap_is_that_of_numpy(pad: int) -> None:
    maps = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)
    expected = np.pad(maps, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="wrap")
    layer = Wrap(pad)
    assert (keras.ops.convert_to_numpy(layer(maps)) == expected).all()
    assert layer.compute_output_shape((None, 8, 8, 3)) == (None, 8 + 2 * pad, 8 + 2 * pad, 3)


def convolution(kernel: int, stride: int, periodic: bool) -> keras.Model:
    inputs = keras.Input((16, 16, 2))
    return keras.Model(inputs, apply_convolution(inputs, 3, kernel, stride, periodic, "conv"))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2)])
def test_periodic_convolution_rolls_with_its_map(kernel: int, stride: int) -> None:
    maps = RNG.standard_normal((2, 16, 16, 2)).astype(np.float32)
    rolled = np.roll(maps, (4, -6), axis=(1, 2))
    model = convolution(kernel, stride, periodic=True)
    plain, moved = (keras.ops.convert_to_numpy(model(x)) for x in (maps, rolled))
    assert plain.shape == (2, 16 // stride, 16 // stride, 3)
    assert moved == pytest.approx(np.roll(plain, (4 // stride, -6 // stride), axis=(1, 2)), abs=1e-5)
    zeros = convolution(kernel, stride, periodic=False)
    plain, moved = (keras.ops.convert_to_numpy(zeros(x)) for x in (maps, rolled))
    assert plain.shape == (2, 16 // stride, 16 // stride, 3)
    assert np.abs(moved - np.roll(plain, (4 // stride, -6 // stride), axis=(1, 2))).max() > 0.01


def test_moments_are_means_and_log_mean_squares() -> None:
    features = (3 + 2 * RNG.standard_normal((4, 8, 8, 5))).astype(np.float32)
    out = keras.ops.convert_to_numpy(Moments()(features))
    assert out[:, :5] == pytest.approx(features.mean(axis=(1, 2)), rel=1e-5)
    assert out[:, 5:] == pytest.approx(np.log((features**2).mean(axis=(1, 2))), rel=1e-5)


def test_standardise_takes_constants_that_are_not_trained() -> None:
    features = (5 + 3 * RNG.standard_normal((200, 4))).astype(np.float32)
    features[:, 3] = 7.0
    layer = Standardise()
    layer.build(features.shape)
    assert (keras.ops.convert_to_numpy(layer(features)) == features).all()
    layer.set_from(features)
    out = keras.ops.convert_to_numpy(layer(features))
    assert out.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-4)
    assert out[:, :3].std(axis=0) == pytest.approx(np.ones(3), rel=1e-4)
    assert np.isfinite(out).all()
    assert layer.trainable_variables == []
    # the amplitude of a single map is kept
    assert keras.ops.convert_to_numpy(layer(2 * features))[:, 0].mean() == pytest.approx(5 / 3, rel=0.2)


def test_layers_survive_saving(tmp_path: Path) -> None:
    inputs = keras.Input((16, 16, 2))
    x = keras.layers.Concatenate()([Spectra(4)(inputs), Moments()(Wrap(2)(inputs))])
    model = keras.Model(inputs, Standardise(name="standardise")(x))
    maps = RNG.standard_normal((5, 16, 16, 2)).astype(np.float32)
    model.get_layer("standardise").set_from(RNG.standard_normal((9, model.output_shape[-1])))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert (model.predict(maps, verbose=0) == again.predict(maps, verbose=0)).all()

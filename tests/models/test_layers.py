"""Layers against numpy."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cosmokeras.models.layers import Gain, Moments, Spectra, Standardise, Wrap, wavenumber_bins

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bins", [6, 8])
@pytest.mark.parametrize("size", [16, 32, 34, 64])
def test_wavenumber_bins_are_averages_over_the_whole_plane(size: int, bins: int) -> None:
    """The modes of half a plane, weighted, average as those of the whole plane do in the same annuli."""
    weights = wavenumber_bins(size, bins)
    assert weights.shape == (size * (size // 2 + 1), bins)
    assert weights.sum(axis=0, dtype=float) == pytest.approx(np.ones(bins), rel=1e-6)
    power = np.abs(np.fft.fft2(RNG.standard_normal((size, size)))) ** 2
    half = power.T[: size // 2 + 1]
    assert half.ravel() @ weights == pytest.approx(whole_plane(power, weights), rel=1e-5)
    # the average tells a double count: modes with and without conjugates differ
    assert half.ravel() @ (weights > 0) / (weights > 0).sum(axis=0) != pytest.approx(
        whole_plane(power, weights), rel=1e-3
    )


@pytest.mark.parametrize("bins", [6, 12, 16])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_wavenumber_bins_are_annuli_and_none_is_empty(size: int, bins: int) -> None:
    weights = wavenumber_bins(size, bins)
    # every mode in one bin at most; the mean in none; all modes up to Nyquist in one
    assert ((weights > 0).sum(axis=1) <= 1).all()
    assert not weights[0].any()
    k = half_plane(size).ravel()
    assert (weights[(k > 0) & (k <= size / 2)] > 0).any(axis=1).all()
    # from the inside out, and no wider than needed
    mean_k = weights.T @ k
    assert (np.diff(mean_k) >= 0.8).all()
    for b in range(bins - 1):
        assert k[weights[:, b] > 0].max() < k[weights[:, b + 1] > 0].min()


@pytest.mark.parametrize(("size", "bins"), [(16, 8), (32, 16), (64, 32), (256, 40)])
def test_as_many_bins_as_the_parameters_allow(size: int, bins: int) -> None:
    weights = wavenumber_bins(size, bins)
    assert (weights.sum(axis=0) > 0).all()


def half_plane(size: int) -> np.ndarray:
    """|k| of the modes that the weights are for, in units of the fundamental."""
    return np.hypot(np.arange(size // 2 + 1)[:, None], np.fft.fftfreq(size)[None, :] * size)


def whole_plane(power: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Plain averages of power (size, size) over the annuli that `weights` (half a plane) reach over."""
    size = len(power)
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) * size] * 2))
    reach = [half_plane(size).ravel()[column > 0] for column in weights.T]
    return np.array([power[(k > r.min() - 1e-6) & (k < r.max() + 1e-6)].mean() for r in reach])


def spectra_by_numpy(maps: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Log autos and plain crosses of one map (size, size, channels) in float64, by the pairs of np.triu_indices."""
    size, channels = maps.shape[1:]
    weights = wavenumber_bins(size, bins)
    modes = [np.fft.fft2(maps[..., c]) / size for c in range(channels)]
    autos, crosses = [], []
    for a, b in zip(*np.triu_indices(channels), strict=True):
        binned = whole_plane((modes[a] * modes[b].conj()).real, weights)
        (autos if a == b else crosses).append(np.log(binned) if a == b else binned)
    return np.array(autos), np.array(crosses)


@pytest.mark.parametrize("size", [16, 32, 34])
def test_spectra_are_those_of_numpy(size: int) -> None:
    maps = RNG.standard_normal((3, size, size, 3)).astype(np.float32)
    maps[..., 1] += 0.7 * maps[..., 0]
    maps[..., 2] += np.sin(np.arange(size))[:, None]  # not the same along both axes
    out = keras.ops.convert_to_numpy(Spectra(6)(maps)).reshape(3, 6, 6)
    for one, found in zip(maps, out, strict=True):
        autos, crosses = spectra_by_numpy(one.astype(float), 6)
        assert found[:3] == pytest.approx(autos, abs=1e-5)
        assert found[3:] == pytest.approx(crosses, abs=1e-5 * np.abs(crosses).max())


def test_gradient_of_spectra_is_that_of_finite_differences() -> None:
    import tensorflow as tf

    maps = RNG.standard_normal((16, 16, 2))
    factors = RNG.standard_normal((3, 6))

    def scalar(one: np.ndarray) -> float:
        return float((np.concatenate(spectra_by_numpy(one, 6)) * factors).sum())

    layer, variable = Spectra(6), tf.Variable(maps[None], dtype="float32")
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tf.reshape(layer(variable), (3, 6)) * factors.astype(np.float32))
    gradient = tape.gradient(value, variable).numpy()[0]
    assert float(value) == pytest.approx(scalar(maps), abs=1e-4)
    step = 1e-4
    for pixel in RNG.integers(0, (16, 16, 2), (20, 3)):
        change = np.zeros_like(maps)
        change[tuple(pixel)] = step
        slope = (scalar(maps + change) - scalar(maps - change)) / (2 * step)
        assert gradient[tuple(pixel)] == pytest.approx(slope, abs=float(1e-5 * np.abs(gradient).max()))


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


@pytest.mark.parametrize("pad", [1, 2, 4, 5, 8])
def test_wrap_is_that_of_numpy(pad: int) -> None:
    maps = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)
    expected = np.pad(maps, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="wrap")
    layer = Wrap(pad)
    assert (keras.ops.convert_to_numpy(layer(maps)) == expected).all()
    assert layer.compute_output_shape((None, 8, 8, 3)) == (None, 8 + 2 * pad, 8 + 2 * pad, 3)


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


def test_standardise_does_not_blow_up_what_hardly_varies() -> None:
    features = RNG.standard_normal((200, 2)) * np.array([0.01, 1.0])
    layer = Standardise(0.1)
    layer.build(features.shape)
    layer.set_from(features)
    assert keras.ops.convert_to_numpy(layer.deviation) == pytest.approx([0.1, features[:, 1].std()], rel=1e-5)
    assert keras.layers.deserialize(keras.layers.serialize(layer)).floor == 0.1


def test_gain_begins_at_nothing_and_is_a_factor_for_each_channel() -> None:
    maps = RNG.standard_normal((2, 4, 4, 3)).astype(np.float32)
    layer = Gain()
    assert (keras.ops.convert_to_numpy(layer(maps)) == 0).all()
    layer.gain.assign([1.0, -2.0, 0.5])
    assert keras.ops.convert_to_numpy(layer(maps)) == pytest.approx(maps * np.array([1.0, -2.0, 0.5]), rel=1e-6)
    assert len(layer.trainable_variables) == 1


def test_layers_survive_saving(tmp_path: Path) -> None:
    inputs = keras.Input((16, 16, 2))
    x = keras.layers.Concatenate()([Spectra(4)(inputs), Moments()(Gain()(Wrap(2)(inputs)))])
    model = keras.Model(inputs, Standardise(name="standardise")(x))
    maps = RNG.standard_normal((5, 16, 16, 2)).astype(np.float32)
    model.get_layer("standardise").set_from(RNG.standard_normal((9, model.output_shape[-1])))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert (model.predict(maps, verbose=0) == again.predict(maps, verbose=0)).all()

"""Moments, peaks and troughs of smoothed maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import kurtosis, skew

from cosmokeras.inference import shapes

RNG = np.random.default_rng(3)
MAPS = RNG.gamma(2.0, size=(5, 24, 24, 3)).astype(np.float32)
WEIGHTS = np.array([0.2, 0.5, 0.8], np.float32)


def test_every_feature_has_a_name() -> None:
    for channels in (1, 3):
        found = shapes.measure(MAPS[..., :channels], WEIGHTS[:channels])
        assert found.shape == (5, len(shapes.names(channels)))
    assert len(set(shapes.names(3))) == len(shapes.names(3))


def test_moments_are_those_of_scipy() -> None:
    names, found = shapes.names(3), shapes.measure(MAPS, WEIGHTS)
    summed = (MAPS @ WEIGHTS).reshape(5, -1)
    for what, function in (("skewness", skew), ("kurtosis", kurtosis)):
        error = dict(zip(("skewness", "kurtosis"), shapes.moment_errors(MAPS.shape[1], 0.0), strict=True))[what]
        for plane, pixels in (("bin 2", MAPS[..., 1].reshape(5, -1)), ("the sum of bins", summed)):
            own = error * np.sinh(found[:, names.index(f"{what} of {plane}")] / error)
            assert own == pytest.approx(function(pixels, axis=1), abs=1e-3)


def test_moments_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    normal, exponential = 2 * rng.standard_normal((50, 64, 64)), 3 * rng.exponential(size=(50, 64, 64))
    both = np.stack([normal, exponential], axis=-1).astype(np.float32)
    found, names = shapes.measure(both, np.ones(2, np.float32)), shapes.names(2)
    for what, error, moments in zip(
        ("skewness", "kurtosis"), shapes.moment_errors(64, 0.0), ((0, 2), (0, 6)), strict=True
    ):
        for plane, moment in zip(("bin 1", "bin 2"), moments, strict=True):
            own = error * np.sinh(found[:, names.index(f"{what} of {plane}")] / error)
            assert own.mean() == pytest.approx(moment, abs=0.1)


def test_one_pixel_does_not_decide() -> None:
    """A moment that is a hundred standard errors from 0 is a few of them when it is compressed; small ones stay."""
    error = shapes.moment_errors(64, 0.0)[1]
    assert error == pytest.approx((24 / 64**2) ** 0.5)
    assert shapes.moment_errors(64, 2.8)[1] == pytest.approx(error * (1 + 4 * np.pi * 2.8**2) ** 0.5)
    found = shapes.compressed(error * np.array([-100.0, 0.0, 0.1, 100.0]), error) / error
    assert found == pytest.approx([-5.298, 0, 0.0998, 5.298], abs=1e-3)
    noise = np.random.default_rng(3).standard_normal((400, 64, 64, 1)).astype(np.float32)
    column = shapes.names(1).index("kurtosis of the map")
    assert shapes.measure(noise, np.ones(1, np.float32))[:, column].std() == pytest.approx(0.72 * error, rel=0.12)


def test_features_of_an_empty_map_are_finite() -> None:
    assert np.isfinite(shapes.measure(np.zeros((2, 16, 16, 3), np.float32), WEIGHTS)).all()


def test_maps_are_smoothed_by_the_scale_that_is_named() -> None:
    scale = shapes.SCALES[-1]
    inner = slice(12, 36)  # edges are treated differently
    wide = RNG.gamma(0.3, size=(1, 48, 48)).astype(np.float32)
    expected = gaussian_filter(wide[0], scale, truncate=8)[inner, inner]
    found = shapes._smooth(wide[None], scale)[0, 0][inner, inner]
    assert found == pytest.approx(expected, abs=1e-3)
    assert shapes._smooth(np.ones((1, 1, 16, 16), np.float32), scale) == pytest.approx(
        np.ones((1, 1, 16, 16)), abs=1e-5
    )


def test_peaks_are_counted_above_their_neighbours_and_inside() -> None:
    image = np.zeros((1, 16, 16, 1), np.float32)
    image[0, [4, 8, 12], [4, 8, 12]] = 10.0
    image[0, 8, 9] = 9.0  # on the slope of one
    image[0, 0, 0] = 10.0  # on the edge: who knows what is beyond
    names, weights = shapes.names(1), np.ones(1, np.float32)
    found = shapes.measure(image, weights)[0]
    assert found[names.index("peaks above 2 sigma in the map")] == 3
    assert found[names.index("troughs below -2 sigma in the map")] == 0
    found = shapes.measure(-image, weights)[0]
    assert found[names.index("troughs below -3 sigma in the map")] == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_the_map_times_minus_one_follow_from_its_own(channels: int) -> None:
    maps, weights = MAPS[..., :channels], WEIGHTS[:channels]
    assert shapes.of_negated(shapes.measure(maps, weights)) == pytest.approx(shapes.measure(-maps, weights), abs=1e-4)


def test_weights_are_those_of_most_signal() -> None:
    signal = gaussian_filter(RNG.standard_normal((200, 32, 32)), (0, 3, 3)) * 10
    maps = signal[..., None] * np.array([0.0, 1.0, 2.0]) + RNG.standard_normal((200, 32, 32, 3))
    weights = shapes.signal_weights(shapes.smoothed_channels(maps.astype(np.float32)))
    assert weights == pytest.approx(np.array([0.0, 1.0, 2.0]) / np.sqrt(5), abs=0.03)

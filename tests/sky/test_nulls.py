"""Null tests: what they say of noise, and that they fail on a sky that is not right."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.sky.nulls import b_mode_nulls, patch_nulls, pixel_nulls, skewness, variance_scatter

SIGMA = np.array([0.1, 0.2])


@pytest.fixture
def patches() -> np.ndarray:
    return SIGMA * np.random.default_rng(1).standard_normal((60, 32, 32, 2))


def test_pixels_of_noise_have_no_mean_unit_scatter_and_no_skewness() -> None:
    maps = SIGMA[:, None] * np.random.default_rng(2).standard_normal((2, 10_000))
    found = pixel_nulls(maps, SIGMA)
    for number in (1, 2):
        assert found[f"bin_{number}_mean"] == pytest.approx(0, abs=0.04)
        assert found[f"bin_{number}_std"] == pytest.approx(1, abs=0.03)
        assert found[f"bin_{number}_skewness"] == pytest.approx(0, abs=0.1)
    broken = pixel_nulls(1.3 * maps + 0.1, SIGMA)
    assert broken["bin_1_mean"] > 0.9
    assert broken["bin_2_std"] > 1.25


def test_skewness_of_a_skewed_sample() -> None:
    sample = np.random.default_rng(3).exponential(size=200_000)
    assert skewness(sample) == pytest.approx(2, abs=0.1)
    assert skewness(-sample) == pytest.approx(-2, abs=0.1)


def test_b_modes_are_held_against_the_noise_of_e() -> None:
    maps = 3 * SIGMA[:, None] * np.random.default_rng(4).standard_normal((2, 10_000))
    found = b_mode_nulls(maps, SIGMA)
    assert found == {name: pytest.approx(3, abs=0.1) for name in ("bin_1_b_std", "bin_2_b_std")}


def test_variance_of_alike_patches_scatters_as_expected(patches: np.ndarray) -> None:
    coverage = np.ones(patches.shape[:3])
    np.testing.assert_allclose(variance_scatter(patches, coverage), 1, atol=0.3)
    # holes and correlated pixels change nothing
    coverage[:, 5:12, 8:30] = 0.2
    blurred = (patches + np.roll(patches, 1, axis=1)) / 2
    blurred[:, 5:12, 8:30] = 0
    np.testing.assert_allclose(variance_scatter(blurred, coverage), 1, atol=0.3)


def test_patches_of_another_depth_stand_out(patches: np.ndarray) -> None:
    patches[::2, ..., 1] *= 1.2
    found = patch_nulls(patches, np.ones(patches.shape[:3]))
    assert found["bin_1_patch_scatter"] < 1.3
    assert found["bin_2_patch_scatter"] > 3


def test_one_patch_tells_nothing_about_scatter(patches: np.ndarray) -> None:
    assert patch_nulls(patches[:1], np.ones((1, 32, 32))) == {}
    assert patch_nulls(patches, np.zeros(patches.shape[:3])) == {}

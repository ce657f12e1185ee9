"""Kaiser-Squires: exact inverse, signs, E/B separation, noise."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.sky.kaiser_squires import kaiser_squires, shear_from_kappa


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 20), (3, 16, 18)])
def test_inverse_is_exact_up_to_the_mean(shape):
    kappa = np.random.default_rng(1).normal(size=shape)
    kappa_e, kappa_b = kaiser_squires(*shear_from_kappa(kappa))
    np.testing.assert_allclose(kappa_e, kappa - kappa.mean(axis=(-2, -1), keepdims=True), atol=1e-13)
    np.testing.assert_allclose(kappa_b, 0.0, atol=1e-13)


def test_plane_waves_fix_the_signs():
    """Shear is -gamma_t: a wave in x has g1 = kappa, in y g1 = -kappa, along the diagonal x + y g2 = kappa."""
    y, x = np.mgrid[:32, :32] * (2 * np.pi / 32)
    for wave, expected in [
        (np.cos(3 * x), (1.0, 0.0)),
        (np.cos(2 * y), (-1.0, 0.0)),
        (np.cos(4 * (x + y)), (0.0, 1.0)),
        (np.cos(4 * (x - y)), (0.0, -1.0)),
    ]:
        g1, g2 = shear_from_kappa(wave)
        np.testing.assert_allclose(g1, expected[0] * wave, atol=1e-12)
        np.testing.assert_allclose(g2, expected[1] * wave, atol=1e-12)


def test_shear_is_tangential_around_a_mass():
    n = 65
    y, x = np.mgrid[:n, :n] - n // 2
    kappa = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)
    g1, g2 = shear_from_kappa(kappa)
    phi = np.arctan2(y, x)
    tangential = -(g1 * np.cos(2 * phi) + g2 * np.sin(2 * phi))
    cross = g1 * np.sin(2 * phi) - g2 * np.cos(2 * phi)
    ring = np.abs(np.hypot(x, y) - 8) < 1
    # gamma_t = mean kappa inside - kappa: 2 s^2 / r^2 = 0.28 at r = 8, less a little for periodicity
    assert tangential[ring].mean() == pytest.approx(0.25, abs=0.05)
    assert np.abs(cross[ring]).mean() < 0.01


def test_rotating_shear_by_45_degrees_swaps_e_and_b():
    g1, g2 = np.random.default_rng(2).normal(size=(2, 24, 24))
    kappa_e, kappa_b = kaiser_squires(g1, g2)
    rotated_e, rotated_b = kaiser_squires(-g2, g1)
    np.testing.assert_allclose(rotated_e, -kappa_b, atol=1e-12)
    np.testing.assert_allclose(rotated_b, kappa_e, atol=1e-12)


def test_wrong_sign_of_g2_leaks_into_b():
    kappa = np.random.default_rng(3).normal(size=(32, 32))
    g1, g2 = shear_from_kappa(kappa)
    assert kaiser_squires(g1, -g2)[1].std() > 0.5


def test_white_noise_keeps_its_variance():
    g1, g2 = np.random.default_rng(4).normal(scale=0.3, size=(2, 20, 64, 64))
    kappa_e, kappa_b = kaiser_squires(g1, g2)
    # 81,900 independent values: standard error of the standard deviation 0.25 %
    assert kappa_e.std() == pytest.approx(0.3, rel=0.01)
    assert kappa_b.std() == pytest.approx(0.3, rel=0.01)
    assert abs(np.mean(kappa_e * kappa_b)) < 4 * 0.09 / np.sqrt(kappa_e.size)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="one shape"):
        kaiser_squires(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="map"):
        shear_from_kappa(np.zeros(4))

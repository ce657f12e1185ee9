"""Noise of Kaiser-Squires maps against fields that are white up to lmax on a real sphere, cut as real maps are."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from cosmokeras.sky.band_noise import band_correlation, band_covariance, band_power, band_variance
from cosmokeras.sky.patches import sub_points, tangent_grid
from cosmokeras.sky.pixels import ARCMIN

NSIDE, LMAX, PIXEL, SIZE = 64, 128, 80.0, 16
PLACE = ((30.0, 30.0 + 1e-9, -50.0, -50.0 + 1e-9),)
AROUND = ((20.0, 40.0, -58.0, -42.0),)  # the patch
AREA = (PIXEL * ARCMIN) ** 2 / healpy.nside2pixarea(NSIDE)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    """One patch of 1,000 skies of unit power, (1000, SIZE, SIZE), in units of white noise of the flat pixels' area."""
    below = sub_points(NSIDE, tangent_grid(SIZE * PIXEL * ARCMIN, SIZE * 4), 30.0, -50.0)
    power, found = np.full(LMAX + 1, healpy.nside2pixarea(NSIDE)), []
    rng = np.random.default_rng(0)
    number = healpy.Alm.getsize(LMAX)
    for _ in range(1000):
        alm = (rng.standard_normal(number) + 1j * rng.standard_normal(number)) / np.sqrt(2)
        alm[: LMAX + 1] = rng.standard_normal(LMAX + 1)
        sky = healpy.alm2map(healpy.almxfl(alm, np.sqrt(power)), NSIDE, lmax=LMAX, pixwin=False)
        found.append(sky[below].reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3)))
    return np.sqrt(AREA) * np.array(found)


def test_the_correlation_is_that_of_a_disc_of_modes() -> None:
    k = (np.arange(200) + 0.5) / 200
    for x in (0.0, 1.0, 3.8, 20.0):
        waves = np.cos(x * k[:, None] * np.cos(2 * np.pi * (np.arange(300) + 0.5) / 300)).mean(axis=1)
        assert band_correlation(np.array([x]))[0] == pytest.approx(np.sum(k * waves) / np.sum(k), abs=2e-3)
    assert band_correlation(np.array([1e9]))[0] == 0


@pytest.mark.slow
def test_variance_of_each_pixel(patches: np.ndarray) -> None:
    unit = (PIXEL * ARCMIN) ** 2 * LMAX**2 / (4 * np.pi)
    ours = band_variance(NSIDE, LMAX, PIXEL, SIZE, PLACE)[0] * unit
    found = patches.var(axis=0)
    assert found.mean() == pytest.approx(ours.mean(), rel=0.02)
    assert ours.std() / ours.mean() > 0.03
    # each variance is measured to sqrt(2 / 1000) = 4.5 %: the moire pattern is seen if the right pixels have it
    assert np.corrcoef(found.ravel(), ours.ravel())[0, 1] > 0.5
    assert np.corrcoef(found.ravel(), ours[::-1, ::-1].ravel())[0, 1] < 0.4


@pytest.mark.slow
def test_covariance_of_neighbours_and_power(patches: np.ndarray) -> None:
    unit = (PIXEL * ARCMIN) ** 2 * LMAX**2 / (4 * np.pi)
    near = band_covariance(NSIDE, LMAX, PIXEL, AROUND) * unit
    lags = np.fft.ifft2(band_power(NSIDE, LMAX, PIXEL, 48, AROUND)).real
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 3)):
        found = np.mean(patches[:, y:, x:] * patches[:, : SIZE - y, : SIZE - x])
        assert near[4 + y, 4 + x] == pytest.approx(found, abs=0.015)
        assert lags[y, x] == pytest.approx(near[4 + y, 4 + x], abs=1e-3)
    power = band_power(NSIDE, LMAX, PIXEL, 48, AROUND)
    assert power[0, 0] == pytest.approx(1, abs=0.02)
    assert power[20:29, 20:29].max() < 0.02, "above lmax"

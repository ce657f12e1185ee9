"""The comparison with the observed xi+ and xi- of DES Y3: reader, correlation of masked shear, picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import jv

from benchmarks.checks import xi

PAIRS, ANGLES = np.array([[0, 0], [0, 1], [1, 1]]), 10


@pytest.fixture
def observed() -> xi.Observed:
    """Points as they are published, of two bins."""
    half = len(PAIRS) * ANGLES
    bins = np.tile(np.repeat(PAIRS, ANGLES, axis=0), (2, 1))
    number, angle = np.tile(np.arange(ANGLES), 6), np.tile(np.geomspace(11, 90, ANGLES), 6)
    return xi.Observed(bins, number, np.arange(2 * half) < half, angle, np.zeros(2 * half), np.eye(2 * half))


def test_uniform_shear_has_its_square_everywhere_and_masked_pixels_do_not_count(observed: xi.Observed) -> None:
    shear = np.zeros((2, 2, 48, 48))
    shear[0, 0], shear[0, 1] = 0.01, 0.03
    seen = np.ones((48, 48), bool)
    seen[10:20, 5:30] = False
    shear[:, :, ~seen] = 7.0
    found = xi.correlate(shear, seen, observed)
    for pair, want in zip(PAIRS, (1e-4, 3e-4, 9e-4), strict=True):
        part = (observed.bins == pair).all(axis=1) & observed.plus
        np.testing.assert_allclose(found[part], want, rtol=1e-6)


def test_sums_are_those_over_all_pairs() -> None:
    """One by one, on a small grid with holes; some separations lie on an edge (3, 4, 5 and 10 pixels)."""
    rng = np.random.default_rng(1)
    shape, edges = (14, 18), np.array([2.5, 3.0, 5.0, 7.3, 10.0, 12.5])
    one, two = rng.standard_normal((2, *shape)) + 1j * rng.standard_normal((2, *shape))
    seen = rng.random(shape) > 0.3
    one[~seen] = np.nan
    expected = np.zeros((3, len(edges) - 1))
    places = np.argwhere(seen)
    for y, x in places:
        for v, u in places:
            apart = np.sqrt((u - x) ** 2 + (v - y) ** 2)  # exact where it is a whole number
            number = np.flatnonzero((edges[:-1] <= apart) & (apart < edges[1:]))
            turn = np.exp(-4j * np.arctan2(v - y, u - x))
            pair = one[y, x], two[v, u]
            for row, value in enumerate((pair[0] * np.conj(pair[1]), pair[0] * pair[1] * turn, 1)):
                expected[row, number] += np.real(value)
    found = xi.pair_sums(one, two, seen, edges)
    np.testing.assert_array_equal(found[2], expected[2])
    np.testing.assert_allclose(found[:2], expected[:2], atol=1e-9)
    assert expected[2].min() > 300 and np.abs(expected[:2]).max() > 10


@pytest.mark.slow
def test_waves_of_one_length_have_the_bessel_functions_of_lensing() -> None:
    """xi+ is J0 and xi- J4 of the wavenumber times the separation, both with the variance of the waves."""
    n, ell = 128, 2 * np.pi * 4 / 128
    y, x = np.mgrid[:n, :n]
    rng = np.random.default_rng(2)
    sums = np.zeros((3, 3))
    edges = np.array([5.5, 6.5, 7.5, 8.5])
    for angle, phase in rng.uniform(0, 2 * np.pi, (200, 2)):
        wave = np.cos(ell * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        sums += xi.pair_sums(wave * np.exp(2j * angle), wave * np.exp(2j * angle), np.ones((n, n), bool), edges)
    apart = ell * np.array([6.0, 7.0, 8.0])
    for order, row in ((0, sums[0]), (4, sums[1])):
        assert row / sums[2] == pytest.approx(jv(order, apart) / 2, abs=0.04)


def test_noise_is_not_correlated(observed: xi.Observed) -> None:
    rng = np.random.default_rng(3)
    found = xi.correlate(rng.normal(0, 0.1, (2, 2, 64, 64)), np.ones((64, 64), bool), observed)
    assert np.abs(found).max() < 5 * 0.1**2 / np.sqrt(64**2 * 10)  # ten or more neighbours in the narrowest ring


@pytest.mark.skipif(not (xi.real_data() / xi.DATA).exists(), reason=f"no {xi.DATA} in {xi.real_data()}")
def test_the_published_vector_is_read_between_10_and_100_arcmin() -> None:
    points = xi.read(xi.real_data() / xi.DATA)
    assert len(points.value) == 200 and points.plus.sum() == 100
    assert len(np.unique(points.bins, axis=0)) == 10 and points.number.max() == 9
    assert points.angle.min() > xi.EDGES[0] and points.angle.max() < xi.EDGES[1]
    error = np.sqrt(np.diag(points.covariance))
    highest = (points.bins == 3).all(axis=1) & points.plus
    assert (points.value[highest] > 2 * error[highest]).all()
    assert np.linalg.eigvalsh(points.covariance).min() > 0


def test_picture(observed: xi.Observed, tmp_path: Path) -> None:
    xi.draw(tmp_path / "xi.png", observed, np.ones(60), np.full(60, 0.1))
    assert (tmp_path / "xi.png").stat().st_size > 10_000

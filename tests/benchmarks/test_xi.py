"""The comparison with the observed xi+ and xi- of DES Y3: reader, correlation of masked shear, picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.checks import xi

treecorr = pytest.importorskip("treecorr")
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

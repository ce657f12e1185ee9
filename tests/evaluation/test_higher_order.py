"""Starlet l1-norm: the transform, what lies in which bin, and what it sees that spectra do not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from cosmokeras.evaluation.higher_order import BINS, SCALES, L1Norm, starlet
from cosmokeras.inference.features import spectra

EDGES = [-np.inf, -2, -1, 0, 1, 2, 3, np.inf]


def noise(n: int, seed: int, size: int = 32, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize(("periodic", "mode"), [(True, "wrap"), (False, "reflect")])
def test_transform_is_that_of_another_code(periodic: bool, mode: str) -> None:
    """Smoothing by scipy, whose `reflect` repeats the edge pixel."""
    maps = noise(3, 0)
    found, smooth = starlet(maps, periodic), maps.transpose(0, 3, 1, 2).astype(float)
    assert found.shape == (SCALES + 1, 3, 2, 32, 32)
    for j in range(SCALES):
        taps = np.zeros(4 * 2**j + 1)
        taps[:: 2**j] = np.array([1, 4, 6, 4, 1]) / 16
        smoother = convolve1d(convolve1d(smooth, taps, axis=2, mode=mode), taps, axis=3, mode=mode)
        assert found[j] == pytest.approx(smooth - smoother, abs=1e-5)
        smooth = smoother
    assert found[SCALES] == pytest.approx(smooth, abs=1e-5)
    assert found.sum(axis=0) == pytest.approx(maps.transpose(0, 3, 1, 2), abs=1e-5)


def test_norm_is_the_sum_of_absolute_coefficients_in_each_bin() -> None:
    """More maps than are transformed at once; units from other maps."""
    training, maps = noise(40, 1), 1.5 * noise(35, 2) + 0.3
    found = L1Norm.fit(training, True)(maps).reshape(35, 2, SCALES + 1, BINS)
    unit = np.sqrt(np.mean(starlet(training, True) ** 2, axis=(1, 3, 4)))
    ratio = starlet(maps, True) / unit[:, None, :, None, None]
    for b, (low, high) in enumerate(pairwise(EDGES)):
        inside = np.where((ratio >= low) & (ratio < high), np.abs(ratio), 0).mean(axis=(3, 4))
        assert found[..., b] == pytest.approx(inside.transpose(1, 2, 0), abs=2e-3)


def test_symmetries() -> None:
    """Periodic maps may be shifted, all may be turned; the amplitude counts, and so does the sign."""
    maps = noise(8, 3)
    for periodic in (True, False):
        norm = L1Norm.fit(maps, periodic)
        plain = norm(maps)
        assert norm(maps[:, ::-1].transpose(0, 2, 1, 3)) == pytest.approx(plain, abs=2e-3)
        shifted = np.abs(norm(np.roll(maps, (5, 9), axis=(1, 2))) - plain).max()
        assert shifted < 2e-3 if periodic else shifted > 5e-3
        for other in (2 * maps, -maps):
            assert np.abs(norm(other) - plain).max() > 0.05


def test_it_sees_what_spectra_do_not() -> None:
    """Fields of the same spectrum, with peaks and after their phases were shuffled: one sort can tell them apart."""
    rng, n = np.random.default_rng(4), 200
    peaks = np.exp(1.5 * starlet(noise(n, 5, channels=1), True)[1, :, 0])
    peaks -= peaks.mean(axis=(1, 2), keepdims=True)
    modes = np.abs(np.fft.rfft2(peaks))
    phases = np.fft.rfft2(rng.standard_normal(peaks.shape))
    gaussian = np.fft.irfft2(modes * phases / np.abs(phases), s=(32, 32))
    two = [maps[..., None].astype(np.float32) for maps in (peaks, gaussian)]

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        """Largest difference of the means, in units of the scatter."""
        return float(np.max(np.abs(a.mean(axis=0) - b.mean(axis=0)) / (a.std(axis=0) + b.std(axis=0) + 1e-9)))

    norm = L1Norm.fit(two[0], True)
    assert apart(*(spectra(maps, 6) for maps in two)) < 0.05
    assert apart(*(norm(maps) for maps in two)) > 1


def test_empty_maps_are_finite() -> None:
    empty = np.zeros((4, 16, 16, 1), np.float32)
    assert np.isfinite(L1Norm.fit(empty, False)(empty)).all()

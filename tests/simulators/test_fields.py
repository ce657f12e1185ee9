"""Gaussian fields mode by mode, and the seeds of maps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import fft
from scipy.stats import kstest

from cosmokeras.params.registry import KINDS
from cosmokeras.simulators import SPLITS, realisations, simulator
from cosmokeras.simulators.fields import _box_muller, mode_amplitude, normal_modes, wavenumbers

N = 16
FIELDS = 4000


@pytest.fixture(scope="module")
def amplitude() -> np.ndarray:
    """A spectrum that falls steeply, (N, N // 2 + 1)."""
    return ((1 + wavenumbers(N, 1.0)) ** -2).astype(np.float32)


@pytest.fixture(scope="module")
def fields(amplitude: np.ndarray) -> np.ndarray:
    modes = normal_modes(np.random.default_rng(0), (FIELDS, N, N // 2 + 1)) * mode_amplitude(amplitude**2)
    return fft.irfft2(modes, s=(N, N))


def test_wavenumbers_are_those_of_rfft2() -> None:
    n, spacing = 12, 0.5
    k = wavenumbers(n, spacing)
    assert k.shape == (n, n // 2 + 1)
    y, x = np.meshgrid(np.arange(n) * spacing, np.arange(n) * spacing, indexing="ij")
    for i, j in ((0, 1), (3, 2), (11, 0), (6, 6)):
        # a plane wave of that mode: its Laplacian is -k^2 times itself
        ky, kx = 2 * np.pi * (i if i <= n // 2 else i - n) / (n * spacing), 2 * np.pi * j / (n * spacing)
        modes = np.abs(np.fft.rfft2(np.cos(ky * y + kx * x)))
        assert modes[i, j] > 1
        assert k[i, j] == pytest.approx(np.hypot(ky, kx))
    assert k[0, 0] == 0.0


def test_every_mode_has_its_variance(fields: np.ndarray, amplitude: np.ndarray) -> None:
    power = np.mean(np.abs(np.fft.rfft2(fields)) ** 2, axis=0)
    error = np.full(power.shape, 1 / np.sqrt(FIELDS))
    # modes that are their own conjugates are real, and scatter more
    error[np.ix_([0, N // 2], [0, N // 2])] *= np.sqrt(2)
    pull = (power / amplitude**2 - 1) / error
    # 144 modes: 5 sigma for the worst, and the mean of the columns that hold their own conjugates by itself
    assert np.abs(pull).max() < 5
    assert abs(pull[:, [0, -1]].mean()) < 3 / np.sqrt(N)
    assert pull.std() == pytest.approx(1, abs=0.2)


def test_modes_are_independent_and_phases_random(fields: np.ndarray, amplitude: np.ndarray) -> None:
    modes = (np.fft.rfft2(fields) / amplitude)[:, 1 : N // 2, 1:-1].reshape(FIELDS, -1)
    covariance = modes.T @ modes.conj() / FIELDS
    off = np.abs(covariance - np.diag(np.diag(covariance)))
    assert off.max() < 6 / np.sqrt(FIELDS)
    # no power of two modes is shared through their phases either: <m m> = 0
    assert np.abs(modes.T @ modes / FIELDS).max() < 6 / np.sqrt(FIELDS)


def test_normal_numbers_are_normal() -> None:
    modes = normal_modes(np.random.default_rng(1), (100, 64, 33))
    numbers = np.concatenate([modes.real.ravel(), modes.imag.ravel()]) * np.sqrt(2)
    assert kstest(numbers, "norm").pvalue > 1e-3
    assert abs(np.mean(modes.real * modes.imag)) < 4 / np.sqrt(4 * modes.size)
    # far out as well: of 422,400 numbers 1,140 lie beyond 3 sigma, 27 beyond 4
    assert np.count_nonzero(np.abs(numbers) > 3) == pytest.approx(1140, abs=4 * np.sqrt(1140))
    assert 5 < np.count_nonzero(np.abs(numbers) > 4) < 60
    assert np.isfinite(numbers).all()


def test_series_are_those_of_box_and_muller() -> None:
    """Against double precision on the same bits, and at the ends of what 64 bits can hold."""
    bits = np.random.default_rng(2).bit_generator.random_raw(100_000)
    bits[:4] = [0, 2**64 - 1, 2**32 - 1, 2**64 - 2**32]
    out = np.empty(2 * bits.size, np.float32)
    _box_muller(bits, out)
    u, v = ((bits & np.uint64(2**32 - 1)) >> np.uint64(8)).astype(float), (bits >> np.uint64(40)).astype(float)
    exact = np.sqrt(-np.log((u + 1) / 2**24)) * np.exp(2j * np.pi * v / 2**24)
    assert out.view(np.complex64) == pytest.approx(exact, abs=2e-6)


def test_numbers_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    at_once = normal_modes(np.random.default_rng(1), (5, 16, 9))
    rng = np.random.default_rng(1)
    assert (np.concatenate([normal_modes(rng, (2, 16, 9)), normal_modes(rng, (3, 16, 9))]) == at_once).all()


def test_fields_are_single_precision(fields: np.ndarray) -> None:
    assert fields.dtype == np.float32


def test_generator_is_that_of_its_four_numbers() -> None:
    draws = {}
    for key in itertools.product((1, 2), (0, 1), (0, 7), (0, 3)):
        draws[key] = tuple(realisations(*key[:3])(key[3]).standard_normal(4))
        assert draws[key] == tuple(realisations(*key[:3])(key[3]).standard_normal(4))
    assert len(set(draws.values())) == 16


def test_splits_have_numbers_of_their_own() -> None:
    assert len(set(SPLITS.values())) == len(SPLITS)
    assert {"train", "validation", "test"} <= set(SPLITS)


@pytest.mark.parametrize("kind", KINDS)
def test_simulators_of_the_registry_have_what_is_asked_of_them(kind: str) -> None:
    module = simulator(kind)
    assert callable(module.prepare)
    assert callable(module.maps)
    assert callable(module.spectrum)

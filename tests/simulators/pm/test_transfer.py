"""Ratios of power measured on planes whose power is known."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.simulators.mesh import slab_power
from cosmokeras.simulators.pm import transfer
from cosmokeras.simulators.pm.planes import AXES, HALVES

SIDE, HIGHEST = 100.0, 40


def power(k: np.ndarray) -> np.ndarray:
    return 100.0 * np.asarray(k) ** -1.2


def gaussian_planes(rng: np.random.Generator, lacking: np.ndarray) -> np.ndarray:
    """Planes with `lacking` (modes) of the power of theory."""
    shape = (AXES, HALVES, *lacking.shape)
    modes = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    k = transfer.wavenumbers(HIGHEST) * 2 * np.pi / SIDE
    expected = slab_power(power, np.maximum(k, 0.01), SIDE / HALVES, SIDE)
    return (modes * np.sqrt(expected * lacking) / SIDE).astype(np.complex64)


def test_the_ratio_is_what_planes_lack() -> None:
    """exp(-k / 2), within 5 % from the ramp to the highest mode, of 40 sets of planes."""
    k = transfer.wavenumbers(HIGHEST) * 2 * np.pi / SIDE
    total, count = np.zeros((2, len(transfer.LOG_K)))
    rng = np.random.default_rng(0)
    for _ in range(40):
        one = transfer.measured(gaussian_planes(rng, np.exp(-k / 2)), SIDE, power)
        total, count = total + one[0], count + one[1]
    at = np.log(np.array([0.4, 0.7, 1.0, 1.5, 2.2]))
    found = transfer.ratio_at(at, transfer.smoothed(total, count))
    assert found == pytest.approx(np.exp(-np.exp(at) / 2), rel=0.05)


def test_long_waves_are_left_alone() -> None:
    halved = np.full(len(transfer.LOG_K), np.log(0.5))
    assert transfer.ratio_at(np.log([0.01, 0.11]), halved) == pytest.approx(1)
    assert transfer.ratio_at(np.log([0.4, 5.0]), halved) == pytest.approx(0.5)
    assert 0.5 < transfer.ratio_at(np.log([0.2]), halved)[0] < 1


def test_straight_lines_are_kept() -> None:
    """Smoothing by local lines leaves a line in ln k as it is, and goes on flat where nothing was measured."""
    count = np.full(len(transfer.LOG_K), 5.0)
    count[40:] = 0
    line = 1 - 0.1 * transfer.LOG_K
    found = np.exp(transfer.smoothed(line * count, count))
    assert found[:40] == pytest.approx(line[:40], rel=1e-6)
    assert found[40:] == pytest.approx(line[39], rel=1e-6)

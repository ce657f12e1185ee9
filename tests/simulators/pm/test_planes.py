"""Planes of a cube: mass, a wave, windows."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.simulators.pm.forces import inverse_laplacian
from cosmokeras.simulators.pm.planes import AXES, HALVES, descent, planes
from cosmokeras.simulators.pm.steps import lattice

N, SIZE, HIGHEST = 16, 64, 20


def test_slabs_share_the_mass_of_the_cube() -> None:
    """The mean contrasts of the two halves add up to 0, along each axis."""
    x = (lattice(N) + np.random.default_rng(0).normal(0, 3, (3, N**3))).astype(np.float32)
    modes = planes(x, N, SIZE, HIGHEST)
    assert modes.shape == (AXES, HALVES, 2 * HIGHEST + 1, HIGHEST + 1)
    assert modes[:, :, HIGHEST, 0].sum(axis=1) == pytest.approx(0, abs=1e-5)
    assert np.abs(modes[:, 0, HIGHEST, 0]).min() > 1e-4


def test_a_wave_is_in_the_planes_that_it_crosses() -> None:
    """Particles crowded by psi = -a sin(k y) / k: contrast a cos(k y) to first order in a, within 1 %."""
    x, a, m = lattice(N), 0.02, 2
    k = 2 * np.pi / N * m
    x[1] -= a * np.sin(k * x[1]) / k
    modes = planes(x, N, SIZE, HIGHEST)
    # along y the wave is in depth; for x and z it is along the rows or the columns
    assert np.abs(modes[0, :, HIGHEST + m, 0] - a / 2).max() < 0.01 * a
    assert np.abs(modes[2, :, HIGHEST, m] - a / 2).max() < 0.01 * a
    assert np.abs(modes[1, :, HIGHEST - 5 : HIGHEST + 5, :5]).max() < 0.01


def test_points_at_random_have_white_planes() -> None:
    """Once the clouds' window is divided out, but for what is aliased: to half of the Nyquist frequency within 8 %."""
    x = np.random.default_rng(1).uniform(0, N, (3, N**3)).astype(np.float32)
    power = (np.abs(planes(x, N, SIZE, HIGHEST)) ** 2).mean(axis=(0, 1)) * N**3 / HALVES
    inside = np.hypot(*np.meshgrid(np.arange(-HIGHEST, HIGHEST + 1), np.arange(HIGHEST + 1), indexing="ij")) <= SIZE / 4
    assert power[inside].mean() == pytest.approx(1, rel=0.08)


def test_descent_moves_towards_dense_places() -> None:
    """Its potential is that of gravity, of fewer waves: negative, and weaker; none where waves are too long."""
    inverse = inverse_laplacian(N)
    gain = descent(inverse, 8.0)
    assert gain is not None
    assert (gain <= 0).all()
    assert (gain.ravel()[1:] >= 0.0031 * inverse.ravel()[1:]).all()
    assert descent(inverse, 64.0) is None

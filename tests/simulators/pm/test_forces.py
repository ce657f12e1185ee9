"""Forces on a small mesh: mass, momentum, a plane wave, and where the mesh lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from cosmokeras.simulators.mesh import assign
from cosmokeras.simulators.pm import forces
from cosmokeras.simulators.pm.steps import lattice

N = 32


def clustered(seed: int = 0, spread: float = 1.5) -> np.ndarray:
    """Particles well away from the lattice, some of them outside of the cube."""
    rng = np.random.default_rng(seed)
    x = lattice(N)
    wave = 3 * np.sin(2 * np.pi * x / N * 2)
    return (x + wave + rng.normal(0, spread, x.shape)).astype(np.float32)


def pull(x: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """-grad of the inverse Laplacian of the density at the particles."""
    field = forces.potential(fft.rfftn(forces.density(x, offset, N)), forces.inverse_laplacian(N))
    v = np.zeros_like(x)
    forces.kick(x.copy(), v, offset, field, 0.0, 1.0, 0.0)
    return v


def test_clouds_are_those_of_the_other_mesh() -> None:
    x = clustered()
    wanted = assign(x.T.astype(float), N, float(N), "cic")
    assert forces.density(x, np.zeros(3), N) == pytest.approx(wanted, abs=2e-4)


def test_mass_is_conserved_wherever_the_mesh_lies() -> None:
    for offset in (np.zeros(3), np.array([0.2, 0.9, 0.5])):
        total = (forces.density(clustered(), offset, N).astype(float) + 1).sum()
        assert total == pytest.approx(N**3, rel=1e-6)


def test_particles_do_not_move_each_other_s_centre_of_mass() -> None:
    """The mean force is below 1e-5 of its rms: painting and reading are the same clouds."""
    v = pull(clustered(), np.array([0.3, 0.6, 0.1])).astype(float)
    assert np.abs(v.mean(axis=1)).max() < 1e-5 * v.std()


@pytest.mark.parametrize("offset", [0.0, 0.37])
def test_force_of_a_plane_wave(offset: float) -> None:
    """-i k / k^2 delta of a weak wave of 8 cells, within 1.5 %."""
    x = lattice(N)
    k = 2 * np.pi / N * 4
    psi = 0.02 * np.sin(k * x[2])
    x[2] += psi
    v = pull(x, np.full(3, offset))
    slope = np.vdot(v[2].astype(float), psi) / np.vdot(psi.astype(float), psi)
    assert slope == pytest.approx(1, rel=0.015)
    assert np.abs(v[:2]).max() < 0.02 * np.abs(psi).max()


def test_forces_hardly_depend_on_where_the_mesh_lies() -> None:
    """By less than a tenth of their rms, and not at all by whole cells."""
    x = clustered()
    one, other = (pull(x, np.array(at)) for at in ([0.0, 0.0, 0.0], [0.5, 0.25, 0.75]))
    assert (one - other).std() < 0.1 * one.std()
    assert np.abs(pull(x, np.array([1.0, 5.0, -3.0])) - one).max() < 1e-3 * one.std()


def test_the_same_bytes_again() -> None:
    x = clustered()
    assert pull(x, np.full(3, 0.4)).tobytes() == pull(x.copy(), np.full(3, 0.4)).tobytes()

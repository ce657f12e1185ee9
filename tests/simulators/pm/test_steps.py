"""Steps against exact answers: a plane wave, second-order perturbation theory, linear growth; against finer ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import fft

from cosmokeras.simulators import lpt
from cosmokeras.simulators.mesh import power_spectrum
from cosmokeras.simulators.pm import forces, steps
from cosmokeras.simulators.pm.growth import Growth, growth

N = 32


@pytest.fixture(scope="module")
def expansion() -> Growth:
    return growth({"omega_m": 0.3, "w0": -1.0})


def last(delta: np.ndarray, edges: np.ndarray, expansion: Growth, seed: int = 0) -> steps.Snapshot:
    """The last snapshot of the particles of a linear density."""
    modes = fft.rfftn(delta.astype(np.float32))
    inverse = forces.inverse_laplacian(len(delta))
    *_, snapshot = steps.run(modes, edges, expansion, np.random.default_rng(seed), inverse)
    return snapshot


def random_density(seed: int, rms: float, highest: int) -> np.ndarray:
    """A Gaussian field of waves up to `highest` fundamentals."""
    modes = fft.rfftn(np.random.default_rng(seed).standard_normal((N, N, N)))
    i = np.rint(np.fft.fftfreq(N, 1 / N))
    r2 = i[:, None, None] ** 2 + i[None, :, None] ** 2 + i[None, None, : N // 2 + 1] ** 2
    field = fft.irfftn(modes * (r2 <= highest**2) * (r2 > 0), s=(N, N, N))
    return field * (rms / field.std())


@pytest.mark.parametrize(("number", "tolerance"), [(1, 1e-5), (4, 0.02), (10, 0.02)])
def test_a_plane_wave_moves_as_zeldovich_says(expansion: Growth, number: int, tolerance: float) -> None:
    """Exact before orbits cross: D psi, within 2 % of its amplitude, of the first step's middle to rounding.

    Beside it there may be a translation by a part of a cell: what particles near the lattice show of a wave lies where
    the mesh does. What is neither is below 6 %.
    """
    k = 2 * np.pi / N * np.array([1.0, 2.0, 0.0])
    q = steps.lattice(N)
    phase, direction = k @ q, k / (k @ k)
    moved = last(0.6 * np.cos(phase).reshape(N, N, N), edges := np.linspace(0, 1, number + 1), expansion).x - q
    psi, shifted = (-0.6 * np.outer(direction, wave(phase)) for wave in (np.sin, np.cos))
    d = (edges[-1] + edges[-2]) / 2
    found, aside = (np.sum(moved * one) / np.sum(one**2) / d for one in (psi, shifted))
    assert found == pytest.approx(1, abs=tolerance)
    assert abs(aside) < 15 * tolerance
    assert np.std(moved / d - found * psi - aside * shifted) < 3 * tolerance * psi.std()


def test_kicks_keep_what_second_order_needs(expansion: Growth) -> None:
    """Along psi2 a perfect force at the middle is (x_2 - D^2) / D: velocities are dE/dD, positions E to 2 %."""
    for number in (1, 3, 10):
        edges = np.linspace(0, 1, number + 1)
        x, v = 0.0, 0.0
        for start, stop in itertools.pairwise(edges):
            e, slope = expansion.second(start)
            assert v == pytest.approx(slope, abs=1e-9)
            middle, half = (start + stop) / 2, (stop - start) / 2
            keep = steps.kept(expansion, start, stop)
            v = keep * v + (1 - keep) * ((e + half * slope) / middle - middle)
            x += half * (slope + v)
        assert x == pytest.approx(expansion.second(1.0)[0], rel=0.02)


def test_particles_have_the_second_order_of_perturbation_theory(expansion: Growth) -> None:
    """Displacements along psi2 within 20 % of E; clouds on a lattice see more of it than there is."""
    delta = random_density(3, 0.3, 2)
    psi1, psi2 = lpt.displacements(delta, float(N))
    moved = last(delta, np.append(np.linspace(0, 1, 5), 1 + 1e-6), expansion).x - steps.lattice(N)
    both = np.stack([psi1.ravel(), psi2.ravel()], axis=1)
    found = np.linalg.lstsq(both, moved.ravel(), rcond=None)[0]
    assert found[0] == pytest.approx(1, rel=0.02)
    assert found[1] == pytest.approx(expansion.second(1.0)[0] / (-3 / 7), rel=0.2)


def test_linear_growth(expansion: Growth) -> None:
    """Weak waves of 16 cells and more grow as D, within 1 %: their displacements, apart from a translation."""
    delta, edges = random_density(5, 0.02, 2), np.linspace(0, 1, 6)
    moved = last(delta, edges, expansion).x - steps.lattice(N)
    psi = lpt.displacements(delta, float(N))[0].reshape(3, -1)
    grown = np.sum(moved * psi) / np.sum(psi**2)
    assert grown / ((edges[-1] + edges[-2]) / 2) == pytest.approx(1, abs=0.01)


def test_more_steps_change_little(expansion: Growth) -> None:
    """P(k) of 15 and 30 steps within 4 % up to half of the Nyquist frequency, of a field as uneven as that of today."""
    delta = random_density(7, 1.5, 12)
    found = []
    for number in (15, 30):
        modes = last(delta, np.append(np.linspace(0, 1, number + 1), 1 + 1e-6), expansion).modes
        found.append(power_spectrum(fft.irfftn(modes, s=(N, N, N)), float(N), "cic").power[: N // 4])
    assert found[0] == pytest.approx(found[1], rel=0.04)


def test_the_offsets_of_the_mesh_change_little(expansion: Growth) -> None:
    """P(k) within 2 % up to a quarter of the Nyquist frequency, whatever numbers were drawn for them."""
    delta, edges = random_density(7, 1.5, 12), np.linspace(0, 1, 11)
    one, other = (
        power_spectrum(fft.irfftn(last(delta, edges, expansion, seed).modes, s=(N, N, N)), float(N), "cic").power
        for seed in (0, 1)
    )
    assert one[: N // 8] == pytest.approx(other[: N // 8], rel=0.02)


def test_the_same_bytes_again(expansion: Growth) -> None:
    delta, edges = random_density(7, 1.0, 12), np.linspace(0, 1, 4)
    one, other = (last(delta, edges, expansion).x.tobytes() for _ in range(2))
    assert one == other

"""Mass assignment, spectra and slabs of periodic cubes, against nbodykit where its results are at hand.

Those come from COSMOKERAS_REAL_DATA or ../shared/real beside the repository.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

from cosmokeras.simulators import mesh

REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or Path(__file__).parents[3] / "shared/real") / "abacus"
needs_nbodykit = pytest.mark.skipif(
    not (REAL / "test_pos.npz").exists(), reason=f"no spectra by nbodykit in {REAL}; set COSMOKERAS_REAL_DATA"
)
BOX, MESH = 1000.0, 72


def particles(n: int, seed: int = 3, box: float = 10.0) -> np.ndarray:
    """Two in three of the coordinates outside the box, evenly once wrapped."""
    return np.random.default_rng(seed).uniform(-box, 2 * box, size=(n, 3))


def by_hand(positions: np.ndarray, size: int, box: float, scheme: str) -> np.ndarray:
    """Density contrast from the shape of the clouds, mesh point by mesh point."""
    apart = positions[:, :, None] * size / box - np.arange(size)
    apart = np.abs((apart + size / 2) % size - size / 2)
    if scheme == "cic":
        weight = np.maximum(1 - apart, 0)
    else:
        weight = np.where(apart < 0.5, 0.75 - apart**2, 0.5 * np.maximum(1.5 - apart, 0) ** 2)
    mass = np.einsum("pi,pj,pk->ijk", *np.moveaxis(weight, 1, 0))
    return mass / mass.mean() - 1


@pytest.mark.parametrize("scheme", ["cic", "tsc"])
def test_assignment_is_the_sum_over_clouds(scheme: str) -> None:
    positions = particles(500)
    delta = mesh.assign(positions, 8, 10.0, scheme)
    assert delta.dtype == np.float64
    assert delta == pytest.approx(by_hand(positions, 8, 10.0, scheme), abs=1e-12)
    assert np.abs(by_hand(positions, 8, 10.0, "cic") - by_hand(positions, 8, 10.0, "tsc")).max() > 0.1
    # three arrays of any shape say the same as (n, 3)
    assert (mesh.assign(positions.T.reshape(3, 5, 100), 8, 10.0, scheme) == delta).all()
    single = mesh.assign(positions.astype(np.float32), 8, 10.0, scheme)
    assert single.dtype == np.float32
    assert single == pytest.approx(delta, abs=1e-4)


@pytest.mark.parametrize("scheme", ["cic", "tsc"])
def test_particles_outside_are_wrapped_around(scheme: str) -> None:
    inside = particles(200) % 10.0
    moved = inside + 10.0 * np.random.default_rng(0).integers(-3, 4, size=inside.shape)
    assert mesh.assign(moved, 6, 10.0, scheme) == pytest.approx(mesh.assign(inside, 6, 10.0, scheme), abs=1e-10)


def test_assignment_is_the_same_in_every_run_and_on_many_threads() -> None:
    positions = particles(20_000).astype(np.float32)
    once = mesh.assign(positions, 16, 10.0).tobytes()
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: mesh.assign(positions, 16, 10.0).tobytes(), range(8)))
    assert set(again) == {once}


def test_positions_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(7, 2\)"):
        mesh.assign(np.zeros((7, 2)), 8, 1.0)


def nbodykit(scheme: str, compensated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Modes and mean power of their bins; theirs count k = 0, with no power, in the first."""
    with np.load(REAL / f"nbody_{scheme.upper()}{'_compensated' if compensated else ''}.npz") as stored:
        modes, power = stored["modes"].sum(axis=1), stored["power_ell"][0].real
    power[0] *= modes[0] / (modes[0] - 1)
    modes[0] -= 1
    return modes, power


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    with np.load(REAL / "test_pos.npz") as stored:
        return stored["pos"].astype(float)


@needs_nbodykit
@pytest.mark.parametrize("compensated", [False, True])
@pytest.mark.parametrize("scheme", ["cic", "tsc"])
def test_spectrum_agrees_with_nbodykit(positions: np.ndarray, scheme: str, compensated: bool) -> None:
    """Within 0.5 %; better than 1e-6 in bins without waves on the edge, which rounding puts on either side."""
    modes, theirs = nbodykit(scheme, compensated)
    delta = mesh.assign(positions, MESH, BOX, scheme)
    mine = mesh.power_spectrum(delta, BOX, scheme if compensated else None, shot_noise=True)
    ratio = mine.power[: len(theirs)] / theirs
    assert np.abs(ratio - 1).max() < 5e-3
    same = mine.modes[: len(modes)] == modes
    assert same.sum() > 15
    assert np.abs(ratio[same] - 1).max() < 2e-6
    # what is compared can tell: the other window, and the other scheme, are off
    below = mine.k[: len(theirs)] < np.pi * MESH / BOX / 2
    if compensated and scheme == "cic":
        plain = mesh.power_spectrum(delta, BOX, scheme, shot_noise=False).power[: len(theirs)]
        assert np.abs(plain / theirs - 1)[below].max() > 5e-3
    if not compensated:
        other = nbodykit("tsc" if scheme == "cic" else "cic", compensated)[1]
        assert np.abs(mine.power[: len(theirs)] / other - 1)[below].max() > 0.05


def test_shot_noise_is_flat_with_its_own_window_only() -> None:
    """Mean of 10 sets of 20,000 random particles; the plain window leaves the folded power in."""
    n, box, number = 16, 10.0, 20_000
    spectra = {True: [], False: []}
    for seed in range(10):
        delta = mesh.assign(particles(number, seed), n, box, "tsc")
        for kind, found in spectra.items():
            found.append(mesh.power_spectrum(delta, box, "tsc", shot_noise=kind).power * number / box**3)
    modes = mesh.power_spectrum(delta, box).modes
    deviation = (np.mean(spectra[True], axis=0) - 1) * np.sqrt(modes * 10 / 2)
    assert np.abs(deviation).max() < 4
    assert np.mean(spectra[False], axis=0)[-1] > 1.1


@pytest.mark.parametrize("n", [15, 16])
def test_spectrum_of_a_wave_and_of_noise(n: int) -> None:
    box = 50.0
    i = np.arange(n)
    wave = np.cos(2 * np.pi * (3 * i[:, None, None] + 4 * i[None, :, None] + 0 * i) / n)
    found = mesh.power_spectrum(wave, box)
    assert len(found.k) == n // 2
    # |k| = 5 fundamentals, the upper edge of the fifth bin: two modes of power V / 4 each
    assert found.power[4] * found.modes[4] == pytest.approx(2 * box**3 / 4)
    assert np.delete(found.power, 4) == pytest.approx(0, abs=1e-20)
    assert 4 < found.k[4] * box / (2 * np.pi) <= 5
    noise = np.random.default_rng(1).standard_normal((n, n, n))
    full = fft.fftn(noise)
    radius = np.sqrt(
        sum(np.fft.fftfreq(n, 1 / n).reshape(shape) ** 2 for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)))
    )
    inside = (radius > 2) & (radius <= 3)
    third = mesh.power_spectrum(noise, box)
    assert third.modes[2] == inside.sum()
    assert third.power[2] == pytest.approx((np.abs(full[inside]) ** 2).mean() * box**3 / n**6)
    assert third.k[2] == pytest.approx(radius[inside].mean() * 2 * np.pi / box)


@pytest.mark.parametrize(("slabs", "size"), [(3, 12), (4, 6), (1, 4), (12, 3)])
def test_projection_is_the_mean_over_slabs_and_pixels(slabs: int, size: int) -> None:
    n = 12
    field = np.random.default_rng(0).standard_normal((n, n, n))
    found = mesh.project(field, slabs, size)
    assert found.shape == (3 * slabs, size, size)
    f, thick = n // size, n // slabs
    for r, image in enumerate(found):
        start = thick * mesh.far_apart(slabs)[r // 3]
        plane = np.moveaxis(field, r % 3, 0)[start : start + thick].mean(axis=0)
        assert image[1, 2] == pytest.approx(plane[f : 2 * f, 2 * f : 3 * f].mean())
        assert image.mean() == pytest.approx(plane.mean())


@pytest.mark.parametrize("n", [1, 2, 3, 8, 10, 16])
def test_slabs_come_far_apart(n: int) -> None:
    order = mesh.far_apart(n)
    assert sorted(order) == list(range(n))
    for beginning in (2, 4):
        if n >= 2 * beginning:
            places = np.sort(order[:beginning])
            gaps = np.diff(np.append(places, places[0] + n))
            assert gaps.min() >= n // beginning - 1


def test_slab_power_where_it_is_known() -> None:
    k = np.array([0.01, 0.1])
    # a white spectrum loses nothing but the thickness
    assert mesh.slab_power(np.ones_like, k, 50.0, 1600.0) == pytest.approx(1 / 50, rel=0.01)
    assert mesh.slab_power(np.ones_like, k, 50.0, 400.0, 400 / 64) == pytest.approx(1 / 50, rel=1e-12)

    def gaussian(q: np.ndarray) -> np.ndarray:
        return np.exp(-((10 * q) ** 2))

    # int dk/2pi exp(-k^2 R^2) = 1 / (2 sqrt(pi) R) for a slab much thinner than R
    assert mesh.slab_power(gaussian, k, 0.5, 200.0) == pytest.approx(gaussian(k) / (2 * np.sqrt(np.pi) * 10), rel=1e-3)
    # and P / S for a slab as thick as the box
    assert mesh.slab_power(gaussian, k, 300.0, 300.0) == pytest.approx(gaussian(k) / 300, rel=1e-9)


def test_slab_and_pixel_power_are_those_of_random_cubes() -> None:
    """A Gaussian cube of known spectrum, 1000 times: every wave of the map within 5 standard errors."""
    n, box, slabs, size = 16, 100.0, 4, 8
    cell = box / n

    def power(q: np.ndarray) -> np.ndarray:
        return 1e3 / (1 + (10 * q) ** 2)

    amplitude = np.sqrt(power(2 * np.pi / box * np.sqrt(mesh.squared_modes(n))) * n**3 / box**3)
    amplitude[0, 0, 0] = 0
    rng = np.random.default_rng(5)
    found = np.zeros((size, size))
    for _ in range(1000):
        field = fft.irfftn(fft.rfftn(rng.standard_normal((n, n, n))) * amplitude, s=(n, n, n))
        found += np.mean(np.abs(fft.fft2(mesh.project(field, slabs, size))) ** 2, axis=0) * box**2 / size**4 / 1000
    k = 2 * np.pi * np.fft.fftfreq(size, box / size)

    def plane(q: np.ndarray) -> np.ndarray:
        return mesh.slab_power(power, q, box / slabs, box, cell)

    ratio = found / mesh.pixel_power(plane, k[:, None], k[None], size, n, box)
    # 3000 independent axes; slabs of an axis share their waves, so they do not count
    assert np.abs(ratio.ravel()[1:] - 1).max() < 5 * np.sqrt(2 / 3000)
    alone = found / plane(np.hypot(k[:, None], k[None]))
    assert np.abs(alone.ravel()[1:] - 1).max() > 0.2  # without the pixels it would be seen

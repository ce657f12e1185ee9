"""Maps of slabs: interpolation, views, waves longer than the box."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import fft

from cosmokeras.simulators.pm import assembly, waves
from cosmokeras.simulators.pm.light_cone import averaged

N, HIGHEST, SIDE, CHI = 32, 15, 50.0, 1000.0


def slab(field: np.ndarray) -> assembly.Slab:
    """One with the same plane (N, N) in all places."""
    modes = fft.rfft2(field) / N**2
    rows = np.arange(-HIGHEST, HIGHEST + 1) % N
    kept = np.broadcast_to(modes[rows][:, : HIGHEST + 1], (3, 2, len(rows), HIGHEST + 1)).astype(np.complex64)
    none = waves.long_waves(SIDE, lambda k: 0 * k)
    one = np.ones((len(rows), HIGHEST + 1), np.float32)
    return assembly.Slab(CHI, SIDE, np.array([2.0]), kept, one, none)


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """A periodic plane without waves at the Nyquist frequency."""
    modes = fft.rfft2(np.random.default_rng(0).standard_normal((N, N)))
    modes[N // 2], modes[:, N // 2] = 0, 0
    return fft.irfft2(modes, s=(N, N))


ANGLE = np.arange(N) * SIDE / N / CHI


def view(**changes: object) -> assembly.View:
    plain = {"axis": 0, "first": 0, "transposed": False, "mirror": np.ones(2), "shift": np.zeros(2)}
    return assembly.View(**{**plain, **changes})  # type: ignore[arg-type]


def test_between_mesh_points_a_plane_is_the_sum_of_its_waves(field: np.ndarray) -> None:
    """On the points it is the plane itself, moved by whole cells it is rolled, and it goes on periodically."""
    one = slab(field)
    assert assembly.seen(one, 0, view(), ANGLE, N) == pytest.approx(field, abs=1e-4)
    moved = assembly.seen(one, 0, view(shift=np.array([3, -5]) / N), ANGLE, N)
    assert moved == pytest.approx(np.roll(field, (-3, 5), (0, 1)), abs=1e-4)
    beyond = assembly.seen(one, 0, view(), ANGLE + SIDE / CHI, N)
    assert beyond == pytest.approx(field, abs=1e-4)


def test_views_mirror_and_transpose(field: np.ndarray) -> None:
    one = slab(field)
    mirrored = assembly.seen(one, 0, view(mirror=np.array([-1.0, 1.0])), ANGLE, N)
    assert mirrored == pytest.approx(np.roll(field[::-1], 1, 0), abs=1e-4)
    assert assembly.seen(one, 0, view(transposed=True), ANGLE, N) == pytest.approx(field.T, abs=1e-4)


def test_the_mean_of_a_wider_field_is_subtracted(field: np.ndarray) -> None:
    """Maps are its first pixels."""
    one = slab(field + 1.0)
    assert assembly.seen(one, 0, view(), ANGLE, 10) == pytest.approx((field - field.mean())[:10, :10], abs=1e-4)


def test_all_views_are_drawn_and_the_halves_stay_together() -> None:
    rng = np.random.default_rng(0)
    views = [assembly.random_view(rng) for _ in range(2000)]
    kinds = {(v.axis, v.first, v.transposed, *v.mirror) for v in views}
    assert len(kinds) == 48
    assert np.mean([v.shift for v in views]) == pytest.approx(0.5, abs=0.02)


def test_long_waves_have_the_power_of_their_cell() -> None:
    """The variance of white power P in a cell (2 pi / L)^2 is P / L^2, within 5 % of 400 draws."""
    k, amplitude = waves.long_waves(SIDE, lambda k: np.full(k.shape, 7.0))
    assert np.abs(k).max() < np.pi / SIDE
    x = np.array([0.0, 3 * SIDE, 9 * SIDE])
    phases = assembly._phases(k, x)
    rng = np.random.default_rng(0)
    values = [assembly._summed(phases, waves.drawn(rng, amplitude), phases, 3) for _ in range(1500)]
    assert np.var(values) == pytest.approx(7.0 / SIDE**2, rel=0.05)


def test_averages_over_pixels_are_those_of_points(field: np.ndarray) -> None:
    """Waves averaged over 20 x 20 points of a pixel, within 1 %; shear of waves seen as they are is the same."""
    pixel = 0.3
    points = (np.arange(20) + 0.5) / 20 * pixel - pixel / 2
    for qy, qx in itertools.product((0.5, 3.0), (1.0, 6.0)):
        mean = np.mean(np.exp(1j * qy * points)) * np.mean(np.exp(1j * qx * points))
        assert averaged(np.array(qy), np.array(qx), pixel, False) == pytest.approx(mean.real, rel=0.01)
        assert averaged(np.array(qy), np.array(qx), pixel, True) == pytest.approx(mean.real, rel=0.01)
    # a wave beyond the Nyquist frequency along x looks like one of negative qx
    k, q = 2 * np.pi / pixel - 12.0, 12.0
    folded = averaged(np.array(3.0), np.array(q), pixel, True) / averaged(np.array(3.0), np.array(q), pixel, False)
    assert folded == pytest.approx(np.cos(2 * (np.arctan2(3.0, q) - np.arctan2(3.0, -k))))

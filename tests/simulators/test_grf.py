"""Gaussian fields with a BBKS spectrum: spectrum, distribution, periodicity, seeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.params.config import Config
from cosmokeras.simulators import grf, realisations, simulate
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.theory.bbks import bbks_power

MAPS = 300
OMEGA_M = (0.12, 0.3, 0.48)


@pytest.fixture(scope="module")
def cfg(config: Callable[..., Config]) -> Config:
    """64 x 64 pixels, 256 Mpc/h."""
    return config({"data.kind": "grf"})


@pytest.fixture(scope="module", params=OMEGA_M)
def sample(cfg: Config, request: pytest.FixtureRequest) -> tuple[float, np.ndarray]:
    """Omega_m and its maps, (MAPS, 64, 64) float64."""
    draw = realisations(1, 0, int(1000 * request.param))
    maps = grf.maps(cfg, grf.prepare(cfg), np.array([request.param]), draw, MAPS)
    assert maps.shape == (MAPS, 64, 64, 1)
    assert maps.dtype == np.float32
    return request.param, maps[..., 0].astype(float)


def test_power_is_bbks_in_every_bin(cfg: Config, sample: tuple[float, np.ndarray]) -> None:
    omega_m, maps = sample
    n, side = cfg.data.size, cfg.grf.box_mpc_h
    k = wavenumbers(n, side / n)
    estimate = np.abs(np.fft.rfft2(maps)) ** 2 * side**2 / n**4
    ratio = estimate / np.where(k > 0, bbks_power(k, omega_m, 0.7, 0.965), 1.0)
    edges = np.geomspace(2 * np.pi / side * 0.99, k.max() * 1.01, 13)
    for low, high in itertools.pairwise(edges):
        inside = (k >= low) & (k < high)
        per_map = ratio[:, inside].mean(axis=1)
        error = per_map.std(ddof=1) / np.sqrt(MAPS)
        assert abs(per_map.mean() - 1) < 3 * error, f"{low:.3f} < k < {high:.3f} h/Mpc"
        assert error < 0.05


def test_pixels_are_gaussian(cfg: Config, sample: tuple[float, np.ndarray]) -> None:
    omega_m, maps = sample
    n, side = cfg.data.size, cfg.grf.box_mpc_h
    ky, kx = (2 * np.pi * np.fft.fftfreq(n, side / n),) * 2
    variance = bbks_power(np.hypot(ky[:, None], kx[None]), omega_m, 0.7, 0.965).sum() / side**2
    for order, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        per_map = np.mean((maps / np.sqrt(variance)) ** order, axis=(1, 2))
        error = per_map.std(ddof=1) / np.sqrt(MAPS)
        assert abs(per_map.mean() - expected) < max(3 * error, 1e-6), f"moment {order}"
    # the test can see: a lognormal field of this size has a skewness far beyond the error
    assert error < 0.1


def test_mean_of_every_map_is_0(sample: tuple[float, np.ndarray]) -> None:
    _, maps = sample
    assert np.abs(maps.mean(axis=(1, 2))).max() < 1e-6 * maps.std()


@pytest.mark.parametrize("axis", [1, 2])
def test_maps_wrap_around(sample: tuple[float, np.ndarray], axis: int) -> None:
    _, maps = sample
    inside = np.mean(np.diff(maps, axis=axis) ** 2)
    across = np.mean((maps.take(0, axis) - maps.take(-1, axis)) ** 2)
    assert across == pytest.approx(inside, rel=0.05)
    assert np.mean((maps.take(0, axis) - maps.take(32, axis)) ** 2) > 1.5 * inside


def test_maps_are_those_of_seed_split_cosmology_and_realisation(cfg: Config) -> None:
    grid, theta = grf.prepare(cfg), np.array([0.3])

    def one(seed: int, split: int, cosmology: int, realisation: int) -> bytes:
        draw = realisations(seed, split, cosmology)
        return grf.maps(cfg, grid, theta, lambda r: draw(realisation), 1).tobytes()

    assert one(1, 0, 5, 2) == one(1, 0, 5, 2)
    assert len({one(1, 0, 5, 2), one(2, 0, 5, 2), one(1, 1, 5, 2), one(1, 0, 6, 2), one(1, 0, 5, 3)}) == 5
    together = grf.maps(cfg, grid, theta, realisations(1, 0, 5), grf.BATCH + 3)
    assert together[2].tobytes() == one(1, 0, 5, 2)
    assert together[-1].tobytes() == one(1, 0, 5, grf.BATCH + 2)


def test_simulate_depends_on_seed_and_place_alone(cfg: Config) -> None:
    theta = np.array([[0.2], [0.3], [0.4]])
    maps = simulate(cfg, theta, seed=4)
    assert maps.shape == (3, 64, 64, 1)
    assert (simulate(cfg, theta[:2], seed=4) == maps[:2]).all()
    assert not (simulate(cfg, theta, seed=5) == maps).all(axis=(1, 2, 3)).any()
    # one realisation, another cosmology: the same phases
    again = simulate(cfg, np.array([[0.25]]), seed=4)
    phase, other = np.angle(np.fft.rfft2(maps[0, ..., 0])[3:6, 3:6]), np.angle(np.fft.rfft2(again[0, ..., 0])[3:6, 3:6])
    assert phase == pytest.approx(other, abs=1e-3)

"""Density cubes of others: the simulator's own cube gives the simulator's own maps; units, axes, windows, meshes.

Tests on the N-body cube take it from COSMOKERAS_REAL_DATA or ../shared/real beside the repository.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import fft

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.simulators import lpt, mesh, realisations
from cosmokeras.surveys import fetch
from cosmokeras.surveys.sources import quijote

REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or Path(__file__).parents[4] / "shared/real")
NBODY = REAL / "abacus/mini_N64_L32_delta64_ngp.npy"
needs_real = pytest.mark.skipif(not NBODY.exists(), reason=f"no N-body cube in {REAL}; set COSMOKERAS_REAL_DATA")
THETA = np.array([0.3])
BOX = 500.0


@pytest.fixture
def cubes(config: Callable[..., Config]) -> Callable[..., Config]:
    """64^3 particles in 500 Mpc/h, 8 slabs of 32^2 pixels, and the cube of `path`."""

    def load(path: Any, overrides: dict[str, Any] | None = None) -> Config:
        keys = {
            "data.kind": "2lpt", "data.size": 32, "lpt.particles": 64, "lpt.box_mpc_h": BOX, "lpt.slab_mpc_h": 62.5,
            "real.source": "quijote", "real.path": str(path) if isinstance(path, Path) else path,
        }  # fmt: skip
        return config(keys | (overrides or {}))

    return load


def waves(n: int, noise: float = 0.0) -> np.ndarray:
    """A density contrast (n, n, n) of a few long waves, unlike along its axes, and white noise."""
    x, y, z = np.meshgrid(*(2 * np.pi * np.arange(n) / n,) * 3, indexing="ij")
    field = 0.3 * np.cos(x + 0.3) + 0.2 * np.cos(2 * y) + 0.1 * np.sin(3 * z) + 0.1 * np.cos(x - 2 * y + z)
    return (field + noise * np.random.default_rng(1).standard_normal(field.shape)).astype(np.float32)


def save(path: Path, cube: np.ndarray) -> Path:
    np.save(path, cube)
    return path


def test_the_simulators_own_cube_gives_the_simulators_own_maps(tmp_path: Path, cubes: Callable[..., Config]) -> None:
    cfg = cubes(tmp_path / "df_m_64_compensated_z=0.npy")
    grid = lpt.prepare(cfg)
    expected = lpt.maps(cfg, grid, THETA, realisations(1, 0, 5), 24)
    # the linear field of the same seed, which the public function evolves
    values = cfg.cosmology(THETA)
    k = 2 * np.pi / BOX * np.sqrt(np.arange(1, grid.number.max() + 1))
    power = np.append(0.0, grid.table.linear_at(values, k))
    amplitude = np.sqrt(power / BOX**3).astype(np.float32) * np.float32(64**3)
    linear = fft.irfftn(lpt.gaussian_modes(realisations(1, 0, 5)(0), amplitude[grid.number]), s=(64,) * 3)
    grown, omega_m_z = grid.table.grown(values, 0.0)
    cube = lpt.density(linear, BOX, grown, omega_m_z=omega_m_z)
    save(tmp_path / "df_m_64_compensated_z=0.npy", cube)
    sky = fetch(cfg)
    assert sky.maps.shape == expected.shape == (24, 32, 32, 1) and sky.maps.dtype == np.float32
    np.testing.assert_allclose(sky.maps, expected, rtol=0, atol=2e-5 * expected.std())
    assert sky.maps.std() > 0.1
    # 1 + delta is told by its mean
    save(tmp_path / "df_m_64_compensated_z=0.npy", 1 + cube)
    np.testing.assert_allclose(fetch(cfg).maps, expected, rtol=0, atol=1e-5)
    assert not sky.observed and sky.truth is None and (sky.coverage == 1).all()
    assert any("500.0 Mpc/h" in step for step in sky.provenance["steps"])


@needs_real
def test_slabs_of_an_n_body_cube_have_its_units_and_axes(cubes: Callable[..., Config]) -> None:
    cfg = cubes(NBODY, {"lpt.box_mpc_h": 32.0, "lpt.slab_mpc_h": 4.0})
    maps = fetch(cfg).maps[..., 0]
    cube = np.load(NBODY)
    assert maps.shape == (24, 32, 32)
    assert maps.mean() == pytest.approx(0, abs=1e-5)
    assert fetch(cfg).provenance["windows"] == {str(NBODY): "NGP"}
    # without the division by the window, slab by slab and axis by axis, against plain means
    plain = mesh.project(quijote.read_cube(NBODY), 8, 32)
    for i, slab in enumerate(mesh.far_apart(8)):
        for axis in range(3):
            thick = np.take(cube, range(8 * slab, 8 * slab + 8), axis=axis).mean(axis=axis, dtype=float)
            expected = thick.reshape(32, 2, 32, 2).mean(axis=(1, 3))
            assert plain[3 * i + axis] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            # the window costs small scales a little and the mean nothing
            assert maps[3 * i + axis].mean() == pytest.approx(expected.mean(), abs=1e-4 + 0.1 * abs(expected.mean()))
            assert np.corrcoef(maps[3 * i + axis].ravel(), expected.ravel())[0, 1] > 0.95
    for axis in range(3):
        assert plain[axis::3].mean(axis=(1, 2)).std() > 0.05
    assert not np.allclose(plain[0], plain[1]) and not np.allclose(plain[1], plain[2])


@pytest.mark.parametrize(("name", "scheme"), [("df_m_64_CIC_z=0", "cic"), ("df_m_64_TSC_z=0", "tsc")])
def test_the_assignment_window_of_the_name_is_divided_out(
    tmp_path: Path, cubes: Callable[..., Config], name: str, scheme: mesh.Scheme
) -> None:
    field = waves(64, noise=0.04)
    field -= field.mean()
    modes = fft.rfftn(field)
    for factor in mesh.window(64, scheme):
        modes = modes * factor
    path = save(tmp_path / f"{name}.npy", fft.irfftn(modes, s=field.shape).astype(np.float32))
    got = fetch(cubes(path)).maps[..., 0]
    assert got == pytest.approx(mesh.project(field, 8, 32), abs=1e-5)
    bare = fetch(cubes(save(tmp_path / "df_m_64_z=0.npy", np.load(path))))
    assert bare.maps.std() < got.std()
    assert "none divided out" in next(iter(bare.provenance["windows"].values()))


def test_schemes_and_redshifts_are_read_off_names() -> None:
    assert [quijote.scheme(f"x/df_m_128_{s}_z=0.npy") for s in ("CIC", "PCS")] == ["CIC", "PCS"]
    assert quijote.scheme("CIC/df_m_128_z=0.npy") is None
    assert quijote.scheme("mini_N64_L32_delta64_ngp.npy") == "NGP"
    assert [quijote.redshift(f"df_m_128_z={z}.npy") for z in ("0", "0.5", "127")] == [0.0, 0.5, 127.0]
    assert [quijote.redshift(f"{name}.npy") for name in ("a_z0.5", "a_z_1.0", "z2.0")] == [0.5, 1.0, 2.0]
    assert [quijote.redshift(f"{name}.npy") for name in ("a_z2", "viz0.5")] == [None, None]
    assert quijote.redshift("cube.npy") is None
    # one power of the pixel's sinc for each mesh point that shares a particle
    assert {name.upper(): order for name, order in mesh.ORDER.items()}.items() <= quijote.ORDER.items()


@pytest.mark.parametrize("n", [32, 48, 96, 128])
def test_other_meshes_hold_the_same_waves(tmp_path: Path, cubes: Callable[..., Config], n: int) -> None:
    expected = mesh.project(waves(64), 8, 32)
    path = save(tmp_path / f"df_m_{n}_z=0.npy", waves(n))
    assert fetch(cubes(path)).maps[..., 0] == pytest.approx(expected, abs=2e-6)
    # with a window: that of the file's own cells
    modes = fft.rfftn(waves(n).astype(float))
    for factor in mesh.window(n, "cic"):
        modes = modes * factor
    path = save(tmp_path / f"df_m_{n}_CIC_z=0.npy", fft.irfftn(modes, s=(n, n, n)).astype(np.float32))
    assert fetch(cubes(path)).maps[..., 0] == pytest.approx(expected, abs=5e-6)


def test_of_a_folder_each_simulation_is_taken_once(tmp_path: Path, cubes: Callable[..., Config]) -> None:
    def names(folder: Path = tmp_path, particles: int = 128) -> list[str]:
        return [file.name for file in quijote.cube_files(str(folder), particles, 0.0)]

    for n in (64, 128, 256):
        for scheme in ("CIC", "PCS"):
            (tmp_path / f"df_m_{n}_{scheme}_z=0.npy").touch()
            (tmp_path / f"df_m_{n}_{scheme}_z=1.npy").touch()
    assert names() == ["df_m_128_PCS_z=0.npy"]
    assert names(particles=96) == ["df_m_128_PCS_z=0.npy"]
    assert names(particles=512) == ["df_m_256_PCS_z=0.npy"]
    (tmp_path / "more").mkdir()
    for i in range(3):
        save(tmp_path / f"more/df_m_{i}_z=0.npy", waves(64))
    assert names(tmp_path / "more") == [f"df_m_{i}_z=0.npy" for i in range(3)]
    assert len(fetch(cubes(tmp_path / "more")).maps) == 3 * 24
    both = [str(tmp_path / "more"), str(tmp_path / "more/df_m_0_z=0.npy")]
    assert len(quijote.cube_files(tuple(both), 64, 0.0)) == 4
    with pytest.raises(UserError, match=r"no cube df_m_.* of lpt.redshift=3.0"):
        quijote.cube_files(str(tmp_path), 64, 3.0)
    with pytest.raises(UserError, match="no cube in the list"):
        quijote.cube_files((), 64, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c + 0.3, "its mean is 0.3, which is neither"),
        (lambda c: 1e9 * (1 + c), "its mean is 1e.09, which is neither"),
        (lambda c: c[:32], r"shape \(32, 64, 64\); must be a cube"),
        (lambda c: c[0], r"shape \(64, 64\); must be a cube"),
        (lambda c: np.where(c == c.max(), np.nan, c), "cells are NaN"),
        (lambda c: (10 * c).astype(np.int32), "holds int32"),
        (lambda c: 0 * c, "all cells are the same"),
        (lambda c: c[::4, ::4, ::4], "16 cells on a side are fewer than data.size=32"),
        (lambda c: np.array([c, None], dtype=object), "Object arrays cannot be loaded"),
    ],
)
def test_bad_cubes_are_refused_in_a_line(
    tmp_path: Path, cubes: Callable[..., Config], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    path = tmp_path / "df_m_64_PCS_z=0.npy"
    np.save(path, change(waves(64)), allow_pickle=True)
    with pytest.raises(UserError, match=message) as caught:
        fetch(cubes(path))
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_redshift_and_kind_must_be_those_of_the_maps(tmp_path: Path, cubes: Callable[..., Config]) -> None:
    path = save(tmp_path / "df_m_64_PCS_z=1.npy", waves(64))
    with pytest.raises(UserError, match=r"a cube of z = 1.0, but .* lpt.redshift=0.0"):
        fetch(cubes(path))
    assert len(fetch(cubes(path, {"lpt.redshift": 1.0})).maps) == 24
    with pytest.raises(UserError, match="real.source=quijote: holds 2lpt maps"):
        cubes(path, {"data.kind": "lensing", "data.size": 64})
    with pytest.raises(UserError, match="real.path=null: real.source=quijote needs it"):
        cubes(None)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_no_cell_may_be_emptier_than_empty(tmp_path: Path, cubes: Callable[..., Config], shift: float) -> None:
    cube = waves(64)
    cube[3, 4, 5:8] = -1.0
    cube -= cube.mean()
    fetch(cubes(save(tmp_path / "df_m_64_z=0.npy", cube + np.float32(shift))))
    cube[3, 4, 5:8] = -1.3
    for name in ("df_m_64_z=0.npy", "df_m_64_CIC_z=0.npy"):
        with pytest.raises(UserError, match=rf"{name}: 3 cells are below {shift - 1:g} \(lowest -?[0-9.]+\)") as caught:
            fetch(cubes(save(tmp_path / name, cube + np.float32(shift))))
        assert "\n" not in str(caught.value)
    # the window that was divided out rings below empty, and is not divided out again
    path = save(tmp_path / "df_m_64_CIC_compensated_z=0.npy", cube)
    assert "none divided out" in fetch(cubes(path)).provenance["windows"][str(path)]
    with pytest.raises(UserError, match="1 was subtracted twice"):
        fetch(cubes(save(tmp_path / "df_m_64_z=0.npy", waves(64) - np.float32(1))))


@pytest.mark.parametrize("name", ["cube.npz", "cube.npz:df_m_64_z=0", "cube.h5:sim/df_m_64_z=0"])
def test_cubes_may_lie_in_archives(tmp_path: Path, cubes: Callable[..., Config], name: str) -> None:
    import h5py

    np.savez(tmp_path / "cube.npz", **{"df_m_64_z=0": waves(64)})
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["sim/df_m_64_z=0"] = waves(64)
        file["sim/df_m_64_z=1"] = waves(64)
    sky = fetch(cubes(f"{tmp_path}/{name}"))
    assert sky.maps[..., 0] == pytest.approx(mesh.project(waves(64), 8, 32), abs=2e-6)
    with pytest.raises(UserError, match="a cube of z = 1.0"):
        fetch(cubes(f"{tmp_path}/cube.h5:sim/df_m_64_z=1"))


def test_cells_of_the_mean_density_are_few(tmp_path: Path, cubes: Callable[..., Config]) -> None:
    """Part of a cube that holds 0, or 1 for 1 + the density contrast, is missing; particles by cell repeat numbers."""
    cube = waves(64, 0.1)
    cube[:4] = 0.0
    cube[4:] -= cube[4:].mean()
    for shift in (0, 1):
        with pytest.raises(UserError, match="z=0.npy: 16384 of 262144 .* exactly 0, .* make them again"):
            fetch(cubes(save(tmp_path / "df_m_64_z=0.npy", cube + np.float32(shift))))
    counts = np.random.default_rng(0).poisson(8, (64, 64, 64)).astype(np.float32)
    assert len(fetch(cubes(save(tmp_path / "df_m_64_NGP_z=0.npy", counts / counts.mean(dtype=float)))).maps) == 24


def test_cubes_have_no_mask(cubes: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match="real.mask=m.npy: density cubes are periodic"):
        cubes("x.npy", {"real.mask": "m.npy"})

"""Stand-ins, files that we made up, in exactly the layouts of published suites, by the presets in experiments/."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset.generation import generate, generate_part
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import open_split
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.suites.opening import open_suite
from tests.docs.extract import overrides

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA", ROOT.parent / "shared" / "real")).resolve()
SMALL = {
    "train.batch_size": 16,
    "model.width": 4,
    "model.spectrum_bins": 6,
    "evaluate.spectrum_bins": 6,
    "data.size": 32,
}
FAIR = ("WIDE12H_bin2_2arcmin_mask.npy", "label.npy")


@pytest.fixture
def preset(folder: Path) -> Callable[..., Config]:
    """`preset("camels", {...})`: parameters of experiments/camels.txt, and others."""

    def load(name: str, other: dict[str, Any] | None = None) -> Config:
        typed = overrides(f"dvc exp run $(cat experiments/{name}.txt)")[0]
        return load_params(folder / "params.yaml", typed | SMALL | (other or {}))

    return load


@pytest.fixture
def fair(folder: Path) -> np.ndarray:
    """Stand-in skies (101, 2, 132019) float16 with the challenge's own mask and two labels of each cosmology."""
    for name in FAIR:
        if not (REAL / "hsc_y3" / name).exists():
            pytest.skip(f"no {name} in {REAL}; set COSMOKERAS_REAL_DATA")
        (folder / name).symlink_to(REAL / "hsc_y3" / name)
    label = np.load(folder / "label.npy")[:, :2]
    (folder / "label.npy").unlink()
    np.save(folder / "label.npy", label)
    pixels = int(np.load(folder / FAIR[0]).sum())
    skies = np.random.default_rng(1).standard_normal((101, 2, pixels), dtype=np.float32) * 0.02 * label[..., 1:2]
    np.save(folder / "WIDE12H_bin2_2arcmin_kappa.npy", skies.astype(np.float16))
    return label


@pytest.mark.slow
def test_fair_universe(fair: np.ndarray, folder: Path, preset: Callable[..., Config]) -> None:
    cfg = preset("fair_suite", {"data.realisations": 12, "data.size": 64})
    assert cfg.parameter_names == ("omega_m", "S8", "T_AGN", "f0", "delta_z")
    assert cfg.targets == ("omega_m", "S8")
    low, high = cfg.bounds.T
    rows = fair.reshape(-1, 5)
    assert (low <= rows.min(axis=0)).all() and (high >= rows.max(axis=0)).all()
    suite = open_suite(cfg)
    assert suite.layout.axes == ("cosmology", "realisation", "pixel")
    assert suite.group.max() == 100  # cosmologies, whatever their baryons
    assert suite.patches == 28
    assert generate(cfg, folder / "simulations", 1, progress=False) == {
        "maps": 101 * 12, "maps_made": 0, "seconds": pytest.approx(0, abs=1), "bytes": 0,
    }  # fmt: skip
    split = open_split(cfg, folder / "simulations", "test")
    mask, skies = np.load(folder / FAIR[0]), np.load(folder / "WIDE12H_bin2_2arcmin_kappa.npy", mmap_mode="r")
    footprint = suite.footprint
    assert footprint is not None and split.masks is not None
    for i in (0, 7, 100):
        number = suite.chosen["test"][i]
        stored, patch = divmod(int(number), 28)
        image = np.zeros(mask.shape, np.float16)
        image[mask] = skies.reshape(202, -1)[stored]
        y, x = footprint.corners[patch]
        np.testing.assert_array_equal(split.stored(np.array([i]))[0, ..., 0], image[y : y + 64, x : x + 64])
        np.testing.assert_array_equal(split.theta[i], rows[stored])
        assert split.masks[i] == patch
    # each map is observed behind the mask of its own place: noise where it is 1, nothing elsewhere
    seen = observed(split, Forward(cfg), 3)[..., 0] != 0
    np.testing.assert_array_equal(seen, footprint.patches[split.masks] >= 0.5)
    assert 0.03 < 1 - seen.mean() < 0.3


def test_theory_knows_the_cosmologies_of_fair_universe(fair: np.ndarray, preset: Callable[..., Config]) -> None:
    values = preset("fair_suite").cosmology(fair[50, 0])
    assert values["omega_m"] == fair[50, 0, 0]
    assert values["sigma8"] == pytest.approx(fair[50, 0, 1] / np.sqrt(fair[50, 0, 0] / 0.3))
    assert (values["h"], values["omega_b"], values["n_s"]) == (0.7, 0.046, 0.97)
    np.testing.assert_array_equal(values["delta_z"], [fair[50, 0, 4]])


def camels(folder: Path, header: bool = False) -> np.ndarray:
    """Stand-in for 20 of the 1000 simulations: 15 maps of 256 pixels of each, 10^(11 +- 0.5) Msun/h / (Mpc/h)^2."""
    rng = np.random.default_rng(2)
    low, high = np.array([0.1, 0.6, 0.25, 0.25, 0.5, 0.5]), np.array([0.5, 1.0, 4, 4, 2, 2])
    theta = low + (high - low) * (np.argsort(rng.random((20, 6)), axis=0) + 0.5) / 20
    maps = 10 ** (11 + 0.5 * rng.standard_normal((300, 256, 256)))
    np.save(folder / "Maps_Mtot_IllustrisTNG_LH_z=0.00.npy", maps.astype(np.float32))
    np.savetxt(folder / "params_LH_IllustrisTNG.txt", theta, header="Om s8 A_SN1 A_AGN1 A_SN2 A_AGN2" if header else "")
    return theta


SIZES = {"data.n_cosmologies": 12, "data.validation": 4, "data.test": 4}


@pytest.mark.slow
def test_camels(folder: Path, preset: Callable[..., Config]) -> None:
    theta = camels(folder)
    scaled = {"files.offset": 10.86, "files.scale": 0.5} | SIZES
    cfg = preset("camels", {"data.size": 64, **scaled})
    assert cfg.parameter_names == ("omega_m", "sigma8", "A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
    assert cfg.kind.periodic and cfg.channels == 1 and cfg.pixel_side == 25 / 64
    np.testing.assert_allclose(cfg.bounds[:2], [[0.1, 0.5], [0.6, 1.0]], atol=1e-9)  # of the hypercube
    suite = open_suite(cfg)
    assert suite.layout.axes == ("map", "y", "x")
    np.testing.assert_array_equal(np.bincount(suite.group), np.full(20, 15))
    np.testing.assert_array_equal(suite.theta(np.arange(300)), theta[np.arange(300) // 15])
    stored = np.load(folder / "Maps_Mtot_IllustrisTNG_LH_z=0.00.npy")[33]
    mean = stored.reshape(64, 4, 64, 4).mean(axis=(1, 3), dtype=np.float64)  # of the mass, before the logarithm
    np.testing.assert_allclose(suite.read(np.array([33]))[0, ..., 0], (np.log10(mean) - 10.86) / 0.5, atol=1e-5)
    # averaged maps are kept, whoever makes them: here the second part, and then two processes the rest
    second = generate_part(cfg, 1, 2, 1)["maps_made"]
    assert 0 < second < 300
    assert generate(cfg, folder / "simulations", 2, progress=False)["maps_made"] == 300 - second
    split = open_split(cfg, folder / "simulations", "train")
    stored = split.stored(np.arange(len(split)))
    # maps are averaged by products of matrices of several maps, whose last digit depends on their number (`resampled`)
    np.testing.assert_allclose(stored, suite.read(suite.chosen["train"]), atol=1e-6)


@pytest.mark.slow
def test_camels_with_names_and_pixels_of_its_own(folder: Path, preset: Callable[..., Config]) -> None:
    """By name as by number; maps of data.size are read where they are."""
    camels(folder, header=True)
    names = {f"files.columns.{name}": column for name, column in {"omega_m": "Om", "sigma8": "s8"}.items()}
    scaled = {"files.offset": 11.0, "files.scale": 0.5, "data.size": 256} | SIZES
    by_name, by_number = preset("camels", scaled | names), preset("camels", scaled)
    np.testing.assert_array_equal(by_name.bounds, by_number.bounds)
    assert generate(by_name, folder / "simulations", 1, progress=False)["maps_made"] == 0
    split = open_split(by_name, folder / "simulations", "test")
    assert split.stored(np.arange(2)).shape == (2, 256, 256, 1)


@pytest.mark.slow
def test_quijote_cubes(folder: Path, preset: Callable[..., Config]) -> None:
    """Cubes of 1 + delta, averaged to slabs; in the order of the numbers of their folders."""
    rng = np.random.default_rng(4)
    cubes = 1 + 0.8 * rng.standard_normal((20, 64, 64, 64)).astype(np.float32)
    for i, cube in enumerate(cubes):
        (folder / "latin_hypercube" / str(i)).mkdir(parents=True)
        np.save(folder / "latin_hypercube" / str(i) / "df_m_128_PCS_z=0.npy", cube)
    theta = rng.uniform([0.1, 0.03, 0.5, 0.8, 0.6], [0.5, 0.07, 0.9, 1.2, 1.0], (20, 5))
    header = (
        "Omega_m                 Omega_b                  h                        n_s                      sigma_8"
    )
    np.savetxt(folder / "latin_hypercube_params.txt", theta, header=header)
    cfg = preset("quijote_suite", {"files.slabs": 4, "data.realisations": 4, "data.size": 32, **SIZES})
    suite = open_suite(cfg)
    assert suite.layout.axes == ("map", "depth", "y", "x")
    assert len(suite) == 80
    want = cubes[11, 32:48].mean(axis=0).reshape(32, 2, 32, 2).mean(axis=(1, 3)) - 1
    np.testing.assert_allclose(suite.read(np.array([11 * 4 + 2]))[0, ..., 0], want, atol=1e-5)
    np.testing.assert_allclose(suite.theta(np.array([46]))[0], theta[11])
    assert generate(cfg, folder / "simulations", 1, progress=False)["maps_made"] == 80

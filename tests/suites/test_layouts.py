"""A suite of our own in the layouts of other people: the same maps, and the same posterior, without our simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import open_split
from cosmokeras.inference.calibrate import calibrate
from cosmokeras.inference.estimator import Estimator
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.simulators import lensing
from cosmokeras.training.loop import train
from tests.suites.conftest import SIZES, Own, write_table

Keys = dict[str, Any]


def cosmologies(folder: Path, own: Own) -> Keys:
    np.save(folder / "maps.npy", own.maps)
    write_table(folder / "table.csv", own.theta, own.names)
    return {}


def rows(folder: Path, own: Own) -> Keys:
    np.save(folder / "maps.npy", own.maps.reshape(96, 32, 32, 4))
    lines = [f"{x!r} {name}" for x, name in zip(own.theta[:, 0].tolist(), own.names, strict=True) for _ in range(2)]
    (folder / "table.txt").write_text("# Om set\n" + "\n".join(lines) + "\n")
    return {"parameters": "table.txt"}


def channels_first(folder: Path, own: Own) -> Keys:
    """And more maps than rows, as CMD has them: row = map // 2."""
    np.save(folder / "maps.npy", np.moveaxis(own.maps.reshape(96, 32, 32, 4), -1, 1))
    write_table(folder / "table.csv", own.theta, own.names)
    return {}


def big_endian_fortran(folder: Path, own: Own) -> Keys:
    np.save(folder / "maps.npy", np.asfortranarray(own.maps.astype(">f8")))
    write_table(folder / "table.csv", own.theta, own.names)
    return {}


def hdf5(folder: Path, own: Own) -> Keys:
    table = np.array(list(zip(own.theta[:, 0], own.names, strict=True)), dtype=[("Om", "f8"), ("set", "S10")])
    with h5py.File(folder / "suite.h5", "w") as file:
        file["kg/kappa"], file["parameters/grid"] = own.maps, table
    return {"maps": "suite.h5:kg/kappa", "parameters": "suite.h5:parameters/grid"}


def fits_images(folder: Path, own: Own) -> Keys:
    fits.writeto(folder / "maps.fits", np.moveaxis(own.maps, -1, 2))
    Table({"OM": own.theta[:, 0], "SET": own.names}).write(folder / "table.fits")
    return {"maps": "maps.fits", "parameters": "table.fits", "layout": "cosmology realisation bin y x"}


def unmasked_pixels(folder: Path, own: Own) -> Keys:
    """As the FAIR-Universe challenge stores them; here all pixels are inside."""
    np.save(folder / "maps.npy", own.maps.reshape(48, 2, 1024, 4))
    np.save(folder / "mask.npy", np.ones((32, 32), bool))
    write_table(folder / "table.csv", own.theta, own.names)
    return {"mask": "mask.npy"}


def many_files(folder: Path, own: Own) -> Keys:
    """A file for each cosmology and an array for each bin in it; their order is that of the numbers."""
    for number, maps in enumerate(own.maps):
        with h5py.File(folder / f"LH_{number}.h5", "w") as file:
            for bin_ in range(4):
                file[f"bin{bin_ + 1}/kappa"] = maps[..., bin_]
    write_table(folder / "table.csv", own.theta, own.names)
    return {"maps": "LH_*.h5", "bins": [f"bin{i}/kappa" for i in range(1, 5)]}


def packed(folder: Path, own: Own) -> Keys:
    """Which is copied into shards, map by map."""
    np.savez_compressed(folder / "maps.npz", kappa=own.maps, other=np.zeros(3))
    np.save(folder / "table.npy", np.repeat(own.theta[:, None], 2, axis=1))
    return {
        "maps": "maps.npz:kappa",
        "parameters": "table.npy",
        "columns": {"omega_m": {"column": 0, "range": [0.1, 0.5]}},
    }


LAYOUTS = [
    cosmologies, rows, channels_first, big_endian_fortran, hdf5, fits_images, unmasked_pixels, many_files,
]  # fmt: skip


@pytest.fixture
def without_simulator(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours must not be called once the suite is there."""

    def called(*_: Any, **__: Any) -> None:
        raise AssertionError("the simulator was called")

    monkeypatch.setattr(lensing, "maps", called)
    monkeypatch.setattr(lensing, "prepare", called)


@pytest.fixture(scope="module")
def seen(own: Own) -> dict[str, np.ndarray]:
    """What a network sees of each split of the kind lensing."""
    forward = Forward(own.cfg)
    return {name: observed(own.split(name), forward, 3) for name in SIZES}


@pytest.mark.slow
@pytest.mark.usefixtures("without_simulator")
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.__name__)
def test_maps_of_every_layout_are_those_of_the_kind_lensing(
    layout: Callable[..., Keys], own: Own, seen: dict[str, np.ndarray], folder: Path, suite: Callable[..., Config]
) -> None:
    cfg = suite(**layout(folder, own))
    made = generate(cfg, folder / "simulations", 1, progress=False)
    assert (made["maps"], made["maps_made"]) == (96, 0)
    assert not list((folder / "simulations").rglob("*.npy"))  # nothing is copied
    forward = Forward(cfg)
    for name in SIZES:
        mine, theirs = open_split(cfg, folder / "simulations", name), own.split(name)
        np.testing.assert_array_equal(mine.theta, theirs.theta)
        np.testing.assert_array_equal(mine.cosmology, theirs.cosmology)
        some = np.random.default_rng(1).permutation(len(theirs))[:5]
        assert mine.stored(some).dtype == theirs.stored(some).dtype
        np.testing.assert_array_equal(mine.stored(some), theirs.stored(some))
        np.testing.assert_array_equal(observed(mine, forward, 3), seen[name])


@pytest.mark.slow
@pytest.mark.usefixtures("without_simulator")
def test_packed_files_are_copied_into_shards(own: Own, folder: Path, suite: Callable[..., Config]) -> None:
    cfg = suite(**packed(folder, own), split=None)
    made = generate(cfg, folder / "simulations", 1, progress=False)
    assert made["maps_made"] == 96
    assert generate(cfg, folder / "simulations", 1, progress=False)["maps_made"] == 0  # and kept
    whole = own.maps.reshape(96, 32, 32, 4)
    seen = []
    for name, count in SIZES.items():
        split = open_split(cfg, folder / "simulations", name)
        assert len(split) == 2 * count
        for theta, stored in zip(split.theta, split.stored(np.arange(len(split))), strict=True):
            number = int(np.flatnonzero((whole == stored).all(axis=(1, 2, 3)))[0])
            assert own.theta[number // 2] == theta
            seen.append(number)
    assert sorted(seen) == list(range(96))


def posterior_means(cfg: Config, simulations: Path, folder: Path) -> np.ndarray:
    """Posterior means of the test maps by a network that was trained, calibrated, saved and read again."""
    training, validation, test = (open_split(cfg, simulations, name) for name in SIZES)
    made = calibrate(Estimator(cfg, train(cfg, training, validation, folder / "run").model), training, validation)
    obs = observed(test, Forward(cfg), 5)
    made.save(folder / "model")
    return Estimator.load(folder / "model").mean(obs)


@pytest.fixture(scope="module")
def expected(own: Own, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Means of the kind lensing."""
    return posterior_means(own.cfg, own.folder, tmp_path_factory.mktemp("lensing"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", [LAYOUTS[0], *(pytest.param(one, marks=pytest.mark.long) for one in LAYOUTS[1:])])
def test_the_posterior_is_that_of_the_kind_lensing(
    layout: Callable[..., Keys], own: Own, expected: np.ndarray, folder: Path, suite: Callable[..., Config]
) -> None:
    cfg = suite(**layout(folder, own))
    generate(cfg, folder / "simulations", 1, progress=False)
    means = posterior_means(cfg, folder / "simulations", folder)
    for path in (*folder.glob("maps.*"), *folder.glob("*.h5")):
        path.unlink()  # the model needs none of the files
    assert Estimator.load(folder / "model").cfg.parameter_names == ("omega_m",)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-6)

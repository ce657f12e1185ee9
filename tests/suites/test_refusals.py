"""Files that do not fit end in one line that says what is wrong with them and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import generate
from cosmokeras.params.config import Config
from tests.shared import Program
from tests.suites.conftest import SMALL, write_table

N = 48
NOISE = 0.0085  # rms of a bin of the stand-in maps: that of convergence


@pytest.fixture
def files(folder: Path) -> Path:
    """Stand-in maps (48, 2, 32, 32, 4), white, and their table."""
    rng = np.random.default_rng(1)
    np.save(folder / "maps.npy", NOISE * rng.standard_normal((N, 2, 32, 32, 4), dtype=np.float32))
    theta = np.linspace(0.11, 0.49, N)[:, None]
    write_table(folder / "table.csv", theta, ["train"] * 32 + ["validation"] * 8 + ["test"] * 8)
    return folder


def change(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        np.save(folder / name, function(np.load(folder / name)))

    return spoil


def put(value: float, *place: int | slice) -> Callable[[np.ndarray], np.ndarray]:
    def changed(maps: np.ndarray) -> np.ndarray:
        maps[place] = value
        return maps

    return changed


def table(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / "table.csv").read_text()
        assert old in text
        (folder / "table.csv").write_text(text.replace(old, new))

    return spoil


def twins(folder: Path) -> None:
    """A cosmology of the test maps again among those of training."""
    lines = (folder / "table.csv").read_text().splitlines()
    lines[1] = lines[-1].replace("test", "train")
    (folder / "table.csv").write_text("\n".join(lines))


def numbered_twins(folder: Path) -> None:
    """The same, as two simulations."""
    twins(folder)
    first, *lines = (folder / "table.csv").read_text().splitlines()
    numbered = [f"{first},number", *(f"{line},{i}" for i, line in enumerate(lines))]
    (folder / "table.csv").write_text("\n".join(numbered))


def square(folder: Path) -> None:
    np.save(folder / "maps.npy", np.zeros((N, N, 32, 32, 4), np.float32))


def same(folder: Path) -> None:
    """As they are."""


BAD: dict[str, tuple[Callable[[Path], None], dict[str, Any], list[str]]] = {
    "lengths": (change("maps.npy", lambda maps: maps[:47]), {}, ["shape (47, 2, 32, 32, 4)", "48 rows"]),
    "column": (same, {"columns": {"omega_m": "Omega"}}, ["files.columns.omega_m='Omega'", "it has Om, set"]),
    "number": (same, {"columns": {"omega_m": 7}}, ["files.columns.omega_m=7", "numbers 0 to 1"]),
    "text": (same, {"columns": {"omega_m": "set"}}, ["files.columns.omega_m='set'", "holds text"]),
    "nan in table": (table("0.11,", "nan,"), {}, ["table.csv", "'Om'", "NaN", "row 0"]),
    "nan": (change("maps.npy", put(np.nan, 3, 1, 2, 2, 0)), {}, ["maps.npy, map 3,1", "1 pixels are NaN"]),
    "constant": (change("maps.npy", put(0.01, 5, 0)), {}, ["maps.npy, map 5,0", "0.01 in all pixels"]),
    "range": (
        same, {"columns": {"omega_m": {"column": "Om", "range": [0.2, 0.5]}}},
        ["omega_m=0.11", "files.columns.omega_m.range=[0.2, 0.5]"],
    ),
    "order": (square, {}, ["cosmology realisation y x bin", "realisation cosmology y x bin", "files.layout"]),
    "layout": (same, {"layout": "cosmology y x bin"}, ["files.layout='cosmology y x bin'", "names 4 axes"]),
    "axis": (same, {"layout": "cosmology realisation y x channel"}, ["'channel' is no axis", "cosmology, realisation"]),
    "mask": (lambda folder: np.save(folder / "mask.npy", np.ones((32, 33))), {"mask": "mask.npy"}, ["(32, 33)"]),
    "degrees": (same, {"pixel_arcmin": 5 / 60}, ["at least 1920 pixels"]),
    "per cent": (
        change("maps.npy", lambda maps: 100 * maps), {},
        ["rms of 0.846 without noise", "noise of 0.0263", "files.units"],
    ),
    "no noise": (same, {"noise": "included"}, ["bin 1 has an rms of 0.00846 with noise", "noise of 0.0263"]),
    "twins": (twins, {}, ["the simulation of", "in train and in test", "belongs to one split"]),
    "twins of other names": (numbered_twins, {"group": "number"}, ["the cosmology (0.49)", "in train and in test"]),
    "two splits": (
        lambda folder: write_table(
            folder / "table.csv", np.repeat(np.linspace(0.11, 0.49, N), 2)[:, None], ["train", "test"] * N
        ), {}, ["is in train and in test", "belongs to one split"],
    ),
    "split": (table("validation", "held"), {}, ["files.split=set", "'held'", "train, validation, test"]),
    "few": (same, {"split": None, "group": None, "_": {"data.n_cosmologies": 100}}, ["48 simulations", "= 116"]),
    "few of a split": (same, {"_": {"data.test": 9}}, ["names 8 simulations for test", "data.test=8"]),
    "nothing there": (same, {"maps": "other_*.npy"}, ["files.maps=other_*.npy", "no file matches this pattern"]),
    "no table": (same, {"parameters": "other.csv"}, ["files.parameters=", "other.csv", "no such file"]),
    "coarse": (same, {"pixel_arcmin": 10.0}, ["files.pixel_arcmin=10", "coarser"]),
    "pixel": (same, {"pixel_arcmin": None}, ["files.pixel_arcmin=null", "is needed"]),
    "units": (same, {"units": "density"}, ["files.units=density", "files.noise=none"]),
    "far": (
        change("maps.npy", lambda maps: 11 + 50 * maps), {"noise": "none", "units": "log10_density"},
        ["mean of 11", "files.offset=11", "files.scale=0.42"],
    ),
    "negative": (same, {"noise": "none", "units": "density"}, ["densities are positive", "log10_density"]),
    "held": (same, {"columns": {"sigma8": {"column": "Om", "holds": "S8"}}}, ["needs omega_m in files.columns"]),
    "key": (same, {"columns": {"omega_m": {"column": 0, "ranges": [0, 1]}}}, ["did you mean 'range'?"]),
    "constant column": (
        lambda folder: write_table(folder / "table.csv", np.full((N, 1), 0.3), ["train"] * N),
        {"columns": {"omega_m": "Om"}, "split": None}, ["files.columns.omega_m", "is 0.3 in all rows"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_in_a_line(
    name: str, files: Path, suite: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, keys, words = BAD[name]
    spoil(files)
    other = dict(keys)
    with pytest.raises(UserError) as refused:
        generate(suite(other.pop("_", None), **other), files / "simulations", 1, progress=False)
    said = str(refused.value)
    assert "\n" not in said
    for word in words:
        assert word in said
    assert not (files / "simulations").exists()


def test_the_same_files_unspoilt_are_taken(files: Path, suite: Callable[..., Config]) -> None:
    """Else the refusals above would say nothing."""
    assert generate(suite(), files / "simulations", 1, progress=False)["maps"] == 96


def test_the_stage_ends_with_a_line_and_code_2(files: Path, program: Program) -> None:
    change("maps.npy", put(np.nan, 3, 1, 2, 2, 0))(files)
    raw = yaml.safe_load((files / "params.yaml").read_text())
    raw["files"] |= {"maps": "maps.npy", "parameters": "table.csv", "columns": {"omega_m": "Om"}, "pixel_arcmin": 5.0}
    raw["data"]["kind"] = "files"
    for key, value in SMALL.items():
        section, name = key.split(".")
        raw[section][name] = value
    (files / "params.yaml").write_text(yaml.safe_dump(raw))
    ended = program(files, "stages.generate")
    assert ended.code == 2
    assert ended.err.strip().splitlines()[-1].startswith("error: maps.npy, map 3,1: 1 pixels are NaN")
    assert "Traceback" not in ended.err
    assert not (files / "outputs" / "simulations").exists()


def test_nothing_simulates_maps_of_files(files: Path, suite: Callable[..., Config]) -> None:
    from cosmokeras.simulators import simulate

    with pytest.raises(UserError, match="data.kind=files: maps are those of files.maps"):
        simulate(suite(), np.array([[0.3]]), seed=1)


def test_a_changed_file_makes_its_maps_stale_inside_and_outside_of_the_project(
    files: Path, suite: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from cosmokeras.provenance.statements import differences, statement

    outside = tmp_path_factory.mktemp("outside")
    for name in ("maps.npy", "table.csv"):
        (outside / name).write_bytes((files / name).read_bytes())
    for folder, shown in ((files, ""), (outside, f"{outside}/")):  # by names that are the same on other machines
        cfg = suite(maps=str(folder / "maps.npy"), parameters=str(folder / "table.csv"))
        before = {name: statement(cfg, name) for name in ("maps", "model")}
        assert json.dumps(before) == json.dumps({name: statement(cfg, name) for name in before})
        change("maps.npy", put(0.001, 3, 1, 2, 2, 0))(folder)
        for name, then in before.items():
            assert differences(then, statement(cfg, name)) == [f"content of {shown}maps.npy"]
        table_file = folder / "table.csv"
        table_file.write_text(table_file.read_text().replace("0.11,", "0.12,"))
        now = statement(suite(maps=str(folder / "maps.npy"), parameters=str(table_file)), "maps")
        assert f"content of {shown}table.csv" in differences(before["maps"], now)

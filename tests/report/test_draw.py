"""What stages keep for their pictures, and the stage that draws from it and from nothing else."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common import cli, figure_data
from cosmokeras.common.errors import UserError
from cosmokeras.report import style
from cosmokeras.report.draw import DRAWINGS
from stages import plots

HISTORY = [{"epoch": epoch, "loss": -1 - 1 / epoch, "val_loss": np.float32(1 / epoch), "lr": 1e-3} for epoch in (1, 2)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_what_is_kept_comes_back_and_has_the_same_bytes_each_time(folder: Path) -> None:
    maps = np.arange(8, dtype=np.float32).reshape(2, 4)
    content = {"maps": maps, "names": ("omega_m",), "rmse": {"omega_m": np.float64(0.1)}, "p": np.nan, "truth": None}
    figure_data.save("train", **content)
    path = folder / "outputs" / "figures" / "train.npz"
    first = path.read_bytes()
    found = figure_data.load("train")
    assert found["maps"].dtype == np.float32
    np.testing.assert_array_equal(found["maps"], maps)
    assert found["names"] == ["omega_m"] and found["rmse"] == {"omega_m": 0.1} and found["truth"] is None
    assert np.isnan(found["p"])
    time.sleep(2.1)  # zip archives know times to two seconds
    figure_data.save("train", **content)
    assert path.read_bytes() == first


def test_what_is_neither_array_nor_json_is_not_kept(folder: Path) -> None:
    with pytest.raises(TypeError, match="neither an array nor JSON: PosixPath"):
        figure_data.save("train", where=Path())
    assert not (folder / "outputs" / "figures" / "train.npz").exists()


@pytest.mark.parametrize("stage", DRAWINGS)
def test_a_missing_file_names_the_stage_to_run(stage: str, folder: Path) -> None:
    with pytest.raises(UserError, match=f"outputs/figures/{stage}.npz is missing; run `dvc repro {stage}`"):
        plots.main(Namespace(only=stage))
    (folder / "outputs" / "figures").mkdir(parents=True)
    (folder / "outputs" / "figures" / f"{stage}.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=f"{stage}.npz is damaged .*delete it and run `dvc repro {stage}`"):
        plots.main(Namespace(only=stage))
    assert not (folder / "plots").exists()


def test_pictures_of_one_stage_and_another_colour(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure_data.save("train", history=HISTORY)
    with pytest.raises(UserError, match=r"generate\.npz is missing"):
        plots.main(Namespace(only=None))
    assert not (folder / "plots").exists()
    plots.main(Namespace(only="train"))
    drawn = folder / cli.PLOTS / "training.png"
    before = drawn.read_bytes()
    monkeypatch.setattr("cosmokeras.report.training.BLUE", style.GREEN)
    plots.main(Namespace(only="train"))
    assert drawn.read_bytes() != before

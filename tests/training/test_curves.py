"""Curves: one file a column, one line an epoch, whatever was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.training.checkpoint import RunState
from cosmokeras.training.curves import Curves, WandbCurves, check_wandb

ROWS = [{"epoch": i, "loss": 2.0 / i, "val_loss": 3.0 / i, "lr": 0.001} for i in (1, 2, 3)]


def state_of(folder: Path, rows: list[dict[str, float]]) -> RunState:
    state = RunState(folder / "work-1", steps=4, patience=5, minutes=1.0)
    state.progress.history = list(rows)
    return state


def table(path: Path) -> list[list[float]]:
    header, *lines = path.read_text().splitlines()
    assert header.split("\t") == ["step", path.stem]
    return [[float(x) for x in line.split("\t")] for line in lines]


def test_a_line_for_each_epoch(tmp_path: Path) -> None:
    state = state_of(tmp_path, [])
    curves = Curves(state, tmp_path / "plots")
    for row in ROWS:
        state.progress.history.append(row)
        curves.on_epoch_end(int(row["epoch"]))
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {"loss.tsv", "val_loss.tsv", "lr.tsv"}
    assert table(tmp_path / "plots" / "loss.tsv") == [[r["epoch"], pytest.approx(r["loss"])] for r in ROWS]


def test_a_resumed_run_has_each_epoch_once(tmp_path: Path) -> None:
    state = state_of(tmp_path, ROWS[:1])
    Curves(state, tmp_path / "plots")
    # an epoch was written whose state was lost with the process
    state.progress.history.append({**ROWS[1], "loss": 77.0})
    Curves(state, tmp_path / "plots")
    resumed = state_of(tmp_path, ROWS[:1])
    curves = Curves(resumed, tmp_path / "plots")
    for row in ROWS[1:]:
        resumed.progress.history.append(row)
        curves.on_epoch_end(int(row["epoch"]))
    assert table(tmp_path / "plots" / "loss.tsv") == [[r["epoch"], pytest.approx(r["loss"])] for r in ROWS]


def test_wandb_gets_each_epoch_and_the_parameters(
    tmp_path: Path, lensing: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    run = SimpleNamespace(log=lambda row, step: sent.append((step, row)), finish=lambda: sent.append("finished"))
    started: dict[str, Any] = {}
    fake = SimpleNamespace(init=lambda **keywords: started.update(keywords) or run, __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "wandb", fake)
    state = state_of(tmp_path, [])
    curves = WandbCurves(lensing, state)
    state.progress.history.append(ROWS[0])
    curves.on_epoch_end(0)
    curves.on_train_end()
    assert sent == [(1, ROWS[0]), "finished"]
    # a run that is resumed goes on under the name of its state
    assert (started["id"], started["resume"]) == ("work-1", "allow")
    assert started["config"]["prior"]["omega_m"] == [0.1, 0.5]


def test_wandb_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("cosmokeras.training.curves.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"train.wandb=true: the package wandb is not installed; `make install"):
        check_wandb()

"""The table of runs, from what `dvc exp show --json` says."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from cosmokeras.common.errors import UserError
from study import compare_runs


def revision(name: str, rmse: float, targets: tuple[str, ...] = ("omega_m",), **params: Any) -> dict[str, Any]:
    test = {"rmse": rmse, "gain": 1.1, "gain_std": 0.01, "coverage_68": 0.69}
    evaluated: dict[str, Any] = dict.fromkeys(targets, test) | {"nll": -1.9, "fair_phase1": {"network": 8.0}}
    sky = {"omega_m": {"mean": 0.27, "std": 0.004}, "source": "mock"}
    metrics = {"evaluate": evaluated, "infer": sky, "train": {"seconds": 90.0}}
    return {
        "rev": "abcdef0123", "name": name,
        "data": {
            "params": {"params.yaml": {"data": {"prior": {"h": 0.7, **params}, "model": {"width": 16}}}},
            "metrics": {f"metrics/{key}.json": {"data": value} for key, value in metrics.items()},
        },
    }  # fmt: skip


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`shown(answer)`: the table when DVC answers this."""

    def give(answer: list[Any], code: int = 0, err: str = "") -> list[str]:
        done = subprocess.CompletedProcess([], code, json.dumps(answer), err)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
        return compare_runs.table(compare_runs.runs()).splitlines()

    return give


def commit(*experiments: dict[str, Any]) -> dict[str, Any]:
    return revision("main", 0.037) | {"experiments": [{"revs": [one]} for one in experiments]}


def test_each_run_has_a_row_with_what_it_changed(shown: Any) -> None:
    wide, narrow = revision("wide", 0.04, h=[0.6, 0.8]), revision("narrow", 0.03, omega_m=[0.2, 0.4])
    heading, *lines = shown([revision("workspace", 0.037), commit(wide, narrow)])
    assert heading.split() == " ".join(compare_runs.HEADINGS).split()
    assert [line.split()[0] for line in lines] == ["main", "narrow", "wide"]
    assert lines[0].split() == [
        "main",
        "omega_m",
        "0.0370",
        "1.100",
        "+-",
        "0.010",
        "0.690",
        "0.2700",
        "+-",
        "0.0040",
        "1.5",
    ]
    assert lines[1].endswith("prior.omega_m=[0.2, 0.4]")
    assert lines[2].endswith("prior.h=[0.6, 0.8]")
    assert "prior.h" not in lines[1]


def test_files_that_differ_from_the_commit_are_a_run(shown: Any) -> None:
    lines = shown([revision("workspace", 0.037, h=0.6), commit()])
    assert lines[2].startswith("workspace") and lines[2].endswith("prior.h=0.6")


def test_each_target_has_a_row_and_a_run_without_metrics_has_none(shown: Any) -> None:
    two, failed = revision("two", 0.05, ("omega_m", "S8")), {"rev": "0123456789", "name": "failed", "data": None}
    lines = shown([revision("workspace", 0.037), commit(two, failed)])
    assert lines[2].split()[:2] == ["failed", "-"]
    assert lines[3].split()[:3] == ["two", "omega_m", "0.0500"]
    assert lines[4].split()[:2] == ["S8", "0.0500"]


def test_many_changes_are_counted(shown: Any) -> None:
    many = {f"p{i}": i for i in range(7)}
    assert shown([revision("workspace", 0.037), commit(revision("many", 0.04, **many))])[2].endswith("and 3 more")


def test_what_dvc_refuses_is_one_line(shown: Any) -> None:
    with pytest.raises(UserError, match="dvc exp show failed: not a repository"):
        shown([], 255, "ERROR\nnot a repository")

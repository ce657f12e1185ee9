"""The command line that stages share: help, progress, quiet imports, and one line for what people can mend."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras import UserError
from cosmokeras.common import cli, yaml12
from cosmokeras.common.checksums import write_checksums
from tests.shared import Program

ROOT = Path(__file__).parents[2]
STAGES = yaml12.read(ROOT / "dvc.yaml")["stages"]


# In one process: `python -m` of each stage with --help, what it says and how it ends, and what has been imported then
ASK = """
import contextlib, io, json, runpy, sys
found = {}
for stage in sys.argv[1:]:
    sys.argv, code, said = [stage, "--help"], None, io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    loaded = {"tensorflow", "keras", "jax", "torch"} & set(sys.modules)
    found[stage] = {"code": code, "said": said.getvalue(), "loaded": sorted(loaded)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helped() -> dict[str, dict[str, Any]]:
    """Of each stage its help."""
    command = [sys.executable, "-c", ASK, *STAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_help_says_what_a_stage_reads_and_writes_without_tensorflow(
    stage: str, helped: dict[str, dict[str, Any]]
) -> None:
    said = helped[stage]["said"]
    assert not helped[stage]["code"]
    assert f"usage: python -m stages.{stage}" in said
    assert helped[stage]["loaded"] == []
    entries = [one for key in ("outs", "metrics", "plots") for one in STAGES[stage].get(key, [])]
    assert all(next(iter(entry)) in said for entry in entries)
    assert "cosmokeras/" not in said


def test_help_outside_of_the_project_still_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "see dvc.yaml" in cli._reads_and_writes("train")
    (tmp_path / "dvc.yaml").write_text("stages: [")
    assert "see dvc.yaml" in cli._reads_and_writes("train")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", ""])
def test_processes_are_counted_from_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number above 0"):
        cli.count(text)
    assert cli.count("3") == 3


def load(path: Path) -> object:
    return json.loads(path.read_text())


def test_missing_and_damaged_files_name_the_stage_that_makes_them(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    with pytest.raises(UserError, match=r"note.json is missing; run `dvc repro fetch_real`"):
        cli.read(path, load, "fetch_real")
    path.write_text('{"a": ')
    with pytest.raises(UserError, match=r"note.json is damaged \(.*\); delete it and run `dvc repro") as caught:
        cli.read(path, load, "fetch_real")
    assert "\n" not in str(caught.value)
    path.write_text('{"a": 1}')
    assert cli.read(path, load, "fetch_real") == {"a": 1}


def test_infer_without_its_inputs_is_one_line(tmp_path: Path, program: Program) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for name in ("data", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    real = tmp_path / "outputs" / "real"
    ended = program(tmp_path, "stages.infer")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "outputs/real/checksums.json is missing; run `dvc repro fetch_real`" in ended.err
    real.mkdir(parents=True)
    for name in ("provenance.json", "positions.csv"):
        (real / name).write_text("{}")
    with (real / "patches.npz").open("wb") as handle:
        np.save(handle, np.zeros(3))  # an array where an archive is due
    write_checksums(real, ("provenance.json", "positions.csv", "patches.npz"))
    ended = program(tmp_path, "stages.infer")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "outputs/real/patches.npz is damaged" in ended.err


def test_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "patches.npz", maps=np.zeros(100))
    (tmp_path / "patches.npz").write_bytes((tmp_path / "patches.npz").read_bytes()[:200])
    with pytest.raises(UserError, match=r"patches.npz is damaged"):
        cli.read(tmp_path / "patches.npz", np.load, "fetch_real")


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stage(args: argparse.Namespace) -> None:
        """Stage that someone stops."""
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as caught:
        cli.run(stage)
    assert caught.value.code == cli.INTERRUPTED
    assert "repeat the command to resume" in capsys.readouterr().err


def test_steps_are_counted_when_they_are_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with cli.steps("cook", 2) as begin:
        begin("peel")
        begin("boil")
    shown = capsys.readouterr().err
    assert "cook: peel, 0 of 2 steps done" in shown
    assert "cook: boil, 1 of 2 steps done" in shown
    assert "step/s" in shown or "s/step" in shown

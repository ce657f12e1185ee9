"""What differs from the committed parameters is said in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from cosmokeras.common import yaml12
from cosmokeras.common.committed import differences
from tests.shared import Program

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def committed(params: Path) -> Path:
    """params.yaml, committed as it is."""
    git(params.parent, "init", "-q")
    git(params.parent, "add", "params.yaml")
    git(params.parent, "commit", "-qm", "params")
    return params


def test_nothing_differs(committed: Path) -> None:
    assert differences(committed) == ""
    committed.write_text(f"# a comment\n{committed.read_text()}".replace("sigma8: 0.8 ", "sigma8: 8e-1 "))
    assert differences(committed) == "", "spelling is no difference"
    committed.write_text(yaml12.dumps(yaml12.read(committed)))
    assert differences(committed) == ""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["prior.omega_m=[0.2,0.4]"], "prior.omega_m=[0.2, 0.4] (committed [0.1, 0.5])"),
        (["prior.sigma8=[0.6,1.0]"], "prior.sigma8=[0.6, 1.0] (committed 0.8)"),
        (["train.xla=on"], "train.xla=on (committed auto)"),
        (
            ["train.wandb=true", "real.path=a.npy"],
            "train.wandb=true (committed false), real.path=a.npy (committed null)",
        ),
        (["train.lr=1e-4"], "train.lr=0.0001 (committed 0.002)"),
        (["++train.new=1"], "train.new=1 (not in the committed)"),
        (["~train.patience"], "train.patience left out (committed 8)"),
    ],
)
def test_what_differs_is_named(committed: Path, overrides: list[str], words: str) -> None:
    apply_overrides(str(committed), overrides)
    assert differences(committed) == f"differs from the committed params: {words}"


def test_many_are_counted_and_long_ones_cut(committed: Path) -> None:
    raw: dict[str, Any] = yaml12.read(committed)
    raw["real"]["path"] = [f"map_{i}.npy" for i in range(100)]
    raw["train"] = {key: value if isinstance(value, str) else 3 for key, value in raw["train"].items()}
    committed.write_text(yaml12.dumps(raw))
    line = differences(committed)
    assert len(line) < 500 and "\n" not in line
    assert line.endswith(" more") and " and " in line
    raw["train"] = yaml12.read(ROOT / "params.yaml")["train"]
    committed.write_text(yaml12.dumps(raw))
    assert differences(committed).endswith("... (committed null)")


def test_a_number_is_no_truth_value(committed: Path) -> None:
    committed.write_text(committed.read_text().replace("refuse: false", "refuse: 0"))
    assert "infer.refuse=0 (committed false)" in differences(committed)


def test_another_file_is_held_against_the_committed_one(committed: Path) -> None:
    other = committed.with_name("other.yaml")
    other.write_text(committed.read_text().replace("seed: 1 ", "seed: 2 "))
    assert differences(other).count("seed=2 (committed 1)") == 2


def test_without_git_or_a_commit_nothing_is_said(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert differences(params) == ""
    git(params.parent, "init", "-q")
    assert differences(params) == ""
    git(params.parent, "commit", "-q", "--allow-empty", "-m", "none")
    assert differences(params) == ""
    monkeypatch.setenv("PATH", "")
    assert differences(params) == ""
    assert differences(params.parent / "none.yaml") == ""


def test_it_is_the_first_line_of_a_stage(committed: Path, program: Program) -> None:
    apply_overrides(str(committed), ["prior.omega_m=[0.2,0.4]", "data.size=63"])
    ended = program(committed.parent, "stages.generate")
    assert ended.code == 2
    assert ended.out == (
        "differs from the committed params: prior.omega_m=[0.2, 0.4] (committed [0.1, 0.5]), "
        "data.size=63 (committed 64)\n"
    )
    assert ended.err == "error: params.yaml: data.size=63: must be even\n"

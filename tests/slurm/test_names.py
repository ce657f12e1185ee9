"""Names are looked at before anything else: no Slurm is needed to be told that one is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("a b", "x;y", "-rf", "a..b", ".hidden", "a.", "a.lock", "x/y", "~x", "$(x)", "a\nb", "*")


def submitted(*arguments: str, site: Path) -> str:
    """The one line that `slurm/submit` ends with, with exit code 2."""
    command = [ROOT / "slurm" / "submit", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "COSMOKERAS_SITE": str(site)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_name_is_refused_before_anything_is_submitted(name: str, tmp_path: Path) -> None:
    line = submitted("--name", name, site=tmp_path / "none")
    assert line.startswith("error: --name ") and "must be letters, digits, - _ and single dots" in line


def test_names_that_may_be_and_targets_that_may_not(tmp_path: Path) -> None:
    for name in ("a", "wide-prior_2.1", "2"):  # the next thing that is asked for
        assert f"{tmp_path / 'none'} is missing" in submitted("--name", name, site=tmp_path / "none")
    assert "--target a b: no such stage" in submitted("--sweep", "x", "--target", "a b", site=tmp_path / "none")

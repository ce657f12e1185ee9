"""A clone of the checkout as it stands, and a small network trained in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clones import clone_as_it_stands

ROOT = Path(__file__).parents[2]
TINY = [
    "data.n_cosmologies=24", "data.realisations=2", "data.validation=8", "data.test=12", "model.width=4",
    "model.components=2", "model.spectrum_bins=6", "train.epochs=1", "train.batch_size=16", "evaluate.samples=100",
    "evaluate.spectrum_bins=6", "evaluate.nuisance_maps=16",
]  # fmt: skip
Run = Callable[..., str]


def run(folder: Path, *command: str, ok: bool = True, **env: str) -> str:
    """Output of a command typed in `folder`; one word goes through a shell."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    full = {**os.environ, "PATH": path, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", "DVC_NO_ANALYTICS": "1", **env}
    arguments = command if len(command) > 1 else ["bash", "-c", command[0]]
    done = subprocess.run(arguments, cwd=folder, env=full, text=True, capture_output=True)
    assert (done.returncode == 0) == ok, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def tiny(*changes: str) -> list[str]:
    """Arguments of `dvc exp run` that make it a matter of seconds; later changes win."""
    return [word for change in (*TINY, *changes) for word in ("-S", change)]


def changed_files(folder: Path) -> str:
    """Files of the project that are not as committed; pages write others beside them."""
    return run(folder, "git", "status", "--short", "--untracked-files=no")


def ref(folder: Path, name: str) -> str:
    """The commit of an experiment."""
    lines = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return next(line for line in lines if line.endswith(f"/{name}"))


def make_clone(folder: Path) -> Path:
    """A stranger's clone, on a branch `main`, with its data."""
    clone_as_it_stands(folder)
    run(folder, "git", "checkout", "-q", "-B", "main")
    run(folder, "dvc", "pull", "data.dvc")
    return folder


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that the tests of one file may change."""
    return make_clone(tmp_path_factory.mktemp("clone") / "cosmokeras")

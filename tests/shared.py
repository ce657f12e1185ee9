"""What all workers of one run of the tests share: folders filled once, and programs run without a new process."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cosmokeras.common.files import locked


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests; under xdist one for all workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def once(run_folder: Path) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder that `make` has filled, in the worker that asked first; the others wait for it."""

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        made = run_folder / "shared" / name
        with locked(made.parent, f".{name}.lock"):
            if not made.exists():
                unfinished = made.with_name(f"{name}.unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(made)
        return made

    return folder


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """Lines of errors, without those of progress, which come after some seconds: `fetch_real, 0:08: starting`."""
        return [line for line in self.err.splitlines() if not re.match(r"\w+, \d+:\d\d: ", line)]


Program = Callable[..., Ended]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`program(folder, "stages.infer", ...)`: `python -m stages.infer ...` in a folder, without a new process.

    Python and TensorFlow take seconds to start; that programs also do it in a process of their own is seen by
    tests/common/test_entry.py and tests/pipeline.
    """

    def run(folder: Path, name: str, *arguments: str) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", [name, *arguments])
            code: object = 0
            try:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int), code
        return Ended(code, said.out, said.err)

    return run

"""A small project that has run to its end, what its stages read and write, and its way back to what it was."""

from __future__ import annotations

import functools
import gc
import io
import os
import runpy
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.damage.ways import remove
from cosmokeras.common import yaml12
from study.runs import ROOT, changed_params

STAGES = ("generate", "fetch_real", "train", "evaluate", "infer", "plots")
# Theory of one cosmology takes three seconds, that of a range of them half a minute: amplitudes alone vary.
SMALL: dict[str, dict[str, Any]] = {
    "prior": {"omega_m": 0.3, "sigma8": [0.6, 1.0]},
    "data": {"n_cosmologies": 24, "realisations": 2, "validation": 8, "test": 12, "size": 32},
    "lensing": {"pixel_arcmin": 20},
    "model": {"width": 4, "components": 2, "spectrum_bins": 6},
    "train": {"epochs": 2, "batch_size": 16},
    "evaluate": {"samples": 100, "spectrum_bins": 6, "nuisance_maps": 0},
}
READ_ALL = -1  # in place of an exit code
WRITTEN = ("outputs", "metrics", "plots", ".work")


@dataclass(frozen=True)
class Ended:
    """How a stage ended: exit code, None after an error that is no exit, and what it said on both streams."""

    code: int | None
    said: str

    @property
    def error_lines(self) -> list[str]:
        """Lines that begin with `error:`."""
        return [line for line in self.said.splitlines() if line.startswith("error: ")]


@dataclass
class Seen:
    """Files that a stage has opened, below the project."""

    read: set[Path] = field(default_factory=set)  # before it wrote them, if it did
    written: set[Path] = field(default_factory=set)
    writes: int = 0

    def add(self, other: Seen) -> None:
        """What another run has opened, too."""
        self.read |= other.read
        self.written |= other.written


AtWrite = Callable[[int, Path], None]  # called with the number, from 1, and the path of each write before it happens


@dataclass(frozen=True)
class Project:
    """A folder with params.yaml, data, outputs and a work folder `.work`."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Project:
        """Parameters and data, copied, for nothing to be harmed; no outputs yet."""
        folder.mkdir(parents=True, exist_ok=True)
        params = changed_params({key: dict(value) for key, value in (SMALL if changes is None else changes).items()})
        (folder / "params.yaml").write_text(yaml12.dumps(params))
        if not (folder / "data").exists():
            shutil.copytree(ROOT / "data", folder / "data", symlinks=False)
        return cls(folder.resolve())

    def run(self, stage: str, *arguments: str, seen: Seen | None = None, at_write: AtWrite | None = None) -> Ended:
        """Run a stage in this process, as if it were a new one: nothing that was read before is remembered.

        Where `at_write` is `until_first_write`, it ends there with `READ_ALL`.
        """
        _forget()
        out, code = io.StringIO(), None
        before = {name: os.environ.get(name) for name in ("COSMOKERAS_WORK", "CUDA_VISIBLE_DEVICES")}
        os.environ["COSMOKERAS_WORK"] = str(self.folder / ".work")
        argv, sys.argv = sys.argv, [stage, *arguments]
        try:
            with chdir(self.folder), redirect_stdout(out), redirect_stderr(out), _watched(self.folder, seen, at_write):
                try:
                    runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
                    code = 0
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                except Written:
                    code = READ_ALL
                except BaseException:  # a mistake of the program, which is what is looked for
                    out.write(traceback.format_exc())
        finally:
            sys.argv = argv
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        return Ended(code, out.getvalue())

    def files(self) -> dict[Path, tuple[int, int, int]]:
        """Size, time and number of each file below the project, by its path in it."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                found[path.relative_to(self.folder)] = status.st_size, status.st_mtime_ns, status.st_ino
        return found

    def keep(self, pristine: Path) -> Kept:
        """A copy to come back to."""
        shutil.copytree(self.folder, pristine)
        return Kept(self, pristine, self.files())


@dataclass
class Kept:
    """A project and a copy of what it was."""

    project: Project
    copy: Path
    state: dict[Path, tuple[int, int, int]]

    def restore(self) -> list[Path]:
        """Make the project what it was; files that were others, there for the first time, or gone."""
        folder, now = self.project.folder, self.project.files()
        changed = [path for path, status in now.items() if self.state.get(path) != status]
        for path in changed:
            remove(folder / path)
        for path in self.state:
            if now.get(path) != self.state[path]:
                target = folder / path
                remove(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.copy / path, target)
                status = target.stat()
                self.state[path] = status.st_size, status.st_mtime_ns, status.st_ino
                changed.append(path)
        return changed


class Written(BaseException):
    """The moment of the first write, for who wants to know no more; no `except Exception` holds it."""


def until_first_write(number: int, path: Path) -> None:
    """For `Project.run`: ends the stage at its first write, or at a new folder; locks are always opened."""
    if not path.name.startswith(".lock"):
        raise Written


_watching: tuple[Path, Seen, AtWrite | None] | None = None
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is None or event not in ("open", "os.mkdir", "os.rename", "os.link"):
        return
    # a rename and a link are of their target
    target = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
    if not isinstance(target, str | bytes | os.PathLike):
        return
    folder, seen, at_write = _watching
    path = Path(os.path.abspath(os.fsdecode(target)))
    if not path.is_relative_to(folder) or (event == "os.mkdir" and path.exists()):
        return
    writes = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    name = path.relative_to(folder)
    if not writes and name not in seen.written:  # who reads what it has written itself reads no other's work
        seen.read.add(name)
    if writes:
        seen.written.add(name)
        seen.writes += 1
        if at_write is not None:
            at_write(seen.writes, path)


@contextmanager
def _watched(folder: Path, seen: Seen | None, at_write: AtWrite | None) -> Iterator[None]:
    """Write down which files below a folder are opened. Python cannot take a hook away: it is told to look away."""
    global _watching, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _watching = folder, seen or Seen(), at_write
    try:
        yield
    finally:
        _watching = None


@contextmanager
def unwatched() -> Iterator[None]:
    """For what is done by `at_write` itself."""
    global _watching
    before, _watching = _watching, None
    try:
        yield
    finally:
        _watching = before


_caches: list[Any] = []
_modules = 0  # that there were when they were looked for


def _forget() -> None:
    """Empty every cache of the package's functions, but those of its code, which is not damaged."""
    global _modules
    if len(sys.modules) != _modules:
        _modules = len(sys.modules)
        _caches[:] = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    for one in _caches:
        module = str(one.__module__)
        if module.startswith(("cosmokeras", "stages")) and module != "cosmokeras.common.code":
            one.cache_clear()

"""A disk that fills at any write of a stage: one line, exit code 2, nothing unfinished left, and the way back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.damage.project import AtWrite, Ended, Project, Seen, unwatched
from benchmarks.damage.trial import ONE_WORKER, agreed, result, same

BALLAST = "ballast"
Full = Callable[[Project, int], AtWrite]


def refusing(project: Project, first: int) -> AtWrite:
    """From a write on every file, folder, rename and link is refused, as on a disk without room for them."""

    def at_write(number: int, path: Path) -> None:
        if number >= first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    return at_write


def filling(project: Project, first: int) -> AtWrite:
    """Before a write the file system of the project, which must be a small one, is filled to its last byte."""

    def at_write(number: int, path: Path) -> None:
        if number == first:
            with unwatched(), (project.folder.parent / BALLAST).open("wb", buffering=0) as ballast:
                for size in (2**20, 2**12, 1):
                    while True:
                        try:
                            ballast.write(bytes(size))
                        except OSError:
                            break

    return at_write


def faults(
    project: Project, stage: str, pristine: Path, count: int, seed: int, full: Full = refusing
) -> Iterator[tuple[int, str | None]]:
    """Number of a write and what was wrong when the disk was full from it on, None if nothing was.

    Parameters
    ----------
    project : where the stages before this one have run
    pristine : folder for a copy
    count : writes that are tried, at random; all, if there are fewer
    """
    kept, seen, arguments = project.keep(pristine), Seen(), ONE_WORKER.get(stage, ())
    project.run(stage, *arguments, seen=seen)
    first = result(project)
    kept.restore()
    again = project.run(stage, *arguments)
    assert again.code == 0, again.said
    second = result(project)
    expected = {path: agreed(one, second.get(path)) for path, one in first.items()}
    kept.restore()
    writes = np.random.default_rng(seed).permutation(seen.writes)[:count] + 1
    for number in sorted(writes.tolist()):
        with emptied(project):
            ended = project.run(stage, *arguments, at_write=full(project, number))
        problem = _problem(ended, unfinished(project))
        if problem is None:
            after = project.run(stage, *arguments)
            found = result(project)
            others = [str(path) for path, want in expected.items() if not same(want, found.get(path))]
            if after.code != 0 or others or unfinished(project):
                problem = f"the next run ended with {after.code}; others: {others}, {unfinished(project)}; {after.said}"
        kept.restore()
        yield number, problem


@contextmanager
def emptied(project: Project) -> Iterator[None]:
    """Whatever filled the disk is gone at the end."""
    try:
        yield
    finally:
        (project.folder.parent / BALLAST).unlink(missing_ok=True)


def unfinished(project: Project) -> list[str]:
    """Hidden files below the project that are no locks."""
    return [str(path) for path in project.files() if path.name.startswith(".") and "lock" not in path.name]


def _problem(ended: Ended, left: Sequence[str]) -> str | None:
    if ended.code == 0:
        return None  # what could not be written was not needed
    if ended.code != 2 or len(ended.error_lines) != 1 or "Traceback" in ended.said:
        return f"ended with {ended.code}: {ended.said[-2000:]}"
    return f"left {left}" if left else None

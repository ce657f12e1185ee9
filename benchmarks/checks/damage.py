"""Random damage to every file that the pipeline reads, and a disk that fills at its writes.

Files are found by watching stages read (`benchmarks.damage`). DAMAGES of them, of all kinds and in all ways alike, must
be refused in one line or made again; each stage must end in one line wherever the disk is full, and the next run like
an undisturbed one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.damage.full_disk import Full, faults, filling, refusing
from benchmarks.damage.project import STAGES, Project
from benchmarks.damage.trial import BAD, Bench
from study.requirements import required

DAMAGES = int(os.environ.get("COSMOKERAS_DAMAGES", "3000"))
EACH = 500  # in one process
DISK = "400m"
WRITES = int(os.environ.get("COSMOKERAS_FULL_DISKS", "100"))  # of each stage
SEED = 20261


def check() -> tuple[dict[str, Any], bool]:
    """Hours; COSMOKERAS_DAMAGES and COSMOKERAS_FULL_DISKS say how many there are to be."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = damaged(Path(folder) / "damaged", DAMAGES)
        wrong, tried, way = full_disks(Path(folder) / "full", WRITES)
    spoiled = sum(outcomes[name] for name in BAD)
    good = [
        required("damage: files damaged", sum(outcomes.values()), DAMAGES, DAMAGES),
        required("damage: tracebacks, silent changes and other than one line", spoiled, 0, 0),
        required("damage: full disks that did not end in one line, or not alike after it", wrong, 0, 0),
    ]
    return {"outcomes": dict(outcomes), "full_disks": tried, "full_disks_wrong": wrong, "way": way}, all(good)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def damaged(folder: Path, count: int) -> Counter[str]:
    """How many damages had which outcome; what is wrong is printed.

    A process for some of them each: stages that run in one process leave what TensorFlow has compiled in its memory.
    """
    outcomes = Counter[str]()
    for number, start in enumerate(range(0, count, EACH)):
        asked = folder / str(number), min(EACH, count - start), SEED + number
        outcomes += apart(damaged_here, *asked)
        print(f"{min(start + EACH, count)} of {count}: {dict(outcomes)}", flush=True)
    return outcomes


def damaged_here(folder: Path, count: int, seed: int) -> Counter[str]:
    """The same in this process."""
    bench, outcomes = Bench(folder), Counter[str]()
    for case in bench.cases(count, seed):
        outcome, said = bench.outcome(case)
        outcomes[outcome] += 1
        if outcome in BAD:
            print(f"{outcome}: {case}\n{said}", flush=True)
    return outcomes


def full_disks(folder: Path, count: int) -> tuple[int, int, str]:
    """How many full disks had not the right end, how many there were, and how they were made.

    A process for each stage, see `damaged`. The project lies on a small file system, which is filled, where one may be
    mounted; else writes are refused as on a full one.
    """
    folder.mkdir()
    with small_disk(folder / "disk") as full:
        project, wrong, tried = Project.make(folder / "disk" / "project"), 0, 0
        for stage in STAGES:
            problems = apart(full_disks_here, project, stage, folder / f"before-{stage}", count, full)
            tried += len(problems)
            wrong += sum(problem is not None for problem in problems)
            print(f"{stage}: disk full at {len(problems)} writes, {full.__name__}", flush=True)
    return wrong, tried, full.__name__


@contextmanager
def small_disk(folder: Path) -> Iterator[Full]:
    """A file system of DISK below a folder, if this user may mount one, and how a disk is made full there."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield filling if mounted else refusing
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_disks_here(project: Project, stage: str, pristine: Path, count: int, full: Full) -> list[str | None]:
    """What was wrong after each; the stage has run at the end."""
    problems = []
    for number, problem in faults(project, stage, pristine, count, SEED, full):
        problems.append(problem)
        if problem is not None:
            print(f"{stage}, full at write {number}: {problem}", flush=True)
    project.run(stage)
    return problems

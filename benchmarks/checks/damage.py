"""Random damage to every file that the pipeline reads, and a disk that fills at its writes.

Files are found by watching stages read (`benchmarks.damage`). DAMAGES of them, of all kinds and in all ways alike, must
be refused in one line or made again; each stage must end in one line wherever the disk is full, and the next run like
an undisturbed one.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.damage.full_disk import faults
from benchmarks.damage.project import STAGES, Project
from benchmarks.damage.trial import BAD, Bench
from study.requirements import required

DAMAGES = int(os.environ.get("COSMOKERAS_DAMAGES", "3000"))
WRITES = int(os.environ.get("COSMOKERAS_FULL_DISKS", "100"))  # of each stage
SEED = 20261


def check() -> tuple[dict[str, Any], bool]:
    """Hours; COSMOKERAS_DAMAGES and COSMOKERAS_FULL_DISKS say how many there are to be."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = damaged(Path(folder) / "damaged", DAMAGES)
        wrong, tried = full_disks(Path(folder) / "full", WRITES)
    spoiled = sum(outcomes[name] for name in BAD)
    good = [
        required("damage: files damaged", sum(outcomes.values()), DAMAGES, DAMAGES),
        required("damage: tracebacks, silent changes and other than one line", spoiled, 0, 0),
        required("damage: full disks that did not end in one line, or not alike after it", wrong, 0, 0),
    ]
    return {"outcomes": dict(outcomes), "full_disks": tried, "full_disks_wrong": wrong}, all(good)


def damaged(folder: Path, count: int) -> Counter[str]:
    """How many damages had which outcome; what is wrong is printed."""
    bench, outcomes = Bench(folder), Counter[str]()
    for number, case in enumerate(bench.cases(count, SEED)):
        outcome, said = bench.outcome(case)
        outcomes[outcome] += 1
        if outcome in BAD:
            print(f"{outcome}: {case}\n{said}", flush=True)
        if number % 100 == 99:
            print(f"{number + 1} of {count}: {dict(outcomes)}", flush=True)
    return outcomes


def full_disks(folder: Path, count: int) -> tuple[int, int]:
    """How many full disks had not the right end, and how many there were."""
    project, wrong, tried = Project.make(folder / "project"), 0, 0
    for stage in STAGES:
        for number, problem in faults(project, stage, folder / f"before-{stage}", count, SEED):
            tried += 1
            if problem is not None:
                wrong += 1
                print(f"{stage}, full at write {number}: {problem}", flush=True)
        project.run(stage)
    return wrong, tried

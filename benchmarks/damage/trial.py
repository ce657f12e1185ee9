"""One file damaged, one stage run: was it refused in one line, made again, or is a number another one?"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.damage.project import READ_ALL, STAGES, WRITTEN, Ended, Kept, Project, Seen, until_first_write
from benchmarks.damage.ways import WAYS, damage
from cosmokeras.common.files import EXIT_STOPPED

REFUSED, NOTICED, RIGHT = "refused in one line", "said, and made again", "the same result"
ACCEPTED, UNNOTICED = "taken as the user's wish", "not noticed"
TRACEBACK, CHANGED, UNCLEAR = "traceback", "another number, silently", "not one line and exit code 2"
BAD = (TRACEBACK, CHANGED, UNCLEAR, UNNOTICED)
TIMES = ("maps_per_second", "seconds", "peak_memory_mb")  # in metrics
ONE_WORKER = {"generate": ("--workers", "1")}
SLOW = ("evaluate", "infer")  # they read what people give as the stages before them do, and write at their end alone


@dataclass(frozen=True)
class Case:
    """A stage, a file that it reads, and how that is damaged."""

    stage: str
    path: Path
    way: str
    seed: int

    @property
    def kind(self) -> str:
        """Files of one kind have the same name but for numbers."""
        return kind_of(self.path)


def kind_of(path: Path) -> str:
    """Name of a file without its numbers and fingerprints."""
    parts = ["*" if re.fullmatch(r"[0-9a-f]{16}", part) else re.sub(r"\d{4,}", "N", part) for part in path.parts]
    return "/".join(parts)


class Bench:
    """A project at the end of all stages, but with its training stopped half-way, and what every stage reads."""

    def __init__(
        self,
        folder: Path,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        stages: Sequence[str] = STAGES,
        judge: bool = True,
    ) -> None:
        """With `judge` it is known, too, what comes out, which takes as long again, twice."""
        self.project = Project.make(folder / "project", changes)
        seen = {stage: Seen() for stage in stages}
        for stage in stages:
            if stage != "train" or judge or stage != stages[-1]:  # it is begun anew below
                self._must(stage, seen=seen[stage])
        if "train" in stages:
            self._stop_training()
        self.kept: Kept = self.project.keep(folder / "copy")
        self.expected: dict[str, dict[Path, Any]] = {}
        for stage in stages:  # twice: what changes by itself does not count
            results = []
            if not judge and stage not in ("generate", "train"):
                continue  # the others go on with nothing that they have kept
            for _ in range(2 if judge else 1):
                self._must(stage, seen=seen[stage])
                results.append(self.result())
                self.kept.restore()
            if judge:
                self.expected[stage] = {path: agreed(one, results[1].get(path)) for path, one in results[0].items()}
        written = set().union(*(one.written for one in seen.values()))
        self.of_people = {path for one in seen.values() for path in one.read} - written
        self.of_people = {path for path in self.of_people if path.parts[0] not in WRITTEN}
        self.others: list[str] = []  # results that were others after the last run
        self.read = {stage: sorted(one.read & self.kept.state.keys()) for stage, one in seen.items()}

    def cases(self, count: int, seed: int) -> Iterator[Case]:
        """Random ones: all kinds of files of all stages and all ways alike."""
        rng = np.random.default_rng(seed)
        kinds: dict[tuple[str, str], list[Path]] = {}
        for stage, paths in self.read.items():
            for path in paths:
                if path in self.of_people and stage in SLOW:
                    continue  # who read them before them would have refused
                kinds.setdefault((stage, kind_of(path)), []).append(path)
        order = [(pair, way) for pair in sorted(kinds) for way in WAYS]
        while count > 0:
            for place in rng.permutation(len(order))[:count]:
                (stage, kind), way = order[place]
                paths = kinds[stage, kind]
                yield Case(stage, paths[rng.integers(len(paths))], way, int(rng.integers(2**31)))
            count -= len(order)

    def outcome(self, case: Case, whole: bool = False, judge: bool = True) -> tuple[str, str]:
        """What became of it, and what the stage said.

        Parameters
        ----------
        whole : run the stage to its end and compare all results, also where it says that it makes something again
        judge : do so where damage was not noticed; else that is all that is said of it
        """
        ended = self._damaged_run(case, reading=not whole)
        if ended is None:
            return RIGHT, "nothing was damaged"
        if ended.code is None or "Traceback (most recent call last)" in ended.said:
            return TRACEBACK, ended.said
        if ended.code not in (0, READ_ALL):
            return (REFUSED if ended.code == 2 and len(ended.error_lines) == 1 else UNCLEAR), ended.said
        if case.path in self.of_people:
            return ACCEPTED, ended.said
        if not whole and " is damaged: " in ended.said:
            return NOTICED, ended.said
        if not whole:
            return self.outcome(case, whole=True) if judge else (UNNOTICED, ended.said)
        return (CHANGED if self.others else RIGHT), f"other than before: {self.others}\n{ended.said}"

    def _damaged_run(self, case: Case, reading: bool) -> Ended | None:
        """Damage, run, compare and mend; None where that kind of damage changes nothing."""
        try:
            if not damage(self.project.folder / case.path, case.way, np.random.default_rng(case.seed)):
                return None
            at_write = until_first_write if reading else None
            ended = self.project.run(case.stage, *ONE_WORKER.get(case.stage, ()), at_write=at_write)
            self.others = []
            if ended.code == 0:
                found, expected = self.result(), self.expected[case.stage]
                self.others = [str(one) for one, want in expected.items() if not same(want, found.get(one))]
                self.others = [one for one in self.others if one != str(case.path)]
            return ended
        finally:
            self.kept.restore()

    def _must(self, stage: str, seen: Seen) -> None:
        this = Seen()
        ended = self.project.run(stage, *ONE_WORKER.get(stage, ()), seen=this)
        seen.add(this)
        if ended.code != 0:
            raise RuntimeError(f"{stage} ended with {ended.code}:\n{ended.said}")

    def _stop_training(self) -> None:
        """Begin training anew, and stop it after its first epoch."""
        work, stop = self.project.folder / ".work" / "train", self.project.folder.parent / "stop"
        shutil.rmtree(work, ignore_errors=True)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.002):
                if any(work.glob("*/best.npz")):
                    stop.touch()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        os.environ["COSMOKERAS_STOP_FILE"] = str(stop)
        try:
            code = self.project.run("train").code
        finally:
            ended.set()
            watcher.join()
            del os.environ["COSMOKERAS_STOP_FILE"]
            stop.unlink(missing_ok=True)
        if code != EXIT_STOPPED:
            raise RuntimeError(f"training was to be stopped, but ended with {code}")

    def result(self) -> dict[Path, Any]:
        """What stages have written, but for times."""
        return result(self.project)


def result(project: Project) -> dict[Path, Any]:
    """Content of metrics and outputs by their paths in a project; of metrics without times."""
    found: dict[Path, Any] = {}
    for path in project.files():
        if path.parts[0] in ("metrics", "outputs"):
            content = (project.folder / path).read_bytes()
            found[path] = content
            with suppress(ValueError):
                if path.suffix == ".json" and isinstance(parsed := json.loads(content), dict):
                    found[path] = {key: value for key, value in parsed.items() if key not in TIMES}
    return found


def agreed(one: Any, other: Any) -> Any:
    """What two runs have in common: None for what differs by itself, such as times."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: agreed(value, other.get(key)) for key, value in one.items()}
    return one if one == other else None


def same(want: Any, found: Any) -> bool:
    """Whether a result is what was expected of it, see `agreed`."""
    if want is None:
        return True
    if isinstance(want, dict) and isinstance(found, dict):
        return want.keys() == found.keys() and all(same(value, found[key]) for key, value in want.items())
    return bool(want == found)

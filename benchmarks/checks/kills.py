"""Stages that are killed at random moments and run again: the end must be that of an undisturbed run.

Each of STAGES is begun in a process of its own, with all that it starts, and killed after a random part of the time
that it takes; then it runs to its end. Metrics (but for times) and outputs must be bit for bit those of a run that
nobody killed, and no hidden file but locks may be left. COSMOKERAS_KILLS says how many kills of each there are to be.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.damage.full_disk import unfinished
from benchmarks.damage.project import ROOT, Project
from benchmarks.damage.trial import agreed, result, same
from study.requirements import required

KILLS = int(os.environ.get("COSMOKERAS_KILLS", "50"))
STAGES = ("generate", "fetch_real", "train", "evaluate", "infer")
SEED = 20262


def check() -> tuple[dict[str, Any], bool]:
    """Kills of each stage, how many struck before its end, and how many ends were others."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        project = Project.make(Path(folder) / "project")
        for stage in STAGES:
            found[stage] = killed(project, stage, Path(folder) / f"before-{stage}", KILLS)
            print(f"{stage}: {found[stage]}", flush=True)
    good = [required(f"kills: {stage} with another end", one["others"], 0, 0) for stage, one in found.items()]
    good += [required(f"kills: {stage} that left something", one["left"], 0, 0) for stage, one in found.items()]
    return found, all(good)


def killed(project: Project, stage: str, pristine: Path, kills: int) -> dict[str, int]:
    """Kill a stage so often; at the end it has run in the project."""
    kept, rng, seconds, results = project.keep(pristine), np.random.default_rng(SEED), [], []
    for _ in range(2):  # twice: what changes by itself does not count
        kept.restore()
        start = time.monotonic()
        _finish(_begin(project, stage))
        seconds.append(time.monotonic() - start)
        results.append(result(project))
    expected = {path: agreed(one, results[1].get(path)) for path, one in results[0].items()}
    counts = {"kills": 0, "others": 0, "left": 0}
    for _ in range(kills):
        kept.restore()
        process = _begin(project, stage)
        time.sleep(float(rng.uniform(0, min(seconds))))
        if process.poll() is None:  # else the chance moment came after its end
            counts["kills"] += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        _finish(_begin(project, stage))
        found = result(project)
        others = [str(path) for path, want in expected.items() if not same(want, found.get(path))]
        others += [str(path) for path in found.keys() - expected.keys()]
        left = unfinished(project)
        counts["others"] += bool(others)
        counts["left"] += bool(left)
        if others or left:
            print(f"{stage}: others: {others}; left: {left}", flush=True)
    return counts


def _begin(project: Project, stage: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COSMOKERAS_WORK": str(project.folder / ".work")}
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"], cwd=project.folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{said}")

"""The pipeline's own stages on other parameters, in a folder of the work folder: what was trained is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cosmokeras.common import yaml12
from cosmokeras.common.files import work_folder, write_text

ROOT = Path(__file__).parents[1]


def run_stages(name: str, changes: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of `train` and `evaluate` after generate, train and evaluate with `changes` of params.yaml by section."""
    folder = work_folder("validate", name).resolve()
    run_in(folder, changed_params(changes), ("generate", "train", "evaluate"))
    train, evaluate = (json.loads((folder / "metrics" / f"{s}.json").read_text()) for s in ("train", "evaluate"))
    return train, evaluate


def changed_params(changes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Content of params.yaml with `changes` by section."""
    params = yaml12.read(ROOT / "params.yaml")
    for section, values in changes.items():
        params[section] |= values
    return params


def run_in(folder: Path, params: dict[str, Any], stages: Iterable[str]) -> dict[str, float]:
    """Run stages with these parameters in a folder two levels below the root of the work folders.

    Returns the largest memory of each stage's process [MB].
    """
    write_text(folder / "params.yaml", yaml12.dumps(params))
    if not (folder / "data").exists():
        (folder / "data").symlink_to(ROOT / "data")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COSMOKERAS_WORK": str(folder.parents[1])}
    memory = {}
    for stage in stages:
        command = [sys.executable, "-m", f"stages.{stage}"]
        process = subprocess.Popen(command, cwd=folder, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        memory[stage] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return memory

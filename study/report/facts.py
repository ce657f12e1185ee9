"""What the report knows of a run: metrics, parameters, hashes, versions, the commit and the experiments.

All is read from files of the project and from `git` and `dvc`; what these cannot say is None, and the page says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.provenance.stale import stale as stale_stages
from cosmokeras.report.draw import DRAWINGS

NEEDED = ("generate", "train", "evaluate")  # stages without whose metrics and pictures there is no report
PACKAGES = (
    "cosmokeras", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "scipy", "numba", "healpy", "pyccl",
    "camb", "dvc",
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A key of params.yaml, and what it is elsewhere, where that differs: code's default, in the commit, in the run."""

    key: str
    value: str
    default: str | None = None
    committed: str | None = None
    run: str | None = None


@dataclass(frozen=True)
class Commit:
    """What git says of the checkout."""

    name: str
    when: str
    subject: str
    changed: tuple[str, ...]  # files that differ from the commit


def read_yaml(path: Path) -> Any:
    """A YAML file that the report cannot do without."""
    try:
        return yaml12.read(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the project's folder or give --root") from None


def read_json(path: Path) -> Any:
    """A JSON file, or None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except UNREADABLE as error:  # bytes that are no text included
        raise UserError(f"{path}: not valid JSON ({error}); run `dvc repro`, or `git checkout {path}`") from None


def stage_files(root: Path) -> dict[str, tuple[str, list[str]]]:
    """For each stage in dvc.yaml with metrics, their file and the pictures of it, relative to the root."""

    def names(entries: list[Any]) -> list[str]:
        return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]

    found = {}
    for name, stage in read_yaml(root / "dvc.yaml")["stages"].items():
        if "metrics" in stage:  # the first one only writes the inputs of the others down, the last one draws
            own = [path for path in names(stage.get("plots", [])) if path.endswith(".png")]
            drawn = [f"plots/{picture}" for picture in DRAWINGS[name].pictures] if name in DRAWINGS else []
            found[name] = names(stage["metrics"])[0], own + drawn
    return found


def metrics(root: Path) -> dict[str, dict[str, Any]]:
    """Metrics of each stage that has run.

    Raises
    ------
    UserError : metrics or a picture of a stage in NEEDED, or a picture of another stage that has run, are missing
    """
    found = {}
    for stage, (numbers, pictures) in stage_files(root).items():
        content = read_json(root / numbers)
        if content is None:
            if stage in NEEDED:
                raise UserError(f"{root / numbers}: no such file; run `dvc repro {stage}`")
            continue
        for picture in pictures:
            if not (root / picture).exists():
                raise UserError(f"{root / picture}: no such file; run `dvc repro plots`")
        found[stage] = nan_for_null(content)
    return found


def nan_for_null(content: Any) -> Any:
    """The same with NaN for null, which metrics hold where a figure is not finite: it is shown, and to be looked at."""
    if isinstance(content, dict):
        return {key: nan_for_null(value) for key, value in content.items()}
    if isinstance(content, list):
        return [nan_for_null(value) for value in content]
    return float("nan") if content is None else content


def output(root: Path, *command: str) -> str | None:
    """What a program prints when run in the project's folder, or None if it cannot."""
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def dvc_json(root: Path, *arguments: str) -> Any:
    """What DVC says in JSON, or None."""
    printed = output(root, sys.executable, "-m", "dvc", *arguments, "--json")
    try:
        return None if printed is None else json.loads(printed)
    except json.JSONDecodeError:
        return None


def commit(root: Path) -> Commit | None:
    """The commit that the checkout stands on; None outside of git."""
    said = output(root, "git", "log", "-1", "--format=%H%n%cI%n%s")
    status = output(root, "git", "status", "--porcelain")
    if said is None or status is None:
        return None
    name, when, subject = (*said.split("\n"), "", "")[:3]  # a commit may have no message
    return Commit(name, when, subject, tuple(line[3:] for line in status.splitlines()))


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def shown(value: Any) -> str:
    """A value as YAML would have it on one line."""
    return json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)


def defaults() -> dict[str, Any]:
    """Values that keys have when params.yaml leaves them out, for those that may be left out."""
    found = {}
    for name, section in Config.model_fields.items():
        for key, field in getattr(section.annotation, "model_fields", {}).items():
            if not field.is_required():
                found[f"{name}.{key}"] = field.default
    return found


def lock_parameters(lock: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that the stages were last run with."""
    found: dict[str, Any] = {}
    stages = lock.get("stages", {})
    # what the first stage has is of the last call of DVC, whichever stages ran then
    for stage in (stages[name] for name in sorted(stages, key=lambda name: name != "inputs")):
        for section in stage.get("params", {}).values():
            found |= dict(flat(section))
    return found


def parameters(root: Path) -> list[Parameter]:
    """All keys of params.yaml, with what differs elsewhere."""
    now = dict(flat(read_yaml(root / "params.yaml")))
    before = output(root, "git", "show", "HEAD:./params.yaml")
    committed = dict(flat(yaml12.loads(before, "params.yaml of the last commit"))) if before else now
    run, default = lock_parameters(read_yaml(root / "dvc.lock")), defaults()

    def other(values: Mapping[str, Any], key: str) -> str | None:
        return shown(values[key]) if key in values and values[key] != now[key] else None

    places = (default, committed, run)
    return [Parameter(key, shown(now[key]), *(other(values, key) for values in places)) for key in now]


def hashes(root: Path) -> list[tuple[str, str, int]]:
    """Path, MD5 and bytes of the data that went in and of what each stage made, from dvc.lock."""
    found: dict[str, tuple[str, int]] = {}
    for stage in read_yaml(root / "dvc.lock").get("stages", {}).values():
        wanted = [one for one in stage.get("deps", []) if one["path"].split("/")[0] == "data"]
        for one in [*wanted, *stage.get("outs", [])]:
            if not one["path"].startswith(("metrics/", "plots/")) and "md5" in one:
                found[one["path"]] = one["md5"].removesuffix(".dir"), one.get("size", 0)
    return [(path, *rest) for path, rest in sorted(found.items())]


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, of those that are installed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def stale(root: Path) -> dict[str, list[str]] | None:
    """Stages whose metrics were made from other inputs than today's, and what differs; None if DVC cannot say.

    What is only absent (outputs are not kept in git) is no sign of that, and is left out. So is the stage that writes
    the inputs of the others down, as it runs every time.
    """
    status = dvc_json(root, "status")
    if status is None:
        return None
    try:
        found = stale_stages(load_params(root / "params.yaml"), root)
    except UserError:
        return None
    for stage, changes in status.items():
        if stage == "inputs":
            continue
        for change in changes:
            if isinstance(change, str):
                found.setdefault(stage, []).append(change)
                continue
            for what in change.values():
                names = [path for path, state in dict(flat(what)).items() if state not in ("deleted", "not in cache")]
                if names:
                    found.setdefault(stage, []).extend(names)
    return found


def today() -> str:
    """Now, in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")

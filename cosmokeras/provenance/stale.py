"""Stages whose recorded results are not of today's inputs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import json_bytes
from cosmokeras.params.config import Config
from cosmokeras.provenance.statements import FOLDER, STAGES, differences, statement


def stale(cfg: Config, root: Path) -> dict[str, list[str]]:
    """Stages whose results, as dvc.lock has them, are not of today's inputs, and what differs.

    A stage that works with the output of another one is stale too where that one is, or was made again after it.
    """
    lock = yaml12.read(root / "dvc.lock") if (root / "dvc.lock").exists() else {}
    try:
        return _stale(cfg, root, dict(lock).get("stages", {}))
    except UserError:
        raise
    except UNREADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{root / 'dvc.lock'}: damaged ({reason}); run `git checkout dvc.lock`") from None


def _stale(cfg: Config, root: Path, stages: dict[str, Any]) -> dict[str, list[str]]:
    made = {one["path"]: (name, one.get("md5")) for name in STAGES for one in stages.get(name, {}).get("outs", [])}
    found: dict[str, list[str]] = {}
    for stage in STAGES:
        name = (FOLDER / f"{stage}.json").as_posix()
        used = {one["path"]: one.get("md5") for one in stages.get(stage, {}).get("deps", [])}
        if name not in used:
            found[stage] = ["not recorded in dvc.lock"]
            continue
        now, reasons = statement(cfg, stage), []
        if used[name] != _md5(json_bytes(now)):
            then = _recorded(root, name, used[name])
            reasons = ["other inputs"] if then is None else differences(then, now)
        for path, (maker, md5) in made.items():
            if path in used and (maker in found or md5 != used[path]):
                reasons.append(f"{path} is stale" if maker in found else f"{path} was made again")
        if reasons:
            found[stage] = reasons
    return found


def _recorded(root: Path, name: str, md5: str) -> dict[str, Any] | None:
    """The statement of this MD5: the file here, or the committed one; None if neither is it."""
    here = (root / name).read_bytes() if (root / name).exists() else b""
    command = ["git", "show", f"HEAD:./{name}"]
    try:
        committed = subprocess.run(command, cwd=root, capture_output=True, check=False).stdout
    except OSError:
        committed = b""
    for content in (here, committed):
        if _md5(content) == md5:
            return dict(json.loads(content))
    return None


def _md5(content: bytes) -> str:
    """As DVC names files."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()

"""What params.yaml says beside what it said in the last commit: `dvc exp run -S` leaves its changes in the file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError

SHOWN = 6  # keys that a line names
WIDEST = 60  # characters of a value
ABSENT = object()


def differences(path: Path | str) -> str:
    """One line with the keys whose values are not those of the last commit; empty where none is, or without git.

    Parameters
    ----------
    path : params.yaml, or what is read instead of it; compared with the committed params.yaml of the same folder
    """
    path = Path(path)
    said = _committed(path.parent / "params.yaml")
    if said is None:
        return ""
    try:
        now, before = (dict(_leaves(content)) for content in (yaml12.read(path), yaml12.loads(said)))
    except (UserError, OSError):
        return ""  # what is wrong with the file is said by who needs it
    changed = [key for key in (now | before) if not _same(now.get(key, ABSENT), before.get(key, ABSENT))]
    if not changed:
        return ""
    shown = ", ".join(_words(key, now.get(key, ABSENT), before.get(key, ABSENT)) for key in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"differs from the committed params: {shown}{more}"


def _committed(path: Path) -> str | None:
    """Text of a file in the last commit; None without git, a commit, or that file in it."""
    command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20)
        return done.stdout.decode() if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; lists are values."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _same(one: Any, other: Any) -> bool:
    """Equal as parameters: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _words(key: str, now: Any, before: Any) -> str:
    if now is ABSENT:
        return f"{key} left out (committed {_shown(before)})"
    return f"{key}={_shown(now)} ({f'committed {_shown(before)}' if before is not ABSENT else 'not in the committed'})"


def _shown(value: Any) -> str:
    """A value on one line, as YAML has it."""
    plain = {None: "null", True: "true", False: "false"}
    text = plain[value] if value is None or isinstance(value, bool) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."

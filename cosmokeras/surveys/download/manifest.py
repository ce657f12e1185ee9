"""The list of real data, data/manifest.yaml: name -> where a file is published, its checksum, terms and citation."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError

MANIFEST = Path("data/manifest.yaml")
_TEXT = ("url", "licence", "citation", "description", "group")
_DIGITS = {"sha256": 64, "md5": 32}


def load_manifest(manifest: Path | str = MANIFEST) -> dict[str, dict[str, Any]]:
    """Read and check the manifest: file name, such as "cosmos/e1.fits", to its entry.

    An entry has the texts `url`, `licence`, `citation`, `description`, `group`; `bytes`, null where not known; and
    `sha256` or `md5` as published, `sha256: null` where nothing is. Both keys are in what is returned, None if unknown.
    """
    manifest = Path(manifest)
    if not manifest.exists():
        raise UserError(f"{manifest} is missing; run in the repository root, after `dvc pull data.dvc`")
    try:
        entries = yaml12.read(manifest)["files"]
        wrong = {name: problem for name, entry in entries.items() if (problem := _problem(name, entry))}
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{manifest}: not a manifest ({' '.join(str(error).split())})") from None
    for name, problem in wrong.items():
        raise UserError(f"{manifest}: entry {name!r}: {problem}")
    return {name: {**dict.fromkeys(_DIGITS), **entry} for name, entry in entries.items()}


def _problem(name: Any, entry: Any) -> str | None:
    """What is wrong with an entry, in words that name the key."""
    if not isinstance(entry, dict):
        return f"{', '.join(_TEXT)} and more expected, got {entry!r}"
    missing = [key for key in (*_TEXT, "bytes") if key not in entry]
    if missing:
        return f"lacks {', '.join(missing)}"
    if not entry.keys() & _DIGITS:
        return "lacks sha256 or md5; sha256: null says that none is published"
    unknown = [str(key) for key in entry if key not in (*_TEXT, "bytes", *_DIGITS)]
    if unknown:
        return f"unknown key {', '.join(unknown)}; known: {', '.join((*_TEXT, 'bytes', *_DIGITS))}"
    for key in _TEXT:
        if not isinstance(entry[key], str) or not entry[key].strip():
            return f"its {key} is {entry[key]!r}, a text expected"
    for key, digits in _DIGITS.items():
        value = entry.get(key)
        if value is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", str(value)):
            return f"its {key} is not {digits} hexadecimal digits: {value!r}"
        if value is not None and not isinstance(value, str):
            return f"its {key} was read as a number; put it in quotes"
    size = entry["bytes"]
    if size is not None and (type(size) is not int or size <= 0):
        return f"its bytes is {size!r}, a positive whole number or null expected"
    if not re.match(r"https?://[^/\s]+/\S*$", entry["url"]):
        return f"its url is {entry['url']!r}, http(s)://... expected"
    place = PurePosixPath(str(name))
    if place.parts[:-1] != PurePosixPath(entry["group"]).parts or ".." in place.parts or place.is_absolute():
        return f"its group is {entry['group']!r}, so its name must be {entry['group']}/<file>"
    return None

"""Which figures of checks, benchmarks and studies were made by the code of today: `python -m study.recorded`.

`write` puts figures into a file of metrics/ and, into made_with.json beside it, what code made them: the fingerprint of
a module and of all that it imports, without comments and docstrings, and the commit. Older figures have no record. A
change of code need not change a figure: whoever quotes one that is listed knows that it was measured before the change.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmokeras.common import cli
from cosmokeras.common.code import ROOT, code_fingerprint
from cosmokeras.common.files import read_json, write_json

RECORD = "made_with.json"
# figures of stages, which `python -m stages.inputs --stale` judges, and this file
OTHERS = {"generate.json", "real.json", "train.json", "evaluate.json", "infer.json", RECORD}


def write(path: Path, table: Mapping[str, Any], module: str, *new: str) -> None:
    """Write a table of figures, of which `module` has just made the entries `new`; all of them if none is named."""
    write_json(path, table)
    record = read_json(path.parent / RECORD)
    made = {"module": module, "code": code_fingerprint(module), "commit": _commit()}
    entries = {**record.get(path.name, {}), **dict.fromkeys(new or table, made)}
    kept = {name: entries[name] for name in sorted(entries) if name in table}
    write_json(path.parent / RECORD, dict(sorted({**record, path.name: kept}.items())))


def outdated(folder: Path) -> list[tuple[str, str, str]]:
    """File, entry and what is wrong with it, of all figures that are not known to be of the code of today."""
    record, found = read_json(folder / RECORD), []
    for path in sorted(folder.glob("*.json")):
        if path.name in OTHERS:
            continue
        for entry in read_json(path):
            made = record.get(path.name, {}).get(entry)
            if made is None:
                found.append((path.name, entry, "no record of the code that made it"))
            elif made["code"] != code_fingerprint(made["module"]):
                found.append(
                    (path.name, entry, f"{made['module']}, or what it imports, changed after {made['commit']}")
                )
    return found


def _commit() -> str:
    """The commit of the checkout, with a + where files differ from it; nothing outside of git."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def main(arguments: list[str] | None = None) -> int:
    """List them."""
    parser = cli.Parser("study.recorded", (__doc__ or "").splitlines()[0])
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help="folder (default: %(default)s)")
    found = outdated(parser.parse_args(arguments).metrics)
    for file, entry, words in found:
        print(f"metrics/{file}, {entry}: {words}")
    print(f"{len(found)} figures of checks and studies are not known to be of the code of today")
    return 0


if __name__ == "__main__":
    cli.entry(main)

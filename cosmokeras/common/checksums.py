"""Checksums of the files of an output folder, in one more file of it: what is read is what was written.

Files there are read by other programs too, and stay what they are; work of our own has its checksum inside (`sealed`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import read_own_json, sha256, write_json

NAME = "checksums.json"


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the sha256 of each of some files of a folder, last of all: nothing says so of files yet to come."""
    write_json(folder / NAME, {name: sha256(folder / name) for name in sorted(names)})


def forget_checksums(folder: Path) -> None:
    """Before files are written: until all are there nothing says what they hold."""
    (folder / NAME).unlink(missing_ok=True)


def problem(folder: Path, needed: Iterable[str]) -> str | None:
    """What is wrong with the files of a folder, in words; None where all are there and as they were written.

    Parameters
    ----------
    needed : files that must be among them
    """
    path = folder / NAME
    try:
        sums = {str(name): str(digest) for name, digest in read_own_json(path).items()}
    except FileNotFoundError:
        return f"{NAME} is missing"
    except UNREADABLE:
        return f"{NAME} is damaged"
    if unknown := set(needed) - set(sums):
        return f"{NAME} is damaged: it does not know {min(unknown)}"
    for name, digest in sums.items():
        try:
            if sha256(folder / name) != digest:
                return f"{name} is damaged: its checksum differs"
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, ValueError) as error:  # a null byte in a name
            return f"{name} is damaged ({getattr(error, 'strerror', None) or error})"
    return None


def must_be_whole(folder: Path, needed: Iterable[str], remedy: str) -> None:
    """Refuse a folder with a `problem`; `remedy` is what to do about it."""
    if words := problem(folder, needed):
        raise UserError(f"{folder}/{words}; {remedy}")

"""Digests of files that results depend on; of large ones, and of many, from a part of what there is to know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from cosmokeras.common.files import sha256

LARGE = 256 * 2**20  # bytes above which a file is not read as a whole
MANY = 64  # files above which, if they are large together, none is read
KEPT = 2**20  # bytes from which on a digest is kept, as long as time and size of the file are the same
BLOCKS, BLOCK = 64, 2**16  # parts of a large file, evenly spread, and bytes of each


def digests_of(files: Mapping[str, Path]) -> dict[str, str | None]:
    """Name -> digest of each of some files that belong together; None of what is not there.

    Of many that are large together one digest, of the names, sizes and times of all.
    """
    if len(files) > MANY:
        facts = {name: status for name, path in sorted(files.items()) if (status := _status(path)) is not None}
        if sum(size for size, _ in facts.values()) > LARGE:
            first = min(files)
            digest = hashlib.sha256(repr(facts).encode()).hexdigest()
            return {f"{len(files)} files like {first}": f"sizes and times {digest}"}
    return {name: digest_of(path) for name, path in files.items()}


def digest_of(path: Path) -> str | None:
    """Digest of a file's content; of a large one, of its size, its time and parts of it. None of what is not there."""
    try:
        status = _status(path)
        if status is None or status[0] < KEPT:
            return sha256(path)
        return _digest(path, *status)
    except OSError:
        return None


def _status(path: Path) -> tuple[int, int] | None:
    """Size and time of a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=100_000)
def _digest(path: Path, size: int, time: int) -> str:
    if size <= LARGE:
        return sha256(path)
    digest = hashlib.sha256(f"{size} {time}".encode())
    with path.open("rb") as handle:
        for i in range(BLOCKS):
            handle.seek(i * (size - BLOCK) // (BLOCKS - 1))
            digest.update(handle.read(BLOCK))
    return f"sampled {digest.hexdigest()}"

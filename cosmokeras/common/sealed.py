"""Files that say themselves whether they are whole: what is kept between runs ends with a checksum of its content.

All kept work is written and read here, so that what is damaged is noticed in one way, and made again. One file holds
content and checksum: both appear by one rename. NumPy reads sealed .npy and .npz files as if there were no seal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from cosmokeras.common.files import atomic

SEAL = b"\nsha256 "  # then the digest in hex, and the end of the line
LENGTH = len(SEAL) + 64 + 1


@contextmanager
def sealed(path: Path | str) -> Iterator[IO[bytes]]:
    """Write bytes as `atomic` does, with the checksum behind them."""
    with atomic(path) as handle:
        yield handle
        handle.flush()
        handle.seek(0)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
        handle.seek(0, os.SEEK_END)
        handle.write(SEAL + digest.encode() + b"\n")


def is_whole(path: Path) -> bool:
    """Whether a sealed file is there and its content is what was written; a large one is not kept in memory."""
    digest = hashlib.sha256()
    try:
        left = path.stat().st_size - LENGTH
        if left < 0:
            return False
        with path.open("rb") as handle:
            while left > 0:
                part = handle.read(min(left, 2**20))
                if not part:
                    return False
                digest.update(part)
                left -= len(part)
            return handle.read() == SEAL + digest.hexdigest().encode() + b"\n"
    except OSError:
        return False


def content(path: Path) -> bytes | None:
    """Content of a sealed file; None where there is none, or a damaged one: said."""
    try:
        read = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        read = b""
    inner, seal = read[:-LENGTH], read[-LENGTH:]
    if seal != SEAL + hashlib.sha256(inner).hexdigest().encode() + b"\n":
        say_damaged(path)
        return None
    return inner


def say_damaged(path: Path) -> None:
    """The line that stands in the log for damaged work."""
    tqdm.write(f"{path} is damaged: made again")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Keep named arrays in a sealed .npz file."""
    with sealed(path) as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What `write_arrays` wrote; None where there is no such file, or a damaged one: said."""
    inner = content(path)
    return None if inner is None else arrays_in(inner)


def arrays_in(inner: bytes) -> dict[str, np.ndarray]:
    """Arrays of the content of an .npz file, which is known to be whole."""
    with np.load(io.BytesIO(inner), allow_pickle=False) as stored:
        return dict(stored)


def write_mapping(path: Path, mapping: Mapping[str, Any]) -> None:
    """Keep a mapping that JSON can hold in a sealed file."""
    with sealed(path) as handle:
        handle.write(json.dumps(mapping).encode())


def read_mapping(path: Path) -> dict[str, Any] | None:
    """What `write_mapping` wrote; None where there is no such file, or a damaged one: said."""
    inner = content(path)
    return None if inner is None else dict(json.loads(inner))

"""Files that appear whole or not at all, and folders that one process writes at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from cosmokeras.errors import UserError

EXIT_STOPPED = 75  # EX_TEMPFAIL: "try again", for the batch system


def stop_asked() -> bool:
    """Whether the file named by COSMOKERAS_STOP_FILE is there: time to save and to leave with EXIT_STOPPED."""
    return os.path.exists(os.environ.get("COSMOKERAS_STOP_FILE", ""))


def work_folder(stage: str, key: str) -> Path:
    """Folder for unfinished work of a stage; `COSMOKERAS_WORK` or `.work`, never an output of the pipeline."""
    folder = Path(os.environ.get("COSMOKERAS_WORK", ".work")) / stage / key
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic(path: Path | str) -> Iterator[IO[bytes]]:
    """Write bytes to a temporary name in the same folder, then rename. On any error nothing is left behind."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    try:
        with handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(handle.name, 0o644)
        os.replace(handle.name, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some disk or choose another folder"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(handle.name)


def write_json(path: Path | str, content: Any) -> None:
    """Write readable JSON atomically, with a newline at the end."""
    with atomic(path) as handle:
        handle.write(json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """Readable JSON as `write_json` writes it."""
    return (json.dumps(content, indent=2) + "\n").encode()


def write_text(path: Path | str, content: str) -> None:
    """Write text atomically."""
    with atomic(path) as handle:
        handle.write(content.encode())


def sha256(path: Path | str) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_of(array: np.ndarray) -> str:
    """Hex digest of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def place(source: Path, target: Path) -> None:
    """Hard link (or copy, across file systems) a finished file; the target appears whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # of a killed process of the same number
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    # renaming one link of a file to another link of the same file does nothing, by POSIX
    temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, name: str = ".lock", shared: bool = False) -> Iterator[None]:
    """Hold a folder, or the part of it that `name` stands for, alone or with others that share it.

    Who cannot have it waits; the kernel frees the lock when its holder dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with open(folder / name, "w") as handle:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process works in {folder}: waiting", flush=True)
            fcntl.flock(handle, kind)
        yield

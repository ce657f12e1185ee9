"""Files that appear whole or not at all, and folders that one process writes at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from cosmokeras.common.errors import UserError

UNFINISHED = ".unfinished-"  # what names of temporary files begin with
EXIT_STOPPED = 75  # EX_TEMPFAIL: "try again", for the batch system


def stop_asked() -> bool:
    """Whether the file named by COSMOKERAS_STOP_FILE is there: time to save and to leave with EXIT_STOPPED."""
    return os.path.exists(os.environ.get("COSMOKERAS_STOP_FILE", ""))


def project_of_run() -> Path | None:
    """The project's folder, where DVC runs this in another: `dvc exp run` with --temp, or from its queue."""
    parts = Path.cwd().parts
    return next((Path(*parts[:i]) for i in range(len(parts)) if parts[i : i + 3] == (".dvc", "tmp", "exps")), None)


def in_temporary_run() -> bool:
    """Whether DVC runs this in a folder of its own, which has what git and DVC track."""
    return project_of_run() is not None


def work_folder(stage: str, key: str) -> Path:
    """Folder for unfinished work of a stage; `COSMOKERAS_WORK` or the project's `.work`, no output of the pipeline."""
    folder = Path(os.environ.get("COSMOKERAS_WORK", (project_of_run() or Path()) / ".work")) / stage / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = os.environ.get("COSMOKERAS_WORK")
        where = f"COSMOKERAS_WORK={said}" if said else ".work"
        raise UserError(
            f"{where}: cannot make {folder}: {error.strerror}; set COSMOKERAS_WORK to another folder"
        ) from None
    return folder


@contextmanager
def atomic(path: Path | str) -> Iterator[IO[bytes]]:
    """Write bytes to a temporary name in the same folder, then rename. On any error nothing is left behind.

    The temporary file has the ending of the final one. It is never written through a link: who had the old file under
    another name keeps it. What killed processes have left of their own is removed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path.parent)
        if path.is_dir():
            raise UserError(f"cannot write {path}: a folder is in its place; remove it")
        handle = _temporary(path)
    except OSError as error:
        raise _cannot_write(path, error, "choose another folder") from error
    try:
        with handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
            os.chmod(handle.name, 0o644)
            os.replace(handle.name, path)  # while it is locked
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            os.unlink(handle.name)


def _temporary(path: Path) -> IO[bytes]:
    """A new file beside `path`, locked for as long as it is open: by that others see that its writer lives."""
    while True:
        handle = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=path.parent, prefix=UNFINISHED, suffix=f"-{path.name}", delete=False
        )
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(handle.name):  # else someone removed it in the moment before it was locked
            return handle
        handle.close()


def _cannot_write(path: Path, error: OSError, remedy: str = "free some disk or choose another folder") -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}; {remedy}")


@cache
def remove_unfinished(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder, once in a process; those of living ones stay."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError), open(path, "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def write_json(path: Path | str, content: Any) -> None:
    """Write readable JSON atomically, with a newline at the end; null for NaN and infinities, which JSON has not."""
    with atomic(path) as handle:
        handle.write(json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """Readable JSON as `write_json` writes it."""
    return (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode()


def _finite(node: Any) -> Any:
    """The same with None for floats that are not finite."""
    if isinstance(node, Mapping):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def read_json(path: Path | str) -> dict[str, Any]:
    """What `write_json` wrote, a mapping; empty where there is no such file.

    Raises
    ------
    UserError : not JSON, or no mapping
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct or delete it") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError included
        raise UserError(f"{path}: not valid JSON ({error}); correct or delete it") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a mapping; correct or delete it")
    return content


def read_own_json(path: Path | str) -> dict[str, Any]:
    """A mapping that must be, byte for byte, as `write_json` writes it; an error of UNREADABLE where it is not."""
    content = Path(path).read_bytes()
    parsed = json.loads(content)
    if not isinstance(parsed, dict) or json_bytes(parsed) != content:
        raise ValueError("not as it was written")
    return parsed


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


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link (or copy, across file systems) a finished file; the target appears whole."""
    temporary = target.with_name(f"{UNFINISHED}{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(target.parent)
        temporary.unlink(missing_ok=True)  # of a killed process of the same number
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:  # what is wrong with the place, copying says
        copy(source, target)
    finally:
        # renaming one link of a file to another link of the same file does nothing, by POSIX
        with suppress(OSError):
            temporary.unlink()


def copy(source: Path, target: Path) -> None:
    """Copy a file; the target appears whole, and what it was a link to stays as it is."""
    with atomic(target) as handle, open(source, "rb") as content:
        shutil.copyfileobj(content, handle)


@contextmanager
def locked(
    folder: Path, name: str = ".lock", shared: bool = False, remedy: str = "free some disk or choose another folder"
) -> Iterator[None]:
    """Hold a folder, or the part of it that `name` stands for, alone or with others that share it.

    Who cannot have it waits; the kernel frees the lock when its holder dies.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / name, "w")  # noqa: SIM115
    except OSError as error:
        raise _cannot_write(folder / name, error, remedy) from None
    with handle:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process works in {folder}: waiting", flush=True)
            fcntl.flock(handle, kind)
        yield

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
from pathlib import Path
from typing import IO, Any

import numpy as np

from cosmokeras.common.errors import UserError

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
    """Write bytes to a temporary name in the same folder, then rename. On any error nothing is left behind."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
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
    except ValueError as error:  # UnicodeDecodeError included
        raise UserError(f"{path}: not valid JSON ({error}); mend or delete it") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a mapping; mend or delete it")
    return content


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

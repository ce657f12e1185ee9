"""The part of a download that is here so far, with what is needed to continue it safely.

Unfinished bytes are in `<name>.part`, and what the server said of their file when it began to send it (`Origin`: the
URL, its size and its ETag or Last-Modified) in `<name>.part.json`.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_json

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class Job:
    """What to fetch: `name` for messages, `url`, `target` that it will become, `size` [bytes] where it is known.

    `checked`: there is a checksum to hold the whole against. If not, parts are put together only if the server can
    tell that they are of one file, and answers that may not be the file are refused.
    """

    name: str
    url: str
    target: Path
    size: int | None
    checked: bool

    @property
    def part(self) -> Path:
        """The bytes that have come so far."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def notes(self) -> Path:
        """What the server said about the file when it began to send it."""
        return self.target.with_name(self.target.name + ".part.json")

    def discard(self) -> None:
        """Forget what has come so far."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    @property
    def by_hand(self) -> str:
        """The way out that always exists."""
        return f"or fetch it by hand to {self.target}"


@dataclass(frozen=True)
class Origin:
    """What a server said of the file whose first bytes are in the part; None where it said nothing.

    `validator` is the ETag or Last-Modified that a request for the rest is tied to (If-Range, RFC 9110, 13.1.5).
    """

    url: str | None = None
    size: int | None = None  # [bytes]
    validator: str | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, url: str, answer: requests.Response, size: int | None) -> Origin:
        """Of an answer that sends the file of `size` bytes from its start."""
        etag, last_modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
        strong = etag is not None and etag != "" and not etag.startswith("W/")  # If-Range takes no weak ETag
        validator = etag if strong else last_modified
        return cls(url=url, size=size, validator=validator, etag=etag, last_modified=last_modified)

    @classmethod
    def read(cls, path: Path) -> Origin:
        """As written beside the part; empty where there is nothing readable."""
        with suppress(OSError, ValueError, TypeError):
            notes = dict(json.loads(path.read_text()))
            return cls(**{field: notes.get(key) for field, key in _NOTES.items()})
        return cls()

    def write(self, path: Path) -> None:
        """Write it beside the part."""
        write_json(path, {key: getattr(self, field) for field, key in _NOTES.items()})

    def same_file(self, answer: requests.Response) -> bool:
        """Whether no header of an answer speaks against its being of the same file."""
        tags = {"ETag": self.etag, "Last-Modified": self.last_modified}
        return all(value in (None, answer.headers.get(key, value)) for key, value in tags.items())


_NOTES = {"url": "url", "size": "bytes", "validator": "validator", "etag": "ETag", "last_modified": "Last-Modified"}


def usable_part(job: Job) -> tuple[int, Origin]:
    """Bytes of the part that may be continued, and where they came from. What cannot be used is removed."""
    have, origin = length(job.part), Origin.read(job.notes)
    size = job.size or origin.size
    if have and origin.url == job.url and (job.checked or origin.validator) and (size is None or have <= size):
        return have, origin
    job.discard()
    return 0, Origin()


def need_space(job: Job, size: int | None, have: int) -> None:
    """Stop if the rest of a file of `size` bytes, of which `have` are here, does not fit on the disk."""
    if size is None:
        return
    folder = next(parent for parent in job.target.parents if parent.exists())
    need, free = size - have, shutil.disk_usage(folder).free
    if need > free:
        msg = f"{job.name}: needs {need} bytes in {job.target.parent}, {free} are free"
        raise UserError(f"{msg}; free space or set COSMOKERAS_CACHE to another folder")


def length(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0

"""One file over HTTP: continued where it was cut, asked for again where that may help, never taken for more than it is.

Unfinished bytes are in `<name>.part`, and what is needed to continue them safely (the URL, the server's size and its
ETag or Last-Modified) in `<name>.part.json`. Checksums are the caller's business.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_json

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16  # bytes that a cut connection loses at most
TIMEOUT = (10, 60)  # to connect, and of silence [s]
LONGEST_WAIT = 60.0  # of our own accord [s]
LONGEST_ASKED = 300.0  # if the server asks for it [s]
PROGRESS = 1 << 20  # a try that brings so many bytes is no failure: a long file over a bad line must arrive
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be better the next time
_SILENT = dict.fromkeys(("url", "bytes", "validator", "ETag", "Last-Modified"))


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


class _Passing(Exception):  # noqa: N818 - not an error yet
    """What may go better the next time; `after` [s] is how long the server wants to be left alone."""

    def __init__(self, why: str, advice: str = "try again later", after: float = 0.0) -> None:
        super().__init__(why)
        self.advice, self.after = advice, after


def retrieve(job: Job, retries: int, wait: Callable[[float], None] = time.sleep) -> bool:
    """Bring `job.part` to its full length.

    Parameters
    ----------
    retries : further attempts in a row, bringing little, after a cut connection, a timeout, HTTP 408, 425, 429 or 5xx
    wait : how to pass the 1, 2, 4, ... seconds between them

    Returns
    -------
    whether bytes of an earlier answer were continued: if the whole is wrong, it is worth starting anew
    """
    if retries < 0:
        raise UserError(f"{job.name}: retries={retries}, 0 or more expected")
    tried, best = 0, _length(job.part)
    while True:
        try:
            return _attempt(job)
        except _Passing as failure:
            have = _length(job.part)
            if have >= best + PROGRESS:
                tried, best = 0, have
            if tried == retries:
                again = f" ({tried} further attempts)" if tried else ""
                kept = f"; {have} bytes are kept and will be continued" if have else ""
                raise UserError(f"{job.name}: {failure}{again}{kept}; {failure.advice}, {job.by_hand}") from None
            delay = max(min(2.0 ** min(tried, 9), LONGEST_WAIT), min(failure.after, LONGEST_ASKED))
            print(f"{job.name}: {failure}; again in {delay:.0f} s", file=sys.stderr, flush=True)
            tried += 1
            wait(delay)


def need_space(job: Job, size: int | None, have: int) -> None:
    """Stop if the rest of a file of `size` bytes, of which `have` are here, does not fit on the disk."""
    if size is None:
        return
    folder = next(parent for parent in job.target.parents if parent.exists())
    need, free = size - have, shutil.disk_usage(folder).free
    if need > free:
        msg = f"{job.name}: needs {need} bytes in {job.target.parent}, {free} are free"
        raise UserError(f"{msg}; free space or set COSMOKERAS_CACHE to another folder")


def _attempt(job: Job) -> bool:
    """One request, or two if what is here turns out to be of no use. As `retrieve`."""
    import requests
    from urllib3.exceptions import HTTPError as Cut

    have, said = _begun(job)
    size = job.size or said["bytes"]
    if have and have == size:  # killed after the last byte
        return True
    need_space(job, size, have)
    # A compressed answer would be other bytes than those that the checksum and the ranges are of.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if said["validator"]:
            headers["If-Range"] = said["validator"]
    try:
        with requests.get(job.url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 200:
                _receive(job, answer, 0, _whole(answer))
                return False
            if have and answer.status_code == 206 and _continues(answer, have, said):
                _receive(job, answer, have, _range(answer)[1] or size)
                return True
            if have and answer.status_code == 416 and _range(answer)[1] == have and _same(answer, said):
                return True
            if not have or answer.status_code not in (206, 416):
                raise _refusal(job, answer)
    except (requests.Timeout, requests.ConnectionError, Cut) as error:
        cut = isinstance(error, Cut)
        what = f"the connection to {job.url} broke" if cut else f"no connection to {job.url}"
        raise _Passing(f"{what} ({type(error).__name__})", "check the network") from None
    except requests.RequestException as error:
        msg = f"{job.name}: {job.url} cannot be fetched ({type(error).__name__})"
        raise UserError(f"{msg}; correct the URL in the manifest, {job.by_hand}") from None
    job.discard()  # the server's file has become shorter or another one
    return _attempt(job)


def _begun(job: Job) -> tuple[int, dict[str, Any]]:
    """Bytes of the part that may be continued, and the server's words about them. What cannot be used is removed."""
    have, said = _length(job.part), _SILENT
    with suppress(OSError, ValueError, TypeError):
        said = _SILENT | dict(json.loads(job.notes.read_text()))
    if have and said["url"] == job.url and (job.checked or said["validator"]):
        size = job.size or said["bytes"]
        if size is None or have <= size:
            return have, said
    job.discard()
    return 0, _SILENT


def _receive(job: Job, answer: requests.Response, have: int, size: int | None) -> None:
    """Write the body behind the first `have` bytes of the part; `size` is that of the whole [bytes]."""
    from tqdm import tqdm

    if size is not None and job.size not in (None, size):
        msg = f"{job.name}: {job.url} has {size} bytes, {job.size} expected"
        raise UserError(f"{msg}; it is not the file of the manifest: correct the manifest, {job.by_hand}")
    _must_be_the_file(job, answer, size)
    need_space(job, size, have)
    with open(job.part, "ab" if have else "wb") as part:
        if not have:  # after the part was emptied: notes never speak of bytes that others sent
            tags = {key: answer.headers.get(key) for key in ("ETag", "Last-Modified")}
            strong = tags["ETag"] and not tags["ETag"].startswith("W/")  # RFC 9110: If-Range takes no weak ETag
            validator = tags["ETag"] if strong else tags["Last-Modified"]
            write_json(job.notes, {"url": job.url, "bytes": size, "validator": validator, **tags})
        with tqdm(total=size, initial=have, desc=job.name, unit="B", unit_scale=True, disable=None) as bar:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                part.write(chunk)
                bar.update(len(chunk))
    got = _length(job.part)
    if size is not None and got != size:
        if got > size:
            job.discard()
        raise _Passing(f"{job.url} sent {got} of {size} bytes")


def _must_be_the_file(job: Job, answer: requests.Response, size: int | None) -> None:
    """Without a published checksum an error page, a compressed copy or a cut file must not pass for the file."""
    if job.checked:
        return
    kind, encoding = answer.headers.get("Content-Type", ""), answer.headers.get("Content-Encoding", "identity")
    if kind.startswith("text/html"):
        doubt = "sent a web page"
    elif encoding != "identity" and job.target.suffix not in (".gz", ".tgz"):
        doubt = f"sent it compressed ({encoding})"
    elif size is None and answer.headers.get("Transfer-Encoding") != "chunked":
        doubt = "does not say how long it is"
    else:
        return
    msg = f"{job.name}: {job.url} {doubt} and no checksum is published"
    raise UserError(f"{msg}; check the URL in a browser, {job.by_hand}")


def _refusal(job: Job, answer: requests.Response) -> Exception:
    why = f"{job.url} answered HTTP {answer.status_code}"
    if answer.status_code in _PASSING:
        return _Passing(why, after=_retry_after(answer.headers.get("Retry-After", "")))
    return UserError(f"{job.name}: {why}; check the URL in the manifest, {job.by_hand}")


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 if it is neither."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _continues(answer: requests.Response, have: int, said: dict[str, Any]) -> bool:
    """Does a partial answer begin where the part ends, and is it of the same file? Some servers ignore If-Range."""
    start, size = _range(answer)
    return start == have and size in (None, said["bytes"] or size) and _same(answer, said)


def _same(answer: requests.Response, said: dict[str, Any]) -> bool:
    return all(said[key] in (None, answer.headers.get(key, said[key])) for key in ("ETag", "Last-Modified"))


def _range(answer: requests.Response) -> tuple[int | None, int | None]:
    """First byte sent and size of the whole file, from "bytes 100-199/200" or "bytes */200"."""
    text = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", text.strip())
    if not found:
        return None, None
    first, size = (None if number is None else int(number) for number in found.groups())
    return first, size


def _whole(answer: requests.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

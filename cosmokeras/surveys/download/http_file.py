"""One file over HTTP: resumed after a cut, requested again after transient failures, refused where it may be another.

An attempt ends `Complete` or `Interrupted`; what people must mend is a UserError. Checksums are the caller's business.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.download.part import Job, Origin, length, need_space, usable_part

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16  # bytes that a cut connection loses at most
TIMEOUT = (10, 60)  # to connect, and of silence [s]
LONGEST_WAIT = 60.0  # of our own accord [s]
LONGEST_ASKED = 300.0  # if the server asks for it [s]
PROGRESS = 1 << 20  # a try that brings so many bytes is no failure: a long file over a bad line must arrive
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # answers that may be better the next time


@dataclass(frozen=True)
class Complete:
    """The part has its full length; `resumed`: bytes of an earlier answer were continued."""

    resumed: bool


@dataclass(frozen=True)
class Interrupted:
    """A failure that a later request may not have: a cut connection, a timeout, HTTP 408, 425, 429 or 5xx."""

    reason: str
    advice: str = "try again later"
    retry_after: float = 0.0  # that the server asks for [s]


class Reply(Enum):
    """What an answer is to the request that was made."""

    WHOLE = auto()  # the file from its first byte
    REMAINDER = auto()  # the bytes behind the part, of the same file
    NOTHING_LEFT = auto()  # the part is the whole file
    STALE = auto()  # the part is of another file than the server's, or longer
    REFUSED = auto()


def retrieve(job: Job, retries: int, wait: Callable[[float], None] = time.sleep) -> bool:
    """Bring `job.part` to its full length.

    Parameters
    ----------
    retries : further attempts in a row, bringing little, after an `Interrupted` one
    wait : how to pass the 1, 2, 4, ... seconds between them

    Returns
    -------
    whether bytes of an earlier answer were continued: if the whole is wrong, it is worth starting anew

    Raises
    ------
    UserError : what no further attempt can mend, or no attempt is left; what has come is kept
    """
    if retries < 0:
        raise UserError(f"{job.name}: retries={retries}, 0 or more expected")
    failures, longest = 0, length(job.part)
    while True:
        outcome = _attempt(job)
        if isinstance(outcome, Complete):
            return outcome.resumed
        received = length(job.part)
        if received >= longest + PROGRESS:
            failures, longest = 0, received
        if failures == retries:
            again = f" ({failures} further attempts)" if failures else ""
            kept = f"; {received} bytes are kept and will be continued" if received else ""
            raise UserError(f"{job.name}: {outcome.reason}{again}{kept}; {outcome.advice}, {job.by_hand}")
        delay = max(min(2.0 ** min(failures, 9), LONGEST_WAIT), min(outcome.retry_after, LONGEST_ASKED))
        print(f"{job.name}: {outcome.reason}; again in {delay:.0f} s", file=sys.stderr, flush=True)
        failures += 1
        wait(delay)


def _attempt(job: Job) -> Complete | Interrupted:
    """One request, or two if the part turns out to be of no use: the second is for the whole file."""
    outcome = _request(job)
    if outcome is Reply.STALE:
        job.discard()
        outcome = _request(job)
    if isinstance(outcome, Reply):  # without a part nothing is stale
        raise RuntimeError(f"{job.name}: {outcome} to a request for the whole file")
    return outcome


def _request(job: Job) -> Complete | Interrupted | Literal[Reply.STALE]:
    """Ask for what is missing and write it to the part."""
    import requests
    from urllib3.exceptions import HTTPError as Cut

    have, origin = usable_part(job)
    size = job.size or origin.size
    if have and have == size:  # killed after the last byte
        return Complete(resumed=True)
    need_space(job, size, have)
    try:
        with requests.get(job.url, headers=_headers(have, origin), stream=True, timeout=TIMEOUT) as answer:
            match reply := _classify(answer, have, origin):
                case Reply.WHOLE:
                    return _receive(job, answer, 0, _content_length(answer))
                case Reply.REMAINDER:
                    return _receive(job, answer, have, _content_range(answer)[1] or size)
                case Reply.NOTHING_LEFT:
                    return Complete(resumed=True)
                case Reply.STALE:
                    return reply
                case Reply.REFUSED:
                    return _refused(job, answer)
    except (requests.Timeout, requests.ConnectionError, Cut) as error:
        what = "the connection to {} broke" if isinstance(error, Cut) else "no connection to {}"
        return Interrupted(f"{what.format(job.url)} ({type(error).__name__})", "check the network")
    except requests.RequestException as error:
        msg = f"{job.name}: {job.url} cannot be fetched ({type(error).__name__})"
        raise UserError(f"{msg}; correct the URL in the manifest, {job.by_hand}") from None


def _headers(have: int, origin: Origin) -> dict[str, str]:
    """Headers of a request for all but the first `have` bytes."""
    # A compressed answer would be other bytes than those that the checksum and the ranges are of.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    return headers


def _classify(answer: requests.Response, have: int, origin: Origin) -> Reply:
    """What an answer is to a request for all but the first `have` bytes."""
    status, (first, size) = answer.status_code, _content_range(answer)
    if status == 200:
        return Reply.WHOLE
    if not have or status not in (206, 416):
        return Reply.REFUSED
    same = origin.same_file(answer)  # some servers ignore If-Range
    if status == 206 and same and first == have and size in (None, origin.size or size):
        return Reply.REMAINDER
    return Reply.NOTHING_LEFT if status == 416 and same and size == have else Reply.STALE


def _receive(job: Job, answer: requests.Response, have: int, size: int | None) -> Complete | Interrupted:
    """Write the body behind the first `have` bytes of the part; `size` is that of the whole [bytes]."""
    from tqdm import tqdm

    if size is not None and job.size not in (None, size):
        msg = f"{job.name}: {job.url} has {size} bytes, {job.size} expected"
        raise UserError(f"{msg}; it is not the file of the manifest: correct the manifest, {job.by_hand}")
    _must_be_the_file(job, answer, size)
    size = size or job.size
    need_space(job, size, have)
    received = have
    with open(job.part, "ab" if have else "wb") as part:
        if not have:  # after the part was emptied: notes never speak of bytes that others sent
            Origin.of(job.url, answer, size).write(job.notes)
        with tqdm(total=size, initial=have, desc=job.name, unit="B", unit_scale=True, disable=None) as bar:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                part.write(chunk)
                bar.update(len(chunk))
                received += len(chunk)
                if size is not None and received > size:  # a server that never ends must not fill the disk
                    break
    if size is None or received == size:
        return Complete(resumed=have > 0)
    if received > size:
        job.discard()
        return Interrupted(f"{job.url} sent more than {size} bytes")
    return Interrupted(f"{job.url} sent {received} of {size} bytes")


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


def _refused(job: Job, answer: requests.Response) -> Interrupted:
    """An answer without the file: one that may be better the next time, else an error."""
    reason = f"{job.url} answered HTTP {answer.status_code}"
    if answer.status_code not in _TRANSIENT:
        raise UserError(f"{job.name}: {reason}; check the URL in the manifest, {job.by_hand}")
    return Interrupted(reason, retry_after=_retry_after(answer.headers.get("Retry-After", "")))


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 if it is neither."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _content_range(answer: requests.Response) -> tuple[int | None, int | None]:
    """First byte sent and size of the whole file, from "bytes 100-199/200" or "bytes */200"."""
    text = answer.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", text.strip())
    if not match:
        return None, None
    first, size = (None if number is None else int(number) for number in match.groups())
    return first, size


def _content_length(answer: requests.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None

"""Real data from where it is published, each file checked against its checksum in data/manifest.yaml.

With a mirror folder (argument `mirror` or environment COSMOKERAS_REAL_DATA) the same files are taken from
`<mirror>/<name>`, checked in the same way and read in place: no network, no copy, and no fallback to a download.

Where no checksum is published, the sha256 of the first copy that is used is recorded in `<name>.sha256` in the cache
folder, and every later copy, from wherever it comes, must be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import locked, write_json
from cosmokeras.surveys.download.http_file import retrieve
from cosmokeras.surveys.download.manifest import MANIFEST, load_manifest
from cosmokeras.surveys.download.part import Job

__all__ = ["MANIFEST", "Fetched", "fetch_file", "fetch_verified", "load_manifest"]


class Fetched(NamedTuple):
    """A verified local copy, its sha256, and whether a checksum is `published` (if not: the same as the first copy)."""

    path: Path
    sha256: str
    published: bool


def fetch_file(
    name: str,
    mirror: Path | str | None = None,
    manifest: Path | str = MANIFEST,
    retries: int = 5,
    offline: bool = False,
) -> Path:
    """Path of a verified local copy of the file `name` of the manifest; arguments as of `fetch_verified`."""
    return fetch_verified(name, mirror, manifest, retries, offline).path


def fetch_verified(
    name: str,
    mirror: Path | str | None = None,
    manifest: Path | str = MANIFEST,
    retries: int = 5,
    offline: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Fetched:
    """A verified local copy of the file `name` of the manifest, with the sha256 that belongs into provenance.

    Parameters
    ----------
    name : key in the manifest, "<group>/<file>"
    mirror : folder that holds "<group>/<file>"; default the environment variable COSMOKERAS_REAL_DATA, else download
        into the cache (environment COSMOKERAS_CACHE, default the operating system's cache folder)
    retries : further attempts after a failure that may pass; what has come is kept and continued
    offline : never use the network; if there is no copy, say where to put one
    wait : how to pass the seconds between attempts
    """
    entries = load_manifest(manifest)
    if name not in entries:
        raise UserError(f"no file {name!r} in {manifest}; known: {', '.join(sorted(entries))}")
    entry, target = entries[name], _cache_folder() / name
    mirror = mirror or os.environ.get("COSMOKERAS_REAL_DATA")
    try:
        if mirror:
            return _from_mirror(entry, Path(mirror) / name, _record_path(target))
        # A finished file needs no lock: it appeared by a rename. So a cache that one may only read will do.
        if cached := _from_cache(entry, target, offline):
            return cached
        if not offline:
            return _download(name, entry, target, retries, wait)
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        msg = f"{name}: cannot use {error.filename or target} ({why})"
        raise UserError(f"{msg}; free space or set COSMOKERAS_CACHE to a folder that can be written") from None
    msg = f"{name} is not in the cache and real.offline is true; fetch {entry['url']} elsewhere and put it at {target}"
    raise UserError(msg)


def _cache_folder() -> Path:
    import pooch

    # absolute: messages name it to people who are elsewhere
    return Path(os.environ.get("COSMOKERAS_CACHE") or pooch.os_cache("cosmokeras")).expanduser().absolute()


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _from_mirror(entry: dict[str, Any], path: Path, record: Path) -> Fetched:
    if not path.is_file():
        msg = f"{path} is missing; put it there, or unset real.mirror and COSMOKERAS_REAL_DATA to download it"
        raise UserError(msg)
    # a cache that was copied to be a mirror brings its records with it
    copied = _record_path(path)
    sha256, problem = _compare(entry, path, [copied, record])
    if problem:
        raise UserError(f"{path}: {problem}; replace the file by the published one")
    if not copied.exists():
        _record_first_use(entry, sha256, record)
    return Fetched(path=path, sha256=sha256, published=_published(entry))


def _from_cache(entry: dict[str, Any], target: Path, offline: bool) -> Fetched | None:
    """The copy in the cache. None if there is none, or a damaged one of a file whose right checksum is known."""
    if not target.is_file():
        return None
    sha256, problem = _compare(entry, target, [_record_path(target)])
    if problem and _published(entry) and not offline:
        return None
    if problem:
        raise UserError(f"{target}: {problem}; put back the right file, or delete this one to download it again")
    _record_first_use(entry, sha256, _record_path(target))
    return Fetched(path=target, sha256=sha256, published=_published(entry))


def _download(name: str, entry: dict[str, Any], target: Path, retries: int, wait: Callable[[float], None]) -> Fetched:
    job = Job(name=name, url=entry["url"], target=target, size=entry["bytes"], checked=_published(entry))
    record = _record_path(target)
    with locked(target.parent, remedy="set COSMOKERAS_CACHE to a folder that can be written"):
        if cached := _from_cache(entry, target, offline=False):
            return cached  # another process was faster
        resumed = retrieve(job, retries, wait)
        sha256, problem = _compare(entry, job.part, [record])
        if problem and resumed:  # parts of two versions may have been put together: once more, in one piece
            job.discard()
            retrieve(job, retries, wait)
            sha256, problem = _compare(entry, job.part, [record])
        if problem:
            job.discard()
            msg = f"{name}: {job.url} gave {problem}; nothing was kept: try again"
            raise UserError(f"{msg}, {job.by_hand}")
        with open(job.part, "rb") as part:
            os.fsync(part.fileno())
        _record_first_use(entry, sha256, record)  # before the rename: no copy in the cache is ever without its record
        os.replace(job.part, target)
        job.discard()
    return Fetched(path=target, sha256=sha256, published=_published(entry))


def _published(entry: dict[str, Any]) -> bool:
    return bool(entry["sha256"] or entry["md5"])


def _compare(entry: dict[str, Any], path: Path, records: list[Path]) -> tuple[str, str | None]:
    """The sha256 of a file, and what is wrong with it: against the manifest or, if that knows none, the records."""
    sha256 = _digest(path, "sha256")
    expected = [("sha256", entry["sha256"], "the manifest"), ("md5", entry["md5"], "the manifest")]
    if not _published(entry):
        expected = [("sha256", _read_record(record), str(record)) for record in records]
    for kind, right, source in expected:
        got = sha256 if kind == "sha256" else _digest(path, kind) if right else None
        if right not in (None, got):
            recorded = "" if _published(entry) else ", recorded at first use; delete that file only if it was wrong"
            return sha256, f"{kind} {got}, expected {right} ({source}{recorded})"
    return sha256, None


def _digest(path: Path, kind: str) -> str:
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the disk and its permissions") from None


def _read_record(record: Path) -> str | None:
    if not record.exists():
        return None
    try:
        return str(json.loads(record.read_text())["sha256"])
    except (ValueError, KeyError, TypeError):
        msg = f"{record}: not a record of a sha256; delete it if you trust the file beside it"
        raise UserError(msg) from None


def _record_first_use(entry: dict[str, Any], sha256: str, record: Path) -> None:
    """Record the sha256 of a file for which none is published; the first record stays."""
    if not _published(entry) and not record.exists():
        write_json(record, {"sha256": sha256, "url": entry["url"]})

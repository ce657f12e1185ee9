"""Digests of large files: from a part of their content, and still another one for another file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosmokeras.common.files import sha256
from cosmokeras.provenance import digests
from cosmokeras.provenance.digests import LARGE, MANY, digest_of, digests_of


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as handle:
        handle.truncate(size)
    return path


def test_small_files_are_known_by_their_content(tmp_path: Path) -> None:
    for size in (10, 2**20 + 1):
        path = sparse(tmp_path / f"{size}", size)
        assert digest_of(path) == sha256(path)
    assert digest_of(tmp_path / "none") is None


def test_large_files_are_not_read_and_a_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sparse(tmp_path / "large", 40 * 2**30)
    monkeypatch.setattr(digests, "sha256", lambda _: pytest.fail("read as a whole"))
    before = digest_of(path)
    assert before is not None and before.startswith("sampled")
    assert digest_of(path) == before
    status = path.stat()
    with path.open("r+b") as handle:
        handle.seek(20 * 2**30)  # in none of the samples: seen by its time
        handle.write(b"1")
    assert digest_of(path) != before
    with path.open("r+b") as handle:  # at the end of it, with a time that was put back
        handle.seek(40 * 2**30 - 5)
        handle.write(b"1")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    digests._digest.cache_clear()
    assert digest_of(path) != before


def test_many_files_are_one_entry_if_they_are_large_together(tmp_path: Path) -> None:
    few = {f"{i}.npy": sparse(tmp_path / f"{i}.npy", LARGE // MANY) for i in range(MANY + 1)}
    (name,) = found = digests_of(few)
    assert name == f"{MANY + 1} files like 0.npy"
    few["7.npy"].write_bytes(b"other")
    assert digests_of(few) != found
    small = {name: sparse(path, 10) for name, path in few.items()}
    assert digests_of(small) == {name: sha256(path) for name, path in small.items()}

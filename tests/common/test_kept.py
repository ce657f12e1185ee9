"""What takes long is worked out once; what is damaged, of other code or of other numbers is worked out again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common import kept as module
from cosmokeras.common.kept import NAME, kept

CALLS: list[tuple[int, float]] = []


def slow(n: int, step: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    CALLS.append((n, step))
    return np.arange(n) * step, np.ones((n, 2), np.float16)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))
    CALLS.clear()
    return tmp_path / "work"


def test_it_is_worked_out_once_and_equal_when_read(empty: Path) -> None:
    first = kept(slow)(3)
    again = kept(slow)(3, step=0.5)  # as another process would
    assert CALLS == [(3, 0.5)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)
        assert one.dtype == other.dtype
    kept(slow)(3, 0.25)
    assert CALLS == [(3, 0.5), (3, 0.25)]
    assert len(list(empty.rglob(NAME))) == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:100] + b"?" + b[101:]])
def test_what_is_damaged_is_made_again(empty: Path, damage) -> None:
    kept(slow)(3)
    (path,) = empty.rglob(NAME)
    path.write_bytes(damage(path.read_bytes()))
    again = kept(slow)(3)
    assert len(CALLS) == 2
    assert np.array_equal(again[0], [0.0, 0.5, 1.0])


def test_other_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept(slow)(3)
    monkeypatch.setattr(module, "code_fingerprint", cache(lambda name: "other"))
    kept(slow)(3)
    assert len(CALLS) == 2


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "file"))
    assert np.array_equal(kept(slow)(2)[0], [0.0, 0.5])

"""The order of the tests names files that are there."""

from __future__ import annotations

from tests.conftest import LONG, ROOT


def test_long_files_are_there() -> None:
    assert len(set(LONG)) == len(LONG)
    assert [name for name in LONG if not (ROOT / "tests" / name).is_file()] == []

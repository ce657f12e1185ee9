"""What the tests themselves rest on: the order of files, and folders that workers share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import LONG, ROOT


def test_long_files_are_there() -> None:
    assert len(set(LONG)) == len(LONG)
    assert [name for name in LONG if not (ROOT / "tests" / name).is_file()] == []


def test_a_shared_folder_is_made_once_and_is_whole(once: Callable[..., Path]) -> None:
    made: list[Path] = []

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "whole").touch()

    with pytest.raises(ValueError):
        once("probe", fail)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: once("probe", make), range(2)))
    assert len(made) == 1 and folders[0] == folders[1]
    assert [path.name for path in folders[0].iterdir()] == ["whole"]

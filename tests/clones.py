"""Clones of this checkout as it stands, what is not committed included."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def clone_as_it_stands(folder: Path) -> Path:
    """A stranger's clone in `folder`, without its data; changed and new files are committed in it."""

    def git(*words: str, cwd: Path = folder) -> str:
        return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout

    git("clone", "-q", str(ROOT), str(folder), cwd=ROOT)
    for name in git("ls-files", "-m", "-o", "--exclude-standard", cwd=ROOT).split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)  # wrappers stay executable
    take_caches(folder)
    for key in ("user.name", "user.email"):
        git("config", key, "tester")
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "as it stands")
    return folder


def take_caches(folder: Path) -> None:
    """What Python and Numba have compiled here of files that are the same there: else each clone does it again."""
    for package in ("cosmokeras", "stages"):
        for path in (ROOT / package).rglob("*.py"):
            copy = folder / path.relative_to(ROOT)
            if copy.is_file() and filecmp.cmp(path, copy, shallow=False):
                shutil.copystat(path, copy)  # caches are of a file of this age
        for cache in (ROOT / package).rglob("__pycache__"):
            if (home := folder / cache.relative_to(ROOT)).parent.is_dir():
                unfinished = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")  # another worker may be writing
                shutil.copytree(cache, home, ignore=unfinished, dirs_exist_ok=True)

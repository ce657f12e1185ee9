"""One cluster for all tests of a session, and checkouts to submit from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing_parts, running_cluster

ROOT = Path(__file__).parents[2]
TINY = (Path(__file__).parent / "tiny.txt").read_text().split()  # all stages in seconds


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm of two nodes."""
    if missing := missing_parts():
        pytest.skip(f"Slurm is not installed (no {', '.join(missing)}): apt-get install slurm-wlm munge")
    with running_cluster() as running:
        # jobs use this Python; the checkout that they are submitted from is first on its path
        running.environment |= {
            "COSMOKERAS_VENV": sys.prefix,
            "PATH": f"{sys.prefix}/bin:{running.environment['PATH']}",
        }
        yield running


@pytest.fixture(scope="session")
def fresh_clone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`fresh_clone("name")`: this checkout as it stands, cloned into a folder of its own, without its data."""

    def make(name: str) -> Path:
        def git(*words: str, cwd: Path) -> str:
            return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout

        folder = tmp_path_factory.mktemp(name) / "checkout"
        git("clone", "-q", str(ROOT), str(folder), cwd=ROOT)
        for path in git("ls-files", "-m", "-o", "--exclude-standard", cwd=ROOT).split():
            if (ROOT / path).is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, folder / path)
        git("config", "user.name", "tester", cwd=folder)
        git("config", "user.email", "tester", cwd=folder)
        git("add", "-A", cwd=folder)
        git("commit", "-q", "--allow-empty", "-m", "as it stands", cwd=folder)
        write_site(folder)
        return folder

    return make


def write_site(folder: Path, **settings: str) -> None:
    """`slurm/site` of a cluster without GPUs, with other settings."""
    times = {f"{kind}_OPTIONS": "--time=10" for kind in ("GENERATE", "TRAIN", "REPRO", "SWEEP")}
    lines = {"GPUS": "0", "TASKS": "2", **times, **settings}
    (folder / "slurm" / "site").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))


def submitted(said: str) -> dict[str, str]:
    """Job ids by kind of job, from what `slurm/submit` says."""
    words = [line.split() for line in said.splitlines()]
    return {each[0]: each[1] for each in words if each and each[0] in ("generate", "train", "repro", "sweep")}


def log(folder: Path, kind: str, job: str) -> str:
    """What a job, or a task of an array, has said."""
    return (folder / "slurm" / "logs" / f"cosmokeras-{kind}-{job}.out").read_text()

"""One cluster for all tests of a session, and checkouts to submit from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clones import clone_as_it_stands
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
        folder = clone_as_it_stands(tmp_path_factory.mktemp(name) / "checkout")
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

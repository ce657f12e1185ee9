"""What tests share: parameters in a folder of their own, seconds-long overrides, one work folder for the session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest

from cosmokeras.params.config import Config
from cosmokeras.project import load_params

ROOT = Path(__file__).parents[1]
pytest_plugins = ("tests.shared", "tests.skies", "tests.networks")


@pytest.fixture(scope="session", autouse=True)
def work(run_folder: Path) -> Iterator[Path]:
    """One work folder for all tests and workers, so that a theory table is built and a network trained once."""
    folder = run_folder / "work"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSMOKERAS_WORK", str(folder))
        # child processes import the package from anywhere, and share the cores fairly
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.delenv("COSMOKERAS_STOP_FILE", raising=False)
        yield folder


# Files that take longest, first: whoever is done takes the next one, and no worker begins a long one at the end.
LONG = (
    "slurm/test_chain.py", "pipeline/test_pipeline.py", "docs/test_run.py", "training/test_resume.py",
    "models/test_backends.py", "study/test_physics_check.py", "slurm/test_nodes.py", "docs/test_extend.py",
    "slurm/test_wrappers.py", "study/test_domain_gap.py", "inference/test_estimator.py", "evaluation/test_metrics.py",
    "docs/test_commands.py", "pipeline/test_new_simulator.py", "simulators/test_resolution.py", "theory/test_table.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; tests of a file stay together, in their order."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


def copy_params(folder: Path) -> Path:
    """`params.yaml` in `folder`, with the survey presets beside it."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "data").symlink_to(ROOT / "data", target_is_directory=True)
    return folder / "params.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A copy of `params.yaml` that a test may spoil."""
    return copy_params(tmp_path)


@pytest.fixture(scope="session")
def default_params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `params.yaml` that nobody changes, for fixtures that outlive a test."""
    return copy_params(tmp_path_factory.mktemp("params"))


@pytest.fixture(scope="session")
def config(default_params: Path) -> Callable[..., Config]:
    """`config({"data.kind": "grf"})`: the default parameters with overrides."""

    def load(overrides: dict[str, Any] | None = None) -> Config:
        return load_params(default_params, overrides)

    return load


@pytest.fixture(scope="session")
def lensing(config: Callable[..., Config]) -> Config:
    """The default problem: DES Y3, Omega_m alone."""
    return config()


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Overrides that make every stage a matter of seconds."""
    return {
        "data.kind": "grf",
        "data.size": 32,
        "data.n_cosmologies": 32,
        "data.realisations": 2,
        "data.validation": 8,
        "data.test": 8,
        "grf.box_mpc_h": 128.0,
        "model.width": 4,
        "model.spectrum_bins": 6,
        "train.epochs": 3,
        "train.batch_size": 16,
        "evaluate.samples": 100,
    }

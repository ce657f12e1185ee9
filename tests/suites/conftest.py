"""A suite of simulations of our own, lensing maps of 32 pixels, that tests write out as other people's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import Split, open_split
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from tests.conftest import copy_params

SIZES = {"train": 32, "validation": 8, "test": 8}
SMALL: dict[str, Any] = {
    "data.size": 32, "data.n_cosmologies": 32, "data.validation": 8, "data.test": 8, "data.realisations": 2,
    "data.dtype": "float32", "lensing.mask": "none", "model.width": 4, "model.spectrum_bins": 6, "train.epochs": 1,
    "train.batch_size": 16, "evaluate.samples": 100, "evaluate.spectrum_bins": 6,
}  # fmt: skip
OMEGA_M = {"column": "Om", "range": [0.1, 0.5]}


@dataclass(frozen=True)
class Own:
    """Maps (48, 2, 32, 32, 4) of cosmologies theta (48, 1), of the splits `names` (48,), and what they came out of."""

    cfg: Config
    folder: Path
    maps: np.ndarray
    theta: np.ndarray
    names: list[str]

    def split(self, name: str) -> Split:
        """A split of the kind lensing."""
        return open_split(self.cfg, self.folder, name)


@pytest.fixture(scope="session")
def own(config: Callable[..., Config], once: Callable[..., Path]) -> Own:
    """Simulated once, by the kind lensing."""
    cfg = config(SMALL)
    folder = once("own_suite", lambda folder: generate(cfg, folder, 1, progress=False))
    splits = [open_split(cfg, folder, name) for name in SIZES]
    maps = np.concatenate([split.read(np.arange(len(split))) for split in splits])
    theta = np.concatenate([split.theta[::2] for split in splits])
    names = [name for name, count in SIZES.items() for _ in range(count)]
    return Own(cfg, folder, maps.reshape(48, 2, 32, 32, 4), theta, names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder, with params.yaml."""
    copy_params(tmp_path)
    return tmp_path


@pytest.fixture
def suite(folder: Path) -> Callable[..., Config]:
    """`suite(maps="maps.npy", ...)`: parameters of `data.kind: files`, keys of the block `files` by name."""

    def load(overrides: dict[str, Any] | None = None, **files: Any) -> Config:
        given = {"maps": "maps.npy", "parameters": "table.csv", "columns": {"omega_m": OMEGA_M}, "split": "set"}
        given |= {"pixel_arcmin": 5.0} | files
        keys = {f"files.{name}": value for name, value in given.items()}
        return load_params(folder / "params.yaml", SMALL | {"data.kind": "files"} | keys | (overrides or {}))

    return load


def write_table(path: Path, theta: np.ndarray, names: list[str], header: str = "Om,set") -> None:
    """A .csv of parameters and splits."""
    lines = [",".join([*(repr(float(x)) for x in row), name]) for row, name in zip(theta, names, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")

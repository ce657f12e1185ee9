"""A run on JAX or torch never loads TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.long)])
def test_no_stage_loads_tensorflow(backend: str, params: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    raw = yaml.safe_load(params.read_text())
    own = {"data.kind": "lensing", "lensing.survey": "kids_1000", "real.source": "mock", "lensing.mask": "none"}
    for key, value in {**tiny, **own, "train.epochs": 2, "train.backend": backend}.items():
        section, name = key.split(".")
        raw[section][name] = value
    raw["evaluate"]["spectrum_bins"] = raw["model"]["spectrum_bins"]
    params.write_text(yaml.safe_dump(raw))
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"COSMOKERAS_WORK": str(tmp_path / "work"), "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    script = ROOT / "tests" / "pipeline" / "without_tensorflow.py"
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True, timeout=600)
    assert (tmp_path / "metrics" / "infer.json").exists()

"""The script for machines with a GPU runs here on processors with tiny numbers, without TensorFlow."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu

pytestmark = pytest.mark.slow


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_all_is_measured_and_written(tmp_path: Path) -> None:
    assert gpu.main(["--quick", "--out", str(tmp_path), "jax"]) == 0
    found = json.loads((tmp_path / "metrics" / "gpu.json").read_text())
    assert found["problems"] == []
    rows = found["jax"]["cases"]
    assert {row["case"]["network"] for row in rows} == {"hybrid", "resnet"}
    for row in rows:
        if "left_out" not in row:
            assert set(row["maps_per_second"]) == {"observed_in_the_step", "not_observed", "observed_before"}
            assert min(row["maps_per_second"].values()) > 0
    assert any("maps_per_second" in row for row in rows)
    assert found["jax"]["largest_difference"]["observed"] <= 1e-4
    figures = found["efficiency on grf"]
    assert figures["efficiency"] == pytest.approx(figures["limit_rmse"] / figures["rmse"], rel=2e-3)


def test_other_values_than_the_processors_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def child(task, backend, quick, **more):
        if task == "values":
            off = 0.0 if more["environment"] else 2e-4
            np.savez(more["values"], observed=np.full(3, off), network=np.zeros(3))
        return [{"device": "made up"}, {"case": {"network": "hybrid"}, "maps_per_second": {"way": 1.0}}], None

    monkeypatch.setattr(gpu, "child", child)
    assert gpu.main(["--quick", "--out", str(tmp_path), "jax"]) == 1
    assert json.loads((tmp_path / "metrics" / "gpu.json").read_text())["jax"]["largest_difference"]["observed"] == 2e-4


def test_a_process_that_fails_is_named() -> None:
    rows, problem = gpu.child("rates", "none_such", quick=True)
    assert rows == []
    assert problem.startswith("rates on none_such: 1: ")

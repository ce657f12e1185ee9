"""The benchmark of learning rates asks for the batches and rates that many devices have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scaling


def test_batches_and_rates_are_those_of_many_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stages(folder: Path, params: dict[str, Any], names: Iterable[str]) -> None:
        assert tuple(names) == ("generate", "train")
        train = params["train"]
        asked.append((train["batch_size"], train["lr"], train["seed"]))
        (folder / "metrics").mkdir(exist_ok=True)
        (folder / "metrics" / "train.json").write_text(json.dumps({"loss": train["seed"] * train["lr"]}))

    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))
    monkeypatch.setattr(scaling, "run_in", stages)
    assert scaling.main(["--out", str(tmp_path)]) == 0
    assert {one[:2] for one in asked} == {
        (64, 0.002),
        *((256, 0.002 * factor) for factor in (1, 2, 4)),
        *((1024, 0.002 * factor) for factor in (1, 4, 16)),
    }
    found = json.loads((tmp_path / "metrics" / "bench_scaling.json").read_text())["loss"]
    assert len(found) == 7
    assert found["16 devices, sqrt"]["runs"] == pytest.approx([0.008, 0.016])
    assert found["16 devices, sqrt"]["mean"] == pytest.approx(0.012)

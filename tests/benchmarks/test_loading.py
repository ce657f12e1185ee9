"""The benchmark of loading times the stream that training uses, on shards that are really there."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmarks import loading

pytestmark = pytest.mark.slow


def test_shards_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    cfg = loading.config(64, quick=True)
    paths = loading.write_shards(cfg, tmp_path)
    split = loading.split(cfg, paths)
    assert len(split) == cfg.data.n_cosmologies * cfg.data.realisations
    last = np.load(paths[-1])
    assert last.dtype == np.float16
    assert (split.read(np.array([len(split) - 1]))[0] == last[-1].astype(np.float32)).all()
    assert last.std() == pytest.approx(0.02, rel=0.05)


@pytest.mark.slow
def test_rates_are_medians_of_their_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SIZES", (64,))
    assert loading.main(["--quick", "--rounds", "3", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "metrics" / "bench_loading.json").read_text())
    row = found["64^2"]
    assert set(row["ways"]) == {"read, cold", "read, warm", "fed, cold", "fed, warm"}
    for way in row["ways"].values():
        assert len(way["runs"]) == 3
        assert way["maps_per_second"] == pytest.approx(statistics.median(way["runs"]), rel=2e-3)
        assert way["megabytes_per_second"] == pytest.approx(way["maps_per_second"] * 64**2 * 4 * 2 / 1e6, rel=2e-3)
        assert way["core_seconds"] > 0

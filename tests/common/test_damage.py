"""Every file that stages read, found by watching them, is damaged in every way: one line, or made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.damage.full_disk import faults
from benchmarks.damage.project import Project
from benchmarks.damage.trial import BAD, NOTICED, REFUSED, Bench, Case
from benchmarks.damage.ways import SPOILS, WAYS

CASES = 80
WRITES = 5  # of each stage at which the disk is full
GAUSSIAN: dict[str, dict[str, Any]] = {
    "data": {
        "kind": "grf", "size": 32, "n_cosmologies": 16, "realisations": 2, "validation": 8, "test": 4,
    },
    "grf": {"box_mpc_h": 128.0},
    "model": {"width": 4, "components": 2, "spectrum_bins": 6},
    "train": {"epochs": 2, "batch_size": 16},
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("damage"), GAUSSIAN, ("generate", "fetch_real", "train"), judge=False)


def test_what_is_read_is_found(bench: Bench) -> None:
    kinds = {Case(stage, path, "", 0).kind for stage, paths in bench.read.items() for path in paths}
    assert {
        "params.yaml", "outputs/simulations/simulation.json", "outputs/simulations/cosmologies.csv",
        "outputs/simulations/train/shard-N.npy", "outputs/simulations/train/shard-N.json", ".work/train/*/best.npz",
        ".work/train/*/state-N-N.npz", ".work/generate/*/test/shard-N.npy",
    } <= kinds  # fmt: skip
    assert Path("params.yaml") in bench.of_people
    assert not any(path.parts[0] == "outputs" for path in bench.of_people)


def test_no_damage_is_a_traceback_or_goes_unnoticed(bench: Bench) -> None:
    found = [(case, *bench.outcome(case, judge=False)) for case in bench.cases(CASES, seed=1)]
    wrong = [(case, outcome, said) for case, outcome, said in found if outcome in BAD]
    assert not wrong, "\n".join(f"{outcome}: {case}\n{said}" for case, outcome, said in wrong)
    outcomes = [outcome for _, outcome, _ in found]
    assert {REFUSED, NOTICED} <= set(outcomes)


def test_every_way_changes_a_file(tmp_path: Path) -> None:
    content, rng = b'{"a": 1, "b": {"c": [2, 3]}}\n', np.random.default_rng(0)
    assert all(spoil(content, rng) != content for spoil in SPOILS.values())
    assert len(WAYS) == 11


def test_a_full_disk_is_one_line_and_the_next_run_is_undisturbed(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", GAUSSIAN)
    for stage in ("generate", "fetch_real"):
        found = list(faults(project, stage, tmp_path / f"before-{stage}", WRITES, seed=1))
        assert len(found) == WRITES
        assert not [one for one in found if one[1] is not None]
        assert project.run(stage).code == 0

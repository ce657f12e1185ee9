"""The benchmark on tiny numbers: it runs, and what it writes agrees with itself."""

import json
import os
import statistics
from pathlib import Path

import pytest

from benchmarks import simulators
from benchmarks.peers import FLOOR, OURS
from cosmokeras.params.registry import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `--quick grf` writes, and the folder."""
    out = tmp_path_factory.mktemp("bench")
    assert simulators.main(["--quick", "--out", str(out), "grf"]) == 0
    return json.loads((out / "metrics" / "bench_simulators.json").read_text())["grf"], out


def test_the_rate_is_the_maps_over_the_median_of_the_seconds(found):
    (case,) = found[0]["throughput"]["cases"].values()
    assert len(case["seconds"]) == 1
    assert case["maps"] == (2 + 2 + 2) * 16  # training, validation and test cosmologies
    assert case["maps_per_second"] == pytest.approx(case["maps"] / statistics.median(case["seconds"]), rel=2e-3)
    # float16 maps, and little beside them
    assert case["megabytes"] == pytest.approx(case["maps"] * 64**2 * 2 / 1e6, rel=1e-2)


def test_ratios_are_ours_over_theirs(found):
    row = found[0]["peers"]["Gaussian 64^2"]
    assert FLOOR in row["ratio"]
    assert set(row["rate"]) == {OURS, *row["ratio"]}
    for who, ratio in row["ratio"].items():  # of a single turn
        assert ratio == pytest.approx(row["rate"][OURS] / row["rate"][who], rel=2e-3)


def test_the_machine_is_named_and_the_picture_drawn(found):
    assert found[0]["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert "numpy" in found[0]["machine"]["versions"]
    assert (found[1] / "plots" / "bench_simulators.png").stat().st_size > 10_000


def test_the_work_folder_is_left_as_it_was(found, work):
    assert os.environ["COSMOKERAS_WORK"] == str(work)
    assert not list(work.glob("bench-*"))


def test_quick_numbers_have_no_bar_and_full_ones_do(found):
    (case,) = found[0]["throughput"]["cases"].values()
    assert "bar" not in case
    assert {case.kind for case in simulators.CASES if case.bar} == set(KINDS) - {"files"}  # which nothing makes


def test_a_missed_bar_is_told(capsys):
    row = {"maps_per_second": 10.0, "bar": 20.0}
    made = {"prepare_seconds": 0.0, "start_seconds": 0.0, "cases": {"slow": row}}
    assert not simulators.report("grf", {"throughput": made, "peers": {}})
    assert "FAIL slow" in capsys.readouterr().out
    assert simulators.report("grf", {"throughput": {**made, "cases": {"slow": row | {"bar": 5.0}}}, "peers": {}})


def test_every_full_case_is_a_possible_run():
    for case in simulators.CASES:
        cfg = case.config(cores=2, quick=False)
        assert cfg.data.n_cosmologies == 2 * case.per_core
        assert (cfg.data.size, cfg.data.realisations) == (case.size, case.realisations)


def test_an_unknown_kind_is_refused(capsys):
    with pytest.raises(SystemExit):
        simulators.main(["nbody"])
    assert "no kind named nbody" in capsys.readouterr().err


def test_results_of_other_kinds_are_kept(tmp_path: Path, monkeypatch):
    file = tmp_path / "metrics" / "bench_simulators.json"
    made = {"prepare_seconds": 0.0, "start_seconds": 0.0, "cases": {"a": {"maps_per_second": 1.23456}}}
    monkeypatch.setattr(simulators, "throughput", lambda *_: made)
    monkeypatch.setattr(simulators, "compare", _no_peers)
    monkeypatch.setattr(simulators, "picture", lambda *_: None)
    for kind in ("grf", "lensing"):
        simulators.main(["--out", str(tmp_path), "--quick", kind])
    stored = json.loads(file.read_text())
    assert set(stored) == {"grf", "lensing"}
    assert stored["grf"]["throughput"]["cases"]["a"]["maps_per_second"] == 1.235


def _no_peers(kind: str, runs: int, quick: bool) -> dict:
    return {}

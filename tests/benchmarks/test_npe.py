"""Posteriors beside those of other libraries: each runs on tiny numbers, and what is measured of them is right."""

import json
import math

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import npe
from benchmarks.npe_trial import Clock, Task, affordable, best_of, nll, time_to

LOW, HIGH = 0.1, 0.5


class Normal:
    """Normals of known means and width, which leak out of the box."""

    weights = 0

    def __init__(self, width):
        self.width = width

    def log_density(self, given, theta):
        return norm(given, self.width).logpdf(theta[:, 0])

    def inside(self, given, draws):
        samples = np.random.default_rng(0).normal(given[:, None], self.width, (len(given), draws))
        return np.mean((samples >= LOW) & (samples <= HIGH), axis=1)


def test_the_nll_of_a_normal_is_that_of_the_truncated_one():
    given, theta = np.array([0.1, 0.3, 0.45]), np.array([[0.12], [0.35], [0.4]])
    inside = norm(given, 0.1).cdf(HIGH) - norm(given, 0.1).cdf(LOW)
    assert inside[0] == pytest.approx(0.5, abs=1e-3)
    expected = np.log(inside) - norm(given, 0.1).logpdf(theta[:, 0])
    assert nll(Normal(0.1), given, theta, 200_000) == pytest.approx(expected, abs=5e-3)


def test_a_density_outside_the_box_is_no_infinite_gain():
    assert nll(Normal(1e-3), np.array([0.9]), np.array([[0.3]]), 100)[0] > 1e3


def test_the_time_to_a_level_is_that_of_the_first_point_below_it():
    curve = [(1.0, 0.5), (2.0, 0.1), (3.0, 0.2), (4.0, -0.3), (5.0, 0.0)]
    assert [time_to(curve, level) for level in (0.6, 0.1, 0.0, -0.3)] == [1, 2, 4, 4]
    assert time_to(curve, -0.4) == math.inf
    assert best_of(curve) == (4.0, -0.3)


def test_looking_stops_the_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("benchmarks.npe_trial.perf_counter", lambda: now[0])

    def look():
        now[0] += 50
        return now[0]

    clock = Clock(40.0)
    clock.look = look
    for _ in range(5):
        assert not clock.spent
        now[0] += 10
        clock.epoch()
    assert [seconds for seconds, _ in clock.curve] == [10, 20, 30, 40, 50]
    assert (clock.first, clock.last, clock.spent) == (10, 50, True)  # the first epoch does not count
    for _ in range(3):  # a look at every 40th of the budget, at most
        now[0] += 0.4
        clock.epoch()
    assert [round(seconds, 6) for seconds, _ in clock.curve[5:]] == [51.2]


def test_epochs_fill_nine_tenths_of_the_budget():
    assert affordable(1.0, 20.0, 200) == 19
    assert affordable(1.0, 2000.0, 200) == 200
    assert affordable(30.0, 20.0, 200) == 2


def rows(theirs, error=0.1, curve=((10.0, 0.0),), speed=1e4):
    """Figures of ours and of all peers, of which each has its own nll on average."""
    noise = np.random.default_rng(1).normal(0, error, 400)
    ours = {"nll": np.zeros(400), "curve": [(1.0, 0.4), (2.0, -0.1)], "samples_per_second": 1e6}
    peer = {"curve": list(curve), "samples_per_second": speed}
    return {npe.OURS: ours} | {
        who: {**peer, "nll": noise - noise.mean() + value} for who, value in zip(npe.PEERS, theirs, strict=True)
    }


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        (rows([0.1, 0.2, 0.3]), []),
        (rows([0.1, 0.2, -0.009]), []),  # less than two standard errors of 0.005
        (rows([0.1, 0.2, -0.02]), ["(nll - that of lampe) / error"]),
        (rows([0.1, 0.2, 0.3], curve=[(5.0, 0.0)]), ["as fast as sbi", "as fast as bayesflow"]),
        (rows([0.1, 0.2, 0.3], curve=[(99.0, -0.2)]), ["as fast as sbi", "as fast as bayesflow"]),  # never as good
        (rows([0.1, 0.2, 0.3], speed=2e5), ["times as many samples"]),
    ],
)
def test_whoever_is_worse_misses_a_requirement(found, failed, capsys):
    found = npe.compared(found)
    assert npe.meets("grf", {str(npe.TIMED): found}) == (not failed)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert len(lines) == len(failed)
    assert all(words in line for words, line in zip(failed, lines, strict=True))


def test_differences_are_paired():
    found = npe.compared(rows([0.1, 0.2, -0.3]))
    assert [found[who]["difference"] for who in npe.PEERS] == pytest.approx([-0.1, -0.2, 0.3])
    assert found["sbi"]["difference_error"] == pytest.approx(0.1 / np.sqrt(400), rel=0.1)
    assert found["sbi"]["faster_to_same_nll"] == 10 / 2
    assert found["sbi"]["times_samples"] == 100
    assert npe.best_peer(rows([0.1, 0.2, -0.3])) == "lampe"


def test_without_peers_nothing_is_required():
    assert npe.meets("grf", {str(npe.TIMED): npe.compared({npe.OURS: rows([0, 0, 0])[npe.OURS]})})


def prepared(case, folder):
    """Parameters of the tiny case, the folder of its arrays, and the nll of the exact posterior."""
    cfg = case.config(quick=True)
    npe.generate(cfg, folder / "simulations", workers=1, progress=False)
    return cfg, folder, npe.apart(npe.prepare, cfg, folder, True)


@pytest.fixture(scope="module")
def grf(tmp_path_factory):
    """Of the first case."""
    return prepared(npe.CASES[0], tmp_path_factory.mktemp("npe"))


@pytest.mark.slow
def test_observed_maps_are_those_of_the_signal(grf):
    cfg, folder, exact = grf
    signal, observed, turned = (np.load(folder / f"{name}.npy") for name in ("signal", "obs-0", "obs-1"))
    assert observed.shape == turned.shape == (40, cfg.data.size, cfg.data.size, 1)
    signal = signal.astype(float)
    scaled = (signal - signal.mean((1, 2, 3), keepdims=True)) / signal.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(observed, scaled, atol=1e-2)
    # the same values in another order
    np.testing.assert_allclose(np.sort(turned.reshape(40, -1)), np.sort(observed.reshape(40, -1)), atol=1e-4)
    assert np.abs(turned - observed).max() > 1
    assert exact < np.log(HIGH - LOW)  # it says more than the prior


@pytest.mark.slow
@pytest.mark.parametrize(("who", "draws"), [(who, 1) for who in npe.CONTENDERS] + [("lampe", npe.DRAWS)])
def test_a_contender_trains_and_is_measured(grf, who, draws):
    for name in () if who == npe.OURS else npe.NEEDS.get(who, (who,)):
        pytest.importorskip(name)
    cfg, folder, _ = grf
    before = sorted(path.name for path in folder.iterdir())
    task = Task(cfg.model_dump_json(), folder, 40, 3.0, draws)
    row = npe.apart(npe.train, who, task, backend=npe.CONTENDERS[who][1])
    assert row["nll"].shape == (24,) and np.isfinite(row["nll"]).all()
    assert 0 <= row["coverage_68"] <= 1
    assert row["epochs"] >= 1 and row["seconds"] > 0 and row["weights"] > 1e4
    times, values = np.array(row["curve"]).T
    assert (np.diff(times) > 0).all() and np.isfinite(values).all()
    assert row["first_epoch_seconds"] == times[0]
    assert {path.name for path in folder.iterdir()} - set(before) <= {"sbi-logs"}


@pytest.mark.slow
def test_the_coupling_flow_of_two_parameters_trains(tmp_path):
    pytest.importorskip("bayesflow")
    case = npe.Case("grf", {"prior.h": [0.6, 0.8], "data.targets": ["omega_m", "h"]})
    cfg, folder, exact = prepared(case, tmp_path)
    assert exact is None
    row = npe.apart(npe.train, "bayesflow", Task(cfg.model_dump_json(), folder, 40, 3.0))
    assert row["nll"].shape == (24,) and np.isfinite(row["nll"]).all()


@pytest.mark.slow
def test_what_is_written_agrees_with_itself(tmp_path, monkeypatch):
    """Of ours alone: the others are run above."""
    monkeypatch.setattr(npe, "is_there", lambda who: False)
    assert npe.main(["--quick", "--out", str(tmp_path), "grf"]) == 0
    found = json.loads((tmp_path / "metrics" / "bench_npe.json").read_text())["grf"]
    assert found["not_run"] == list(npe.PEERS)
    ((count, row),) = found["maps"].items()
    assert (count, list(row)) == ("40", [npe.OURS])
    assert found["test_maps"] == 24 and found["parameters"] == ["omega_m"]
    assert found["exact_nll"] < np.log(HIGH - LOW)
    made = json.loads((tmp_path / "metrics" / "made_with.json").read_text())["bench_npe.json"]
    assert made["grf"]["module"] == "benchmarks.npe"
    assert (tmp_path / "plots" / "bench_npe.png").stat().st_size > 1e4

"""Particle-mesh steps that JaxPM is compared by: growth of weak waves, and how rows are judged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import peers, pm_peer, simulators
from cosmokeras.simulators.pm.growth import growth


@pytest.mark.parametrize("steps", [1, 4, 15])
def test_their_steps_let_waves_grow_linearly(steps: int) -> None:
    """x = D psi, p = G psi and a force D psi, from a = 0.1 to today: within a thousandth."""
    grown = growth(pm_peer.VALUES)
    start = float(np.interp(pm_peer.FIRST, grown.a, grown.d))
    rate = np.interp(pm_peer.FIRST, grown.a, np.gradient(grown.d, grown.a))
    x, p = start, pm_peer.FIRST**3 * np.sqrt(0.3 / pm_peer.FIRST**3 + 0.7) * rate
    for first, kick, last in pm_peer.fastpm_factors(steps):
        x += first * p
        p += kick * x
        x += last * p
    assert x == pytest.approx(1.0, abs=1e-3)


def test_ours_end_today() -> None:
    """Weak waves grow to D = 1: power of the longest ones within 2 % of the linear one; clouds take 0.6 % of it."""
    n, weak = 32, np.float32(0.004)
    modes = pm_peer.waves(n, 1)
    x = pm_peer.ours(n)(modes * weak, 0)
    number = pm_peer.squared_modes(n)
    long = (number > 0) & (number <= 1)
    found = np.abs(np.fft.rfftn(pm_peer.density(x, np.full(3, 0.5, np.float32), n)))[long] ** 2
    assert found.sum() / (np.abs(modes * weak)[long] ** 2).sum() == pytest.approx(1.0, abs=0.02)


def test_bands_are_those_below_half_the_nyquist_frequency() -> None:
    x = pm_peer.ours(32, 2)(pm_peer.waves(32, 0), 0)
    powers = pm_peer.band_powers(x, 32)
    assert len(powers) == 3
    assert (powers > 0).all()


def test_ours_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda name: False)
    (name, contest), *rest = peers.pm_contests(quick=True).items()
    assert (name, list(contest.makers), rest) == ("particle mesh 32^3, 4 steps", [peers.OURS], [])
    assert contest.agreement is None
    contest.makers[peers.OURS][0](3)


@pytest.mark.parametrize(("ratio", "power", "good"), [(5.0, 0.999, True), (3.0, 0.999, False), (5.0, 0.98, False)])
def test_a_row_is_good_if_power_and_speed_are(ratio: float, power: float, good: bool) -> None:
    row = {"unit": "steps/s", "rate": {peers.OURS: 7.0, "jaxpm": 1.0}, "ratio": {"jaxpm": ratio}, "bar": 4.0}
    row["power_ratio"] = {"0.02 to 0.05": power, "0.05 to 0.1": 0.999, "0.1 to 0.2": 0.98, "0.2 to 0.4": 0.9}
    assert simulators.report("pm", {"throughput": {"cases": {}}, "peers": {"particle mesh": row}}) is good

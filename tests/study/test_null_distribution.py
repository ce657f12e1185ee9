"""The study of the misspecification test's settings: what is wrong shows, what is right does not."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.inference import misspecification
from study import null_distribution
from study.null_distribution import RMS, Sets, false_alarms, main


@pytest.fixture(scope="module")
def sets() -> Sets:
    return Sets.simulated(surveys=5, maps=(600, 300))


def test_false_alarms_are_rates_at_each_amplitude(sets: Sets) -> None:
    assert sets.surveys.shape == (len(RMS), 5, null_distribution.PATCHES, sets.sizes.sum())
    rates = false_alarms(sets)
    assert rates.shape == (len(RMS),)
    assert ((rates >= 0) & (rates <= 0.8)).all()
    few = false_alarms(sets, 16)
    assert few.mean() >= rates.mean()


def test_settings_are_those_of_the_test_again_afterwards(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    names = ("NEIGHBOUR_FRACTION", "MIN_NEIGHBOURS", "DEGREE", "MAPS_PER_TERM")

    def rates(*_: object) -> np.ndarray:
        tried.append({name: getattr(misspecification, name) for name in names})
        return np.zeros(len(RMS))

    monkeypatch.setattr(null_distribution, "false_alarms", rates)
    before = {name: getattr(misspecification, name) for name in names}
    for setting in null_distribution.SETTINGS.values():
        assert all(len(rates) == len(RMS) for _, rates in setting(sets))
    assert {name: getattr(misspecification, name) for name in names} == before
    assert {one["NEIGHBOUR_FRACTION"] * len(sets.validation[1]) for one in tried} >= {50, 300}
    assert {one["DEGREE"][1] for one in tried} == {2, 4, 6}


def test_unknown_settings_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["null_distribution", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "nonsense" in capsys.readouterr().err

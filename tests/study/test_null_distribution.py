"""The study of the misspecification test's settings: what is wrong shows, what is right does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmokeras.inference import feature_model, misspecification
from study import null_distribution
from study.null_distribution import WHERE, Sets, false_alarms, main


@pytest.fixture(scope="module")
def sets() -> Sets:
    return Sets.simulated(surveys=40, maps=(600, 300))


@pytest.mark.slow
def test_false_alarms_are_rates_everywhere_and_at_the_edges(sets: Sets) -> None:
    assert sets.surveys.shape == (40, null_distribution.PATCHES, sets.sizes.sum())
    rates = false_alarms(sets)
    assert rates.shape == (len(WHERE),)
    assert min(rates[1:]) <= rates[0] <= max(rates[1:])
    assert ((rates >= 0) & (rates <= 0.8)).all()
    spoilt = replace(sets, surveys=sets.surveys + 1.0)
    assert false_alarms(spoilt)[0] > 0.9


def test_settings_are_those_of_the_test_again_afterwards(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def now() -> dict[str, object]:
        names = {"MATCHED": misspecification, "WINDOW": misspecification, "DEGREE": feature_model}
        return {name: getattr(module, name) for name, module in (names | {"MAPS_PER_TERM": feature_model}).items()}

    def rates(given: Sets, *_: object) -> np.ndarray:
        tried.append(now() | {"maps": len(given.validation[1])})
        return np.zeros(len(WHERE))

    monkeypatch.setattr(null_distribution, "false_alarms", rates)
    before = now()
    for setting in null_distribution.SETTINGS.values():
        assert all(len(rates) == len(WHERE) for _, rates in setting(sets))
    assert now() == before
    assert {one["maps"] for one in tried} == {75, 300}
    assert {one["MATCHED"] for one in tried} == {0.1, 0.25, 1.0}
    assert {one["WINDOW"] for one in tried} == {1, 2, 8}
    assert {one["DEGREE"][1] for one in tried} == {2, 4, 6}
    assert {one["MAPS_PER_TERM"] for one in tried} == {1, 8, 16}


def test_unknown_settings_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["null_distribution", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "nonsense" in capsys.readouterr().err

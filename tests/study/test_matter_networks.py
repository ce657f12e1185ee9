"""Networks on matter of other kinds: pulls of skies, which maps are shown to whom, which figures are kept."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosmokeras.common.files import write_json
from study import domain_gap, matter_networks, patches

pytestmark = pytest.mark.slow


class Claimed:
    """An estimator of skies whose combined posterior is N(mean pixel, 0.02)."""

    parameters = ("omega_m",)
    cfg = SimpleNamespace(parameter_names=("sigma8", "omega_m"))

    def combine(self, obs: np.ndarray, n: int, seed: int) -> np.ndarray:
        return obs.mean() + 0.02 * np.random.default_rng(seed).standard_normal((n, 1))


def test_a_pull_is_in_units_of_the_claimed_error() -> None:
    skies = [np.full((16, 2, 2, 1), mean) for mean in (0.30, 0.34, 0.26)]
    found = matter_networks.pulls(Claimed(), skies, np.array([[0.8, 0.3]] * 3))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [0, 2, -2], atol=0.15)  # 4,000 samples: the deviation is good to 1 %


def test_networks_see_the_same_skies_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str]] = []

    def clean(cfg: Any, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
        made.append((cfg.lensing.matter, cfg.lensing.third_moment))
        return np.zeros((len(theta) * count, 32, 32, 4), np.float32)

    def ask(est: Any, skies: list[np.ndarray], theta: np.ndarray, group: int) -> domain_gap.Answers:
        assert len(skies) == len(theta) and {len(sky) for sky in skies} == {group}
        return domain_gap.Answers(np.full(4, 0.1), np.full(4, 0.1), np.zeros(4), np.zeros(1))

    est = SimpleNamespace(cfg=patches.config("lognormal", matter_networks.QUICK))
    monkeypatch.setattr(matter_networks, "clean", clean)
    monkeypatch.setattr(domain_gap, "ask", ask)
    monkeypatch.setattr(domain_gap, "trained", lambda *args: Path())
    monkeypatch.setattr("cosmokeras.inference.estimator.Estimator.load", lambda folder: est)
    monkeypatch.setattr(matter_networks, "pulls", lambda *args: np.array([1.0, -3.0]))
    found = matter_networks.skies(matter_networks.QUICK)
    assert made == [("lognormal", "shift"), ("lognormal", "bihalofit"), ("pm", "shift")]
    assert list(found) == list(matter_networks.NETWORKS)
    assert all(tuple(row) == matter_networks.SHOWN for row in found.values())
    cell = found["pm"]["lognormal"]
    assert (cell["sky_bias"], cell["sky_rms"], cell["rmse"], cell["skies"]) == (-1, 2.2361, 0.1, 2)


def test_gains_are_those_of_evaluate_and_parts_keep_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = dict.fromkeys(matter_networks.WANTED, 1.5)

    def run_in(folder: Path, params: dict[str, Any], stages: list[str]) -> None:
        assert stages == ["evaluate"]
        assert params["prior"]["sigma8"] == [0.6, 1.0]
        metrics = {"omega_m": wanted | {"bias": 0.0}, "nll": -1.0, "n_maps": 8, "n_cosmologies": 4}
        write_json(folder / "metrics" / "evaluate.json", metrics)

    monkeypatch.setattr(matter_networks, "run_in", run_in)
    monkeypatch.setattr(domain_gap, "trained", lambda cfg: tmp_path / cfg.lensing.matter)
    metrics = tmp_path / "found.json"
    write_json(metrics, {"skies": {"pm": 1}})
    assert matter_networks.main(["gain", "--quick", "--metrics", str(metrics)]) == 0
    row = {"omega_m": wanted, "n_maps": 8, "n_cosmologies": 4}
    assert json.loads(metrics.read_text()) == {"skies": {"pm": 1}, "gain": {"lognormal": row, "pm": row}}

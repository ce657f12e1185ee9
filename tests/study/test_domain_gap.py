"""The domain-gap table: its figures, on answers that are known, and a run of the command in tiny numbers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from cosmokeras.project import changed
from study import domain_gap, gap_pictures, recorded, variants

pytestmark = pytest.mark.slow

THETA = np.array([[0.2], [0.3], [0.4]])
CELL = {"bias_sigma", "rmse_ratio", "detected", "detected_single", "maps"}


class Claimed:
    """An estimator whose answers stand in the pixels of a map: truth + pixel [0], p-value of a map in pixel [1]."""

    parameters = ("omega_m",)
    bounds = np.array([[0.1, 0.5]])
    cfg = SimpleNamespace(parameter_names=("omega_m",))

    def __init__(self, truth: np.ndarray, claimed: float) -> None:
        self.truth, self.claimed = truth, claimed

    def posterior(self, obs: np.ndarray) -> Any:
        mean = self.truth[:, None] + obs[:, 0, 0]
        return SimpleNamespace(mean=lambda: mean, std=lambda: np.full_like(mean, self.claimed))

    def surprise(self, obs: np.ndarray) -> np.ndarray:
        return obs[:, 0, 1, 0]

    def survey_surprise(self, obs: np.ndarray) -> float:
        return float(self.surprise(obs).min())


def skies(error: float, p_values: list[float]) -> list[np.ndarray]:
    """Maps of three cosmologies, as many of each as there are p-values."""
    sky = np.zeros((len(p_values), 2, 2, 1))
    sky[:, 0, 0], sky[:, 0, 1] = error, np.array(p_values)[:, None]
    return [sky] * 3


def answers(error: float, p_values: list[float], claimed: float = 0.02) -> domain_gap.Answers:
    """Of maps in groups of two."""
    truth = np.repeat(THETA[:, 0], len(p_values))
    return domain_gap.ask(Claimed(truth, claimed), skies(error, p_values), THETA, 2)


def test_a_cell_counts_bias_error_and_alarms() -> None:
    own = answers(0.02, [0.5, 0.5, 0.5, 0.5])
    # groups of two: (0.5, 0.03) is calm at 0.01, (0.5, 0.005) is not, the fifth map is in no group
    away = answers(-0.06, [0.5, 0.03, 0.5, 0.005, 0.04])
    assert own.summary(own) == {"bias_sigma": 1, "rmse_ratio": 1, "detected": 0, "detected_single": 0, "maps": 12}
    assert away.summary(own) == {
        "bias_sigma": -3, "rmse_ratio": 3, "detected": 0.5, "detected_single": 0.6, "maps": 15
    }  # fmt: skip


def test_a_claimed_error_of_nothing_is_finite() -> None:
    assert answers(0.04, [0.5, 0.5], claimed=0.0).summary(answers(0.04, [0.5, 0.5]))["bias_sigma"] == 100


def test_every_network_has_a_cell_for_each_other_kind_of_its_channels() -> None:
    tests = {name: set(domain_gap.tests(name, domain_gap.QUICK)) for name in domain_gap.NETWORKS}
    assert tests == {
        "lensing": {"gaussian", "aligned", "noisier", "unmasked", "periodic", "third_moment", "nbody"},
        "lensing_one_bin": {"2lpt", "grf"},
        "2lpt": {"zeldovich", "lensing", "grf"},
        "grf": {"lensing", "2lpt"},
    }
    channels = {name: domain_gap.config(name, domain_gap.FULL).channels for name in domain_gap.NETWORKS}
    assert channels == {"lensing": 4, "lensing_one_bin": 1, "2lpt": 1, "grf": 1}


def test_skies_spread_over_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "glass_sky", lambda cfg, theta, nside, seed: (theta[0], nside, seed))
    cfg = domain_gap.config("lensing", domain_gap.FULL)
    theta, made = domain_gap.glass(cfg, domain_gap.Effort(skies=2))
    np.testing.assert_allclose(theta, [[0.2], [0.4]])
    assert [nside for _, nside, _ in made] == [cfg.survey.nside] * 2
    assert made[0][2] != made[1][2]


def test_an_unknown_network_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        domain_gap.main(["--quick", "gfr"])
    assert "no network named gfr; there are lensing, lensing_one_bin, 2lpt, grf" in capsys.readouterr().err


def test_a_frame_tells_of_errors_that_nobody_noticed(tmp_path: Path) -> None:
    def dark_pixels(detected: float) -> int:
        bad = {"bias_sigma": 0.1, "rmse_ratio": 1.3, "detected": detected, "detected_single": 0.0, "maps": 512}
        gap_pictures.domain_gap(tmp_path / "gap.png", {"grf": {"home": bad | {"rmse_ratio": 1.0}, "lensing": bad}})
        return int((imread(tmp_path / "gap.png")[..., :3].max(axis=-1) < 0.2).sum())

    assert dark_pixels(0.44) > dark_pixels(0.55) + 3000


def run(folder: Path, *networks: str) -> dict[str, Any]:
    """The table after a quick run."""
    metrics = folder / "gap.json"
    assert domain_gap.main(["--quick", *networks, "--out", str(folder / "gap.png"), "--metrics", str(metrics)]) == 0
    return json.loads(metrics.read_text())


@pytest.mark.slow
def test_the_command_fills_a_row_and_keeps_its_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gap.json").write_text(json.dumps({"lensing": {"home": dict.fromkeys(CELL, 1.0)}}))
    table = run(tmp_path, "grf")
    assert list(table) == ["lensing", "grf"]
    assert list(table["grf"]) == ["home", "lensing", "2lpt"]
    assert all(set(cell) == CELL and np.isfinite(list(cell.values())).all() for cell in table["grf"].values())
    assert table["grf"]["home"]["rmse_ratio"] == 1
    assert len(np.unique(imread(tmp_path / "gap.png")[..., 0])) > 20

    def train_again(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(recorded, "_commit", str)  # which asks git
    monkeypatch.setattr(subprocess, "run", train_again)
    assert run(tmp_path, "grf") == table

    # outputs/model serves where it was trained with the same parameters, and only there
    cfg = domain_gap.config("grf", domain_gap.QUICK)
    model = domain_gap.trained(cfg) / "outputs" / "model"
    assert domain_gap._same(cfg, model)
    assert not domain_gap._same(changed(cfg, {"train.lr": 0.1}), model)
    assert not domain_gap._same(domain_gap.config("2lpt", domain_gap.QUICK), model)
    assert not domain_gap._same(cfg, tmp_path)

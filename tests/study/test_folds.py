"""Metrics over all folds of a suite, from numbers whose sums are known; who is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from cosmokeras.common import figure_data
from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from study import folds

MAPS, COSMOLOGIES, SIGMA = 40, 20, 0.02


def fold(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch, claimed: float = 1.0) -> np.ndarray:
    """What `evaluate` leaves behind of Gaussian posteriors that claim `claimed` times their error; the errors."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 0.4, (MAPS * COSMOLOGIES, 2))
    wrong = SIGMA * rng.standard_normal(truth.shape)
    pit = 0.5 * (1 + erf(-wrong / (claimed * SIGMA) / np.sqrt(2)))
    one = {"rmse": float(np.sqrt(np.mean(wrong**2))), "prior_rmse": 0.06, "baseline_rmse": 0.03 + 0.01 * seed}
    one["higher_order_rmse"] = 0.025
    score = {"network": 5.0 + seed, "baseline": 4.0, "higher_order": 4.5}
    (folder / "metrics").mkdir(parents=True)
    metrics = {"a": one, "b": one, "nll": -2.0 - seed, "fair_phase1": score}
    (folder / "metrics" / "evaluate.json").write_text(json.dumps(metrics))
    monkeypatch.chdir(folder)
    figure_data.save(
        "evaluate", names=("a", "b"), truth=truth, mean=truth + wrong, std=np.full_like(truth, SIGMA), pit=pit,
        credibility=rng.random(len(truth)), cosmology=np.repeat(np.arange(COSMOLOGIES), MAPS),
    )  # fmt: skip
    return wrong


def test_metrics_are_those_of_all_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = np.concatenate([fold(tmp_path / str(i), i, monkeypatch) for i in range(3)])
    found = folds.pooled([tmp_path / str(i) for i in range(3)])
    assert (found["folds"], found["cosmologies"], found["maps"]) == (3, 60, 2400)
    for j, name in enumerate(("a", "b")):
        one = found[name]
        assert one["rmse"] == pytest.approx(np.sqrt(np.mean(wrong[:, j] ** 2)), abs=1e-6)
        assert one["bias"] == pytest.approx(wrong[:, j].mean(), abs=1e-6)
        assert one["coverage_68"] == pytest.approx(0.68, abs=0.03)
        # of independent maps
        assert one["rmse_std"] == pytest.approx(SIGMA / np.sqrt(2 * 2400), rel=0.4)
        assert one["coverage_68_std"] == pytest.approx(np.sqrt(0.68 * 0.32 / 2400), rel=0.4)
        assert one["baseline_rmse"] == pytest.approx(np.sqrt(np.mean([0.03**2, 0.04**2, 0.05**2])), abs=1e-6)
    assert found["nll"] == pytest.approx(-3)
    assert found["fair_phase1"] == {"network": 6.0, "baseline": 4.0, "higher_order": 4.5}
    assert found["figure_of_merit"] == pytest.approx(SIGMA**-2, rel=0.1)
    assert found["tarp_ks_p"] > 0.01


def test_posteriors_that_claim_too_much_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold(tmp_path / "0", 0, monkeypatch, claimed=0.5)
    one = folds.pooled([tmp_path / "0"])["a"]
    assert one["coverage_68"] < 0.68 - 5 * one["coverage_68_std"]


def test_files_are_found_from_anywhere(tmp_path: Path) -> None:
    files = {"maps": ["a.npy", "/b.npy"], "parameters": "t.txt", "mask": None, "units": "kappa"}
    moved = folds.anywhere({"files": files, "data": {"kind": "files"}}, tmp_path)
    assert moved["files"] == {
        "maps": [str(tmp_path / "a.npy"), "/b.npy"], "parameters": str(tmp_path / "t.txt"), "mask": None,
        "units": "kappa",
    }  # fmt: skip
    assert moved["data"] == {"kind": "files"}


def test_only_suites_have_folds(config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"^data.kind=lensing: folds are those of simulations in files"):
        folds.folds_of(config())

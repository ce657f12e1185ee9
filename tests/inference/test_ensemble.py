"""An ensemble is calibrated, saved, judged and evaluated as one network is; how far members differ is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation import metrics
from cosmokeras.evaluation.challenge import Estimates
from cosmokeras.evaluation.metrics import epistemic
from cosmokeras.inference.calibrate import calibrate
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.models.ensemble import joined, member
from cosmokeras.params.config import Config

BOUNDS = np.array([[0.0, 1.0]])


def gaussians(u: np.ndarray, sigma: float) -> MixturePosterior:
    """Mixtures (n, K) of equal weight at means u (n, K), all as wide."""
    n, k = u.shape
    return MixturePosterior(np.full((n, k), -np.log(k)), u[..., None], np.full((n, k, 1, 1), 1 / sigma), BOUNDS)


def test_the_epistemic_spread_is_that_of_means_in_claimed_errors() -> None:
    """Near u = 0 the parameter is u / sqrt(2 pi) away from the middle: members at +-d, each of width s."""
    d, s = 0.03, 0.05
    found = epistemic(gaussians(np.tile([d, -d], (5, 1)), s), 2)
    assert found == pytest.approx([d / np.hypot(d, s)], rel=0.01)
    assert epistemic(gaussians(np.tile([d, -d, d, -d], (5, 1)), s), 2) == pytest.approx([0.0], abs=1e-9)


@pytest.mark.slow
def test_it_goes_the_way_of_one_network(
    config: Callable[..., Config], tiny: dict[str, Any], estimator: Estimator, splits: dict[str, Split],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cfg, rng = config({**tiny, "train.ensemble": 2}), np.random.default_rng(0)
    other = models.build(member(cfg, 1))
    weights = estimator.model.get_weights()
    other.set_weights([w * (1 + 0.02 * rng.standard_normal(w.shape)) for w in weights])
    calibrate(Estimator(cfg, joined(cfg, [estimator.model, other])), splits["train"], splits["validation"]).save(
        tmp_path
    )
    est = Estimator.load(tmp_path)
    middle = np.full((len(splits["test"]), 1), 0.3)
    names = ("likelihood", "network", "higher_order_likelihood", "higher_order_network")
    known = dict.fromkeys(names, Estimates(middle, np.full_like(middle, 0.1)))  # they would take longer than all else
    monkeypatch.setattr(metrics, "baseline_estimates", lambda *_: known)
    found = metrics.evaluate(est, splits["train"], splits["validation"], splits["test"])
    one = found.metrics["omega_m"]
    assert 0 < one["epistemic"] < 1
    assert one["rmse"] < 0.5 * one["prior_rmse"]
    assert 0.5 < one["coverage_68"] < 0.85
    assert est.measures is not None and est.features(found.obs).shape[1] == len(est.feature_names)
    assert 0 < est.survey_surprise(found.obs[:4]) <= 1
    assert est.combine(found.obs[:4], 500, seed=0).shape == (500, 1)

"""The card beside a trained network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.model_card import card


@pytest.mark.slow
def test_the_card_says_data_prior_errors_and_limits(estimator: Estimator) -> None:
    text = card(estimator, "outputs/model", 64, 32, {"omega_m": 0.0371})
    assert text.startswith("# omega_m from maps: grf, 32 x 32 pixels")
    for words in ("omega_m in [0.1, 0.5]", "uniform", "64 maps of 32 simulations", "omega_m 0.0371", "(n, 32, 32, 1)"):
        assert words in text, words
    assert "lognormal" not in text and "perturbation theory" not in text
    assert text.endswith("of the run\n")


@pytest.mark.slow
def test_limits_are_those_of_the_kind(estimator: Estimator) -> None:
    cfg = estimator.cfg
    lensing = replace(estimator, cfg=cfg.model_copy(update={"data": cfg.data.model_copy(update={"kind": "2lpt"})}))
    assert "perturbation theory" in card(lensing, "m", 1, 1, {})

"""Numbers and words about a sky, from made-up ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cosmokeras.evaluation.jackknife import jackknife
from cosmokeras.params.config import Config
from cosmokeras.report import inference_text, summary
from cosmokeras.report.posterior import comparison_rows
from cosmokeras.report.published import compare, published_values

NAMES = ("omega_m", "sigma8")
TRUTH = {"omega_m": 0.3, "sigma8": 0.8, "h": 0.7}


def samples() -> np.ndarray:
    return np.random.default_rng(1).multivariate_normal([0.3, 0.8], [[4e-4, -5e-4], [-5e-4, 1e-3]], 20000)


def note(observed: bool) -> dict[str, Any]:
    origin = {
        "citation": "Someone et al. 2010",
        "files": ["a.fits"],
        "steps": ["cut"],
        "mean": "that of patches is gone",
    }
    return {"source": "cosmos", "observed": observed, "truth": None if observed else TRUTH, "provenance": origin}


def metrics(observed: bool, likely: bool = True, names: tuple[str, ...] = NAMES, patches: int = 30) -> dict[str, Any]:
    """As `infer` puts them together."""
    truth = None if observed else TRUTH
    nowhere = np.full(patches, np.nan)
    x = np.random.default_rng(2).normal(0.3, 0.1, (patches, len(names) + (len(names) > 1)))
    spread = jackknife(lambda some: x[some].mean(axis=0), nowhere, nowhere)
    result = summary.summary(names, samples()[:, : len(names)], truth, spread)
    out = result | {
        "source": "cosmos",
        "observed": observed,
        "n_patches": patches,
        "surprise_p": 0.2 if likely else 1e-4,
    }
    out |= {
        "in_distribution": likely,
        "surprise_tests": {"spectra": 0.2},
        "surprise_features": {"spectrum of bin 1": 4.2},
    }
    return out | ({"compared": compare(result)} if observed else {})


REAL = {"masked_fraction": 0.25, "null_tests": {"b_excess_sigma": 1.97}}


def written(cfg: Config, observed: bool, **options: Any) -> str:
    found = metrics(observed, **options)
    return inference_text.text(note(observed), found, summary.assumptions(cfg), REAL, max_masked=0.1, threshold=0.01)


def test_what_mean_maps_are_without_is_said(config: Callable[..., Config]) -> None:
    assert "Mean of the maps: that of patches is gone (`lensing.mean`)" in written(config(), True)


def test_a_null_test_that_is_not_finite_is_null_in_the_file_and_said(config: Callable[..., Config]) -> None:
    found, real = metrics(True), {**REAL, "null_tests": {"b_excess_sigma": None, "e_excess_sigma": 2.5}}
    said = inference_text.text(note(True), found, summary.assumptions(config()), real, max_masked=0.1, threshold=0.01)
    assert "b_excess_sigma nan, e_excess_sigma 2.5" in said


def test_summary_has_s8_with_truth_and_pull() -> None:
    drawn = samples()
    found = summary.summary(NAMES, drawn, TRUTH)
    s8 = drawn[:, 1] * np.sqrt(drawn[:, 0] / 0.3)
    assert set(found) == {"omega_m", "sigma8", "S8"}
    assert found["S8"]["mean"] == pytest.approx(s8.mean(), abs=1e-6)
    assert found["S8"]["std"] == pytest.approx(s8.std(), abs=1e-6)
    assert found["S8"]["truth"] == pytest.approx(0.8)
    assert found["S8"]["pull"] == pytest.approx((s8.mean() - 0.8) / s8.std(), abs=1e-5)
    assert found["omega_m"]["q16"] == pytest.approx(np.quantile(drawn[:, 0], 0.16), abs=1e-6)
    assert set(found["omega_m"]) == {"mean", "std", "q16", "q84", "truth", "pull"}


def test_summary_of_one_parameter_has_no_s8_and_of_an_observation_no_truth() -> None:
    found = summary.summary(("omega_m",), samples()[:, :1], None)
    assert set(found) == {"omega_m"}
    assert set(found["omega_m"]) == {"mean", "std", "q16", "q84"}


def test_jackknife_stands_beside_std() -> None:
    found = metrics(observed=False)
    for name in (*NAMES, "S8"):
        assert found[name]["jackknife_std"] > 0
        assert np.isfinite(found[name]["jackknife_max_pull"])
    assert "jackknife_std" not in metrics(observed=False, patches=7)["omega_m"]


def test_a_mock_is_beside_its_truth_only_and_a_sky_beside_published_values() -> None:
    result = {name: m for name, m in metrics(observed=True).items() if name in (*NAMES, "S8")}
    assert {len(rows) for rows in comparison_rows(result, observed=False).values()} == {1}
    rows = comparison_rows(result, observed=True)
    assert {name: len(some) for name, some in rows.items()} == {"omega_m": 8, "sigma8": 1, "S8": 11}
    label, value, down, up = rows["S8"][0]
    assert label == "this work"
    assert value - down == pytest.approx(result["S8"]["q16"])
    assert value + up == pytest.approx(result["S8"]["q84"])


def test_the_text_says_what_was_observed_assumed_and_found(config: Callable[..., Config]) -> None:
    cfg = config({"prior.sigma8": [0.6, 1.0], "prior.h": [0.6, 0.8]})
    words = written(cfg, observed=True)
    assert "an observation" in words and "Someone et al. 2010" in words and "`a.fits`" in words
    assert "30 patches" in words and "25.0% masked" in words and "left out if more than 10% is masked" in words
    assert "omega_m in [0.1, 0.5], sigma8 in [0.6, 1]" in words
    assert "Marginalised, with a uniform prior: h in [0.6, 0.8]" in words
    assert "n_s = 0.965" in words and "Survey des_y3" in words and "lognormal" in words
    assert "b_excess_sigma 1.97" in words and "Jack-knife" in words and "68 % between" in words
    for one in published_values():
        assert one.citation in words
    assert "truth" not in words
    assert "degenerate at constant S8" in words and "published analyses vary" in words
    assert len(words.splitlines()) < 70


def test_a_mock_is_called_one(config: Callable[..., Config]) -> None:
    words = written(config(), observed=False, names=("omega_m",))
    assert "a simulation, not an observation" in words and "says nothing about the universe" in words
    assert "truth is 0.3000" in words
    assert not any(one.citation in words for one in published_values())
    assert "if sigma8 were 1 % higher" in words  # it is fixed
    assert "Marginalised, with a uniform prior: nothing" in words


def test_nuisances_and_single_bins(config: Callable[..., Config]) -> None:
    cfg = config({"prior.a_ia": [-2, 2], "prior.delta_z": [-0.03, 0.03]})
    words = written(cfg, observed=True, names=("omega_m",))
    assert "Marginalised, with a uniform prior: a_ia in [-2, 2], delta_z in [-0.03, 0.03]" in words
    assert "Nuisances are fixed (eta_ia, m_bias, baryons)" in words
    assert ", a_ia = " not in words


def test_the_systematic_error_stands_beside_the_statistical_one(config: Callable[..., Config]) -> None:
    found = metrics(True, names=("omega_m",))
    found["systematic"] = {"omega_m": {"error": 0.0312, "a_ia": -0.024, "m_bias": 0.003}}
    words = inference_text.text(note(True), found, summary.assumptions(config()), REAL, max_masked=0.1, threshold=0.01)
    m = found["omega_m"]
    assert f"**omega_m = {m['mean']:.4f} +- {m['std']:.4f} (statistical) +- 0.0312 (fixed nuisances)**" in words
    assert "Their uncertainties add +-0.0312 to omega_m, in quadrature: a_ia -0.0240, m_bias +0.0030" in words
    assert "m_bias +-0.008, DES Y3" in words and "MacCrann et al. 2022" in words
    assert "$(cat experiments/nuisances.txt)" in words
    assert "(statistical)" not in written(config(), True, names=("omega_m",))


def test_a_surprising_sky_is_said_so_with_what_is_off(config: Callable[..., Config]) -> None:
    words = written(config(), observed=True, likely=False, names=("omega_m",), patches=3)
    assert "should not be quoted" in words and "extrapolation" in words
    assert "p = 0.0001, below the threshold 0.01" in words
    assert "spectrum of bin 1 (+4.2 sigma)" in words
    assert "Too few patches" in words
    assert "should not be quoted" not in written(config(), observed=True, names=("omega_m",))


def test_other_kinds_have_no_survey_and_no_lensing(config: Callable[..., Config]) -> None:
    words = written(config({"data.kind": "grf"}), observed=False, names=("omega_m",))
    assert "Survey" not in words and "sigma8" not in words and "Gaussian fields" in words

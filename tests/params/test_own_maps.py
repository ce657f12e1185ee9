"""Whether own maps are observed, and the truth of simulated ones: what may be said, and where it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import noise_sigma
from cosmokeras.params.config import Config
from cosmokeras.params.own_maps import stated
from cosmokeras.report import inference_text, posterior, summary
from cosmokeras.surveys import fetch
from cosmokeras.surveys.sky import nature
from stages import fetch_real

OWN = {"real.source": "array", "real.path": "kappa.npy", "real.pixel_arcmin": 5.0}


@pytest.mark.parametrize(
    ("observed", "kind", "words"),
    [(None, "unknown", "maps given by the user"), (True, "observed", "an observation"), (False, "simulated", "a sim")],
)
def test_own_maps_are_what_is_stated(
    config: Callable[..., Config], tmp_path: Path, observed: bool | None, kind: str, words: str
) -> None:
    cfg = config(OWN | {"real.path": str(tmp_path / "kappa.npy"), "real.observed": observed})
    maps = np.random.default_rng(0).standard_normal((64, 64, 4)) * noise_sigma(cfg)
    np.save(tmp_path / "kappa.npy", maps)
    sky = fetch(cfg)
    assert sky.observed is observed and sky.truth is None and sky.provenance["kind"] == kind
    note = {"source": sky.name, "observed": sky.observed, "provenance": sky.provenance}
    assert nature(note).startswith(words)


def test_a_truth_makes_maps_simulated(config: Callable[..., Config]) -> None:
    own = stated(config(OWN | {"real.truth": {"omega_m": 0.27, "S8": 0.78}}))
    assert own.observed is False and own.kind == "simulated"
    assert own.truth == pytest.approx({"omega_m": 0.27, "S8": 0.78, "sigma8": 0.78 / np.sqrt(0.9)})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"real.truth": {"Omega_m": 0.3}}, "'Omega_m' is no parameter; allowed: omega_m, .*S8"),
        ({"real.truth": {"omega_m": 3.0}}, "omega_m=3 must lie within 0.05 to 0.95"),
        ({"real.truth": {"omega_m": 0.3, "S8": 0.1}}, r"sigma8=0.1 \(from S8\) must lie within"),
        ({"real.truth": {"omega_m": 0.3, "sigma8": 0.8, "S8": 0.7}}, "S8=0.7, but .* = 0.8"),
        ({"real.truth": {"omega_m": "0.3"}}, "real.truth.omega_m='0.3'"),
        ({"real.truth": {"omega_m": float("nan")}}, "finite"),
        ({"real.truth": {"delta_z_5": 0.0}}, "'delta_z_5' is no parameter"),
        ({"real.truth": {}}, "names no parameter"),
        ({"real.truth": [0.3]}, "real.truth="),
        ({"real.truth": {"omega_m": 0.3}, "real.observed": True}, "the truth of a sky is not known"),
        ({"real.observed": "yes"}, "real.observed='yes'"),
    ],
)
def test_what_cannot_be_true_is_refused(config: Callable[..., Config], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config(OWN | keys)
    assert "\n" not in str(caught.value)


def test_published_maps_say_themselves_what_they_are(config: Callable[..., Config]) -> None:
    for keys in ({"real.truth": {"omega_m": 0.3}}, {"real.observed": True}, {"real.observed": False}):
        with pytest.raises(UserError, match="only for maps of your own"):
            config(keys)
    cubes = {"data.kind": "2lpt", "real.source": "quijote", "real.path": "cubes"}
    with pytest.raises(UserError, match="the maps of real.source=quijote are simulated"):
        config(cubes | {"real.observed": True})
    assert stated(config(cubes | {"real.truth": {"omega_m": 0.3175}})).truth == {"omega_m": 0.3175}


def test_the_stage_writes_the_truth_and_nothing_where_nobody_says(
    params: Path, tmp_path: Path, lensing: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from argparse import Namespace

    monkeypatch.chdir(tmp_path)
    np.save("kappa.npy", np.random.default_rng(0).standard_normal((64, 64, 4)) * noise_sigma(lensing))
    for truth in (None, {"omega_m": 0.3}):
        raw = yaml.safe_load(params.read_text())
        raw["real"] |= {"source": "array", "path": "kappa.npy", "pixel_arcmin": 5.0, "truth": truth}
        params.write_text(yaml.safe_dump(raw))
        fetch_real.main(Namespace(params=params))
        metrics = json.loads(Path("metrics/real.json").read_text())
        assert metrics["observed"] is (None if truth is None else False)
        assert metrics.get("truth") == truth
        assert json.loads(Path("outputs/real/provenance.json").read_text())["truth"] == truth


def test_pulls_are_of_the_parameters_that_the_truth_holds() -> None:
    samples = np.random.default_rng(0).normal([0.3, 0.8], 0.02, (1000, 2))
    found = summary.summary(("omega_m", "sigma8"), samples, {"omega_m": 0.26})
    assert found["omega_m"]["pull"] == pytest.approx(2, abs=0.15)
    assert "pull" not in found["sigma8"] and "truth" not in found["S8"]
    both = summary.summary(("omega_m", "sigma8"), samples, {"S8": 0.8})
    assert "pull" not in both["omega_m"] and both["S8"]["truth"] == 0.8


def test_maps_of_which_nobody_says_are_compared_with_nothing() -> None:
    words = inference_text._comparison(["omega_m"], {"observed": None})
    assert "real.observed: true" in words and "Planck" not in words
    metrics = {"observed": None, "in_distribution": True}
    note: dict[str, Any] = {"observed": None}
    lines = inference_text.caveats(note, metrics, {"fixed": {}, "free": {}, "kind": "lensing", "head": "posterior"})
    assert not any("simulated sky" in line for line in lines)
    assert posterior.comparison_rows({"omega_m": {"mean": 0.3, "q16": 0.28, "q84": 0.32}}, None)["omega_m"][1:] == []

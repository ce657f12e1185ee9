"""A new simulator is one file and one line of the registry: a toy goes through generate, train and evaluate."""

from __future__ import annotations

import json
import textwrap
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from cosmokeras.params import registry
from cosmokeras.project import load_params

TOY = '''
"""White noise whose variance is Omega_m: the least that a simulator is."""

import numpy as np

LABELS = ("k [1/pixel]", "P(k)")


def prepare(cfg, progress=False):
    return None


def maps(cfg, prepared, theta, draw, count):
    shape = (cfg.data.size, cfg.data.size, 1)
    sigma = np.sqrt(cfg.cosmology(theta)["omega_m"])
    return np.stack([draw(r).standard_normal(shape) * sigma for r in range(count)]).astype(np.float32)


def spectrum(cfg, theta, k):
    return np.stack([np.full((1, len(k)), cfg.cosmology(row)["omega_m"]) for row in theta])
'''
LINE = registry.Kind("toy_simulator", ("omega_m",), "plain", True, "white noise")


@pytest.mark.slow
def test_a_toy_goes_through_all_stages(params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_simulator.py").write_text(textwrap.dedent(TOY))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.KINDS, "toy", LINE)
    raw = yaml.safe_load(params.read_text())
    raw["data"] |= {"kind": "toy", "size": 32, "n_cosmologies": 400, "realisations": 2, "validation": 60, "test": 100}
    raw["model"] |= {"width": 4, "spectrum_bins": 6}
    raw["train"] |= {"epochs": 8, "batch_size": 32}
    raw["evaluate"] |= {"samples": 200, "spectrum_bins": 6}
    params.write_text(yaml.safe_dump(raw))
    assert load_params(params).kind.unit == "white noise"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))

    from stages import evaluate, fetch_real, generate, infer, plots, train

    generate.main(Namespace(params=str(params), workers=1, part=""))
    for stage in (fetch_real, train, evaluate, infer, plots):
        stage.main(Namespace(params=str(params), work_only=False, only=None))
    made = json.loads((tmp_path / "metrics" / "generate.json").read_text())
    assert made["maps"] == 1120
    assert made["spectrum_ratio"] == pytest.approx(1, abs=0.02)
    found = json.loads((tmp_path / "metrics" / "evaluate.json").read_text())["omega_m"]
    # variances of 1024 pixels say Omega_m within sqrt(2 / 1024) = 4.4 %, 0.013 on average
    assert found["rmse"] < 0.3 * found["prior_rmse"]
    assert "limit_rmse" not in found
    inferred = json.loads((tmp_path / "metrics" / "infer.json").read_text())
    assert abs(inferred["omega_m"]["pull"]) < 5

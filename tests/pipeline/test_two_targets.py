"""Two targets through the stages: `evaluate` says the figure of merit and the score of the challenge."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.shared import Program


@pytest.mark.slow
def test_evaluate_scores_two_targets(
    params: Path, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = yaml.safe_load(params.read_text())
    raw["prior"]["sigma8"] = [0.6, 1.0]
    raw["data"] |= {"size": 32, "n_cosmologies": 60, "realisations": 2, "validation": 20, "test": 20}
    raw["lensing"]["survey"] = "hsc_y3_fair"
    raw["model"] |= {"width": 4, "components": 2, "spectrum_bins": 6}
    raw["train"] |= {"epochs": 2, "batch_size": 16}
    raw["evaluate"] |= {"samples": 100, "spectrum_bins": 6}
    params.write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))
    for stage in ("generate", "train", "evaluate"):
        ended = program(tmp_path, f"stages.{stage}")
        assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "metrics" / "evaluate.json").read_text())
    assert set(found["figure_of_merit"]) == {"omega_m_S8", "omega_m_sigma8"}
    for analysis in ("network", "baseline", "higher_order"):
        merits = [pair[analysis] for pair in found["figure_of_merit"].values()]
        # more than the prior's, whose widths are 0.4 / sqrt(12), and no more than 30 times that
        assert all(0.5 < merit * 0.4**2 / 12 < 30 for merit in merits[1:])
        assert np.isfinite(found["fair_phase1"][analysis])
    score = found["fair_phase1"]
    stated = re.search(
        r"^FAIR-Universe phase-1 score (\S+) \(power spectrum (\S+), with l1-norm (\S+)\)$", ended.out, re.M
    )
    assert stated, ended.out
    assert [float(one) for one in stated.groups()] == pytest.approx(list(score.values()), abs=6e-4)
    assert re.search(
        rf"^omega_m_S8: figure of merit {found['figure_of_merit']['omega_m_S8']['network']:.4g} ", ended.out, re.M
    )

"""The study of the nodes of posteriors: too few are seen to be too few."""

from __future__ import annotations

import pytest

from cosmokeras.evaluation import limits
from study import posterior_nodes
from study.posterior_nodes import of_grid, of_likelihood, parameters, simulated


def test_coarse_grids_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posterior_nodes, "SIZE", 32)
    monkeypatch.setattr(posterior_nodes, "TRAINING", 200)
    cfg = parameters(1)
    maps, theta = simulated(cfg, 6, 0)
    assert maps.shape == (6, 32, 32, 1)
    assert theta.shape == (6, 1)
    assert of_grid(cfg, maps) < 1e-3
    assert of_likelihood(cfg, maps) < 0.05
    before = dict(limits.NODES)
    monkeypatch.setitem(limits.NODES, 1, 4)
    assert of_grid(cfg, maps) > 0.05
    assert before | {1: 4} == limits.NODES

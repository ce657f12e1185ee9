"""Predicted skewness of convergence: known limits, nuisances, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.theory import kappa_skewness, skewness

WIDE = np.array([5.0, 10.0])


@pytest.fixture(scope="module")
def plain(lensing: Config) -> np.ndarray:
    return kappa_skewness(lensing, np.array([0.3]), WIDE)


def test_nearer_sources_and_finer_maps_are_more_skewed(plain: np.ndarray) -> None:
    assert plain.shape == (1, 4, 2)
    assert (np.diff(plain, axis=1) < 0).all()
    assert (np.diff(plain, axis=2) < 0).all()


def test_is_that_of_an_independent_calculation(lensing: Config, plain: np.ndarray) -> None:
    """By a coarser quadrature that shares no code, at 5 arcmin; within 6 %, and 13 % in bin 4 at other Omega_m."""
    assert plain[0, :, 0] == pytest.approx([2.57, 1.72, 1.17, 0.91], rel=0.06)
    ends = kappa_skewness(lensing, np.array([[0.12], [0.48]]), WIDE[:1])[:, 3, 0]
    assert ends == pytest.approx([1.35, 0.88], rel=0.13)
    assert ends[0] > 1.2 * ends[1]


def test_nodes_are_enough(lensing: Config, plain: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skewness, "NODES", 40)
    assert kappa_skewness(lensing, np.array([0.3]), WIDE) == pytest.approx(plain, rel=2e-3)


@pytest.mark.slow
def test_shear_bias_divides_out_and_scale_does_not(config: Callable[..., Config], plain: np.ndarray) -> None:
    """<kappa^3> / <kappa^2>^(3/2) of (1 + m) kappa is the same."""
    biased = kappa_skewness(config({"prior.m_bias": 0.2}), np.array([0.3]), WIDE)
    assert biased == pytest.approx(plain, rel=1e-9)
    aligned = kappa_skewness(config({"prior.a_ia": 2.0}), np.array([0.3]), WIDE)
    assert np.abs(aligned / plain - 1).max() > 0.02


def test_baryons_change_it_little(config: Callable[..., Config], plain: np.ndarray) -> None:
    """Third over squared second moment stays, so that skewness falls with the rms, by less than 10 %."""
    found = kappa_skewness(config({"prior.baryons": 1.0}), np.array([0.3]), WIDE)
    assert (found < 0.99 * plain).all()
    assert found == pytest.approx(plain, rel=0.1)


def test_refusals(lensing: Config, config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match="smoothing_arcmin"):
        kappa_skewness(lensing, np.array([0.3]), np.array([0.0]))
    with pytest.raises(UserError, match=r"data\.kind=grf"):
        kappa_skewness(config({"data.kind": "grf"}), np.array([0.3]), WIDE)

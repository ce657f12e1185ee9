"""BBKS by hand, the prior, and the theory table against fresh calls of CCL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.theory.bbks import bbks_power, bbks_transfer

OMEGA_M = np.random.default_rng(5).uniform(0.1, 0.5, 4)


def test_bbks_transfer_is_1_on_large_scales() -> None:
    # T = 1 - (2.34 / 2 + 3.89 / 4) q + O(q^2)
    q = np.array([0.0, 1e-9, 1e-7, 1e-6, 1e-5])
    assert bbks_transfer(q) == pytest.approx(1 - (1.17 + 0.9725) * q, abs=1e-7)
    assert bbks_transfer(0.0) == 1.0


def test_bbks_transfer_by_hand() -> None:
    # q = 1: ln(3.34) / 2.34 = 0.515372; 1 + 3.89 + 259.21 + 162.7713 + 2027.1696 = 2454.0409, ^(-1/4) = 0.142079
    assert bbks_transfer(1.0) == pytest.approx(0.0732235, rel=1e-5)
    # q = 0.1: ln(1.234) / 0.234 = 0.898551; 1 + 0.389 + 2.5921 + 0.162771 + 0.202717 = 4.346588, ^(-1/4) = 0.692569
    assert bbks_transfer(0.1) == pytest.approx(0.622308, rel=1e-5)


def test_bbks_transfer_falls_as_log_q_over_q_squared_on_small_scales() -> None:
    q = np.array([1e4, 1e5])
    assert bbks_transfer(q) == pytest.approx(np.log(2.34 * q) / (2.34 * q) / (6.71 * q), rel=1e-3)


def test_bbks_power_peaks_further_in_for_less_matter() -> None:
    k = np.geomspace(1e-3, 1, 3000)
    peaks = [k[bbks_power(k, omega_m, 0.7, 0.965).argmax()] for omega_m in (0.15, 0.3, 0.45)]
    # the spectrum is a function of q = k / (Omega_m h) times a power law: peaks are at one q
    assert np.array(peaks) / [0.15, 0.3, 0.45] == pytest.approx(peaks[1] / 0.3, rel=0.01)
    assert bbks_power(np.array([0.0]), 0.3, 0.7, 0.965) == [0.0]
    assert bbks_power(0.05, 0.3, 0.7, 0.9) == pytest.approx(0.05**0.9 * bbks_transfer(0.05 / 0.21) ** 2)


def test_sample_prior_is_uniform_in_the_box(config: Callable[..., Config]) -> None:
    cfg = config({"prior.sigma8": [0.6, 1.0], "prior.w0": [-1.5, -0.5]})
    theta = sample_prior(cfg, 500, seed=3)
    assert theta.shape == (500, 3)
    low, high = cfg.bounds.T
    assert (theta >= low).all()
    assert (theta <= high).all()
    unit = (theta - low) / (high - low)
    for column in unit.T:
        # a Sobol sequence is more even than independent draws, whose distance would be about 0.04
        assert kstest(column, "uniform").statistic < 0.02
    assert np.abs(np.corrcoef(unit.T) - np.eye(3)).max() < 0.05


def test_sample_prior_follows_the_seed_alone(lensing: Config) -> None:
    first = sample_prior(lensing, 100, seed=3)
    assert (first == sample_prior(lensing, 100, seed=3)).all()
    assert not np.isin(first, sample_prior(lensing, 100, seed=4)).any()
    assert sample_prior(lensing, 1, seed=3).shape == (1, 1)


def test_single_draws_are_uniform_over_seeds(lensing: Config) -> None:
    draws = np.concatenate([sample_prior(lensing, 1, seed)[:, 0] for seed in range(400)])
    assert kstest((draws - 0.1) / 0.4, "uniform").pvalue > 1e-3

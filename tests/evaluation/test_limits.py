"""The exact posterior of Gaussian fields: known errors, calibration, symmetries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from cosmokeras.common.errors import UserError
from cosmokeras.evaluation import limits
from cosmokeras.evaluation.limits import exact_mean, exact_posterior
from cosmokeras.inference.posterior import prior_rmse
from cosmokeras.params.config import Config

MAPS = 2000
# Errors of the posterior mean and of the prior mean, 64^2 pixels, L = 256 Mpc/h, h 0.7, n_s 0.965; each to 2 %.
KNOWN = {(0.2, 0.4): (0.0252, 0.0577), (0.1, 0.5): (0.0273, 0.1155)}


@pytest.fixture(scope="module", params=list(KNOWN))
def problem(request, config: Callable[..., Config], make_split) -> tuple[Config, np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, truth (n,), grid (nodes,) and posterior (n, nodes) of many maps."""
    cfg = config({"data.kind": "grf", "data.size": 64, "prior.omega_m": list(request.param)})
    split = make_split(cfg, MAPS, 1, 0)
    grid, probability = exact_posterior(cfg, split.arrays[0])
    return cfg, split.theta[:, 0], grid[:, 0], probability


def test_error_is_the_known_limit(problem) -> None:
    cfg, truth, grid, probability = problem
    limit, prior = KNOWN[tuple(cfg.bounds[0])]
    mean = probability @ grid
    # the mean posterior variance is the mean square error, with a fifth of its scatter
    expected = np.sqrt(np.mean(probability @ grid**2 - mean**2))
    assert expected == pytest.approx(limit, rel=0.02)
    # 2.5 standard errors of a root mean square over 2000 maps
    assert np.sqrt(np.mean((mean - truth) ** 2)) == pytest.approx(expected, rel=0.04)
    assert prior_rmse(cfg.bounds) == pytest.approx([prior], rel=0.001)


def test_posterior_is_normalised_inside_the_box(problem) -> None:
    cfg, _, grid, probability = problem
    assert (probability >= 0).all()
    assert probability.sum(axis=1) == pytest.approx(np.ones(MAPS), abs=1e-10)
    low, high = cfg.bounds[0]
    assert len(grid) >= 400
    assert low < grid[0] < low + 0.001
    assert high - 0.001 < grid[-1] < high


def test_posterior_is_calibrated(problem) -> None:
    """The distribution function at the truth is uniform; a posterior 20 % too narrow is told apart."""
    _, truth, grid, probability = problem

    def p_value(posterior: np.ndarray) -> float:
        below = np.cumsum(posterior, axis=1) - posterior / 2
        pit = [np.interp(t, grid, one / one[-1]) for t, one in zip(truth, below, strict=True)]
        return kstest(pit, "uniform").pvalue

    assert p_value(probability) > 0.05
    narrow = probability ** (1 / 0.8**2)
    assert p_value(narrow / narrow.sum(axis=1, keepdims=True)) < 1e-3


def test_scale_and_offset_of_a_map_do_not_matter(grf: Config, make_split) -> None:
    maps = make_split(grf, 8, 1, 3).arrays[0].astype(float)
    plain = exact_posterior(grf, maps)[1]
    for other in (1e-6 * maps, 1e6 * maps, -maps, maps + 3 * maps.std(), np.roll(maps, (5, 9), axis=(1, 2))):
        assert exact_posterior(grf, other)[1] == pytest.approx(plain, abs=1e-9)
    assert np.abs(exact_posterior(grf, np.roll(maps, 1, axis=0))[1] - plain).max() > 1e-3


def test_few_maps_at_a_time_are_as_good_as_all(grf: Config, make_split, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = make_split(grf, 10, 1, 5).arrays[0]
    grid, together = exact_posterior(grf, maps)
    monkeypatch.setattr(limits, "CHUNK", 3 * max(len(grid), 32**2))
    assert exact_posterior(grf, maps)[1] == pytest.approx(together, abs=1e-12)
    assert exact_mean(grf, maps) == pytest.approx(together @ grid)


@pytest.mark.slow
def test_two_free_parameters(config: Callable[..., Config], tiny, make_split) -> None:
    """The spectrum depends on omega_m h alone, and so does the posterior."""
    cfg = config({**tiny, "prior.h": [0.5, 0.9]})
    split = make_split(cfg, 64, 1, 4)
    grid, probability = exact_posterior(cfg, split.arrays[0])
    assert grid.shape[1] == 2
    assert probability.sum(axis=1) == pytest.approx(np.ones(64))
    mean = exact_mean(cfg, split.arrays[0])
    assert mean == pytest.approx(probability @ grid)
    error = np.sqrt(np.mean((mean - split.theta) ** 2, axis=0))
    assert error[0] < 0.8 * prior_rmse(cfg.bounds)[0]
    assert error[1] < 1.1 * prior_rmse(cfg.bounds)[1]
    covariance = [np.cov(grid.T, aweights=one)[0, 1] for one in probability]
    assert np.mean(np.array(covariance) < 0) > 0.9
    order = np.argsort(grid.prod(axis=1))
    gamma, along = grid.prod(axis=1)[order], probability[:, order]
    twins = np.flatnonzero(np.diff(gamma) < 1e-12)
    assert len(twins) > 100
    assert along[:, twins + 1] == pytest.approx(along[:, twins], rel=1e-6)


def test_lensing_is_refused(lensing: Config) -> None:
    with pytest.raises(UserError, match="data.kind=lensing") as caught:
        exact_posterior(lensing, np.zeros((1, 64, 64, 4)))
    assert "\n" not in str(caught.value)

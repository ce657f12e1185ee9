"""Several networks as one: its density is the mean of theirs, and all that is asked of a network can be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.ensemble import joined, member
from cosmokeras.models.heads import head_of
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.training.start import take_weights

COUNT = 3
TWO_TARGETS = {"prior.n_s": [0.9, 1.0], "data.targets": ["omega_m", "n_s"]}
Made = tuple[Config, list[keras.Model], keras.Model, np.ndarray]


@pytest.fixture(scope="module", params=[{}, TWO_TARGETS], ids=["1 target", "2 targets"])
def made(request: pytest.FixtureRequest, config: Callable[..., Config], tiny: dict[str, Any]) -> Made:
    """Parameters, members, the ensemble, and maps."""
    cfg = config({**tiny, **request.param, "train.ensemble": COUNT})
    rng = np.random.default_rng(0)
    nets = []
    for number in range(COUNT):
        keras.utils.set_random_seed(number)
        nets.append(models.build(member(cfg, number)))
        nets[-1].set_weights([w + 0.05 * rng.standard_normal(w.shape) for w in nets[-1].get_weights()])
    maps = rng.standard_normal((9, cfg.data.size, cfg.data.size, cfg.channels)).astype(np.float32)
    return cfg, nets, joined(cfg, nets), maps


def posteriors(made: Made) -> tuple[list[MixturePosterior], MixturePosterior]:
    """Of each member by itself, and of the ensemble."""
    cfg, nets, whole, maps = made
    one = member(cfg, 0)
    each, all_of_them = [Estimator(one, net).posterior(maps) for net in nets], Estimator(cfg, whole).posterior(maps)
    assert isinstance(all_of_them, MixturePosterior)
    return [post for post in each if isinstance(post, MixturePosterior)], all_of_them


@pytest.mark.slow
def test_the_density_is_the_mean_of_those_of_the_members(made: Made) -> None:
    each, whole = posteriors(made)
    theta = sample_prior(made[0], 16, 0)[:9, made[0].target_columns]
    mean = np.log(np.mean([np.exp(one.log_prob(theta)) for one in each], axis=0))
    assert whole.log_prob(theta) == pytest.approx(mean, abs=1e-4)  # single precision of the outputs
    assert whole.mean() == pytest.approx(np.mean([one.mean() for one in each], axis=0), abs=1e-6)
    second = np.mean([one.std() ** 2 + one.mean() ** 2 for one in each], axis=0)
    # its own quadrature is good to half a per cent for components as wide as those of untrained networks
    assert whole.std() == pytest.approx(np.sqrt(second - whole.mean() ** 2), rel=0.01)
    drawn = whole.sample(20_000, seed=0)
    assert np.all(np.abs(drawn.mean(axis=1) - whole.mean()) < 5 * whole.std() / np.sqrt(20_000))


@pytest.mark.slow
def test_members_are_found_in_it_again(made: Made) -> None:
    each, whole = posteriors(made)
    for one, again in zip(each, whole.members(COUNT), strict=True):
        assert again.mean() == pytest.approx(one.mean(), abs=1e-6)
        assert again.log_weights == pytest.approx(one.log_weights, abs=1e-5)


@pytest.mark.slow
def test_summaries_stand_side_by_side(made: Made) -> None:
    cfg, nets, whole, maps = made
    one = member(cfg, 0)
    beside = np.hstack([Estimator(one, net).summaries(maps) for net in nets])
    assert np.allclose(Estimator(cfg, whole).summaries(maps), beside, atol=1e-5)


@pytest.mark.slow
def test_a_saved_ensemble_is_read_again(made: Made, tmp_path: Path) -> None:
    cfg, nets, whole, maps = made
    Estimator(cfg, whole).save(tmp_path)
    again = Estimator.load(tmp_path)
    assert np.array_equal(again.mean(maps), Estimator(cfg, whole).mean(maps))
    assert again.model.count_params() == sum(net.count_params() for net in nets)
    assert again.model.output_shape[1] == head_of(cfg).outputs == models.build(cfg).output_shape[1]
    assert again.model.get_layer(SUMMARY) is not None
    with pytest.raises(UserError, match="an ensemble"):
        take_weights(models.build(member(cfg, 0)), tmp_path)


@pytest.mark.slow
def test_points_are_averaged(config: Callable[..., Config], tiny: dict[str, Any]) -> None:
    cfg = config({**tiny, "train.ensemble": 2, "model.head": "mse"})
    nets = [models.build(member(cfg, number)) for number in range(2)]
    maps = np.random.default_rng(1).standard_normal((4, cfg.data.size, cfg.data.size, cfg.channels)).astype(np.float32)
    est = Estimator(cfg, joined(cfg, nets), errors=np.ones(1))
    single = [Estimator(member(cfg, 0), net, errors=np.ones(1)).posterior(maps) for net in nets]
    each = [one.points for one in (est.posterior(maps), *single) if isinstance(one, PointPosterior)]
    assert each[0] == pytest.approx(np.mean(each[1:], axis=0), rel=1e-5)


def test_the_first_member_is_the_network_of_that_seed(config: Callable[..., Config], tiny: dict[str, Any]) -> None:
    cfg = config({**tiny, "train.ensemble": 4, "train.seed": 7})
    seeds = [member(cfg, number).train.seed for number in range(4)]
    assert seeds[0] == 7 and len(set(seeds)) == 4 and max(seeds) < 2**31
    assert seeds == [member(cfg, number).train.seed for number in range(4)]
    assert {member(cfg, number).train.ensemble for number in range(4)} == {1}
    other = config({**tiny, "train.ensemble": 4, "train.seed": 8})
    assert not set(seeds) & {member(other, number).train.seed for number in range(4)}

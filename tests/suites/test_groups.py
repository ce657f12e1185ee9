"""Simulations are divided, and never their maps: a network that remembers simulations is not rewarded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import Split, open_split
from cosmokeras.params.config import Config
from cosmokeras.suites.groups import in_order
from cosmokeras.suites.opening import open_suite
from tests.suites.conftest import SIZES

SEEDS = range(5)
PLAIN = {
    "noise": "none", "pixel_arcmin": None, "split": None, "units": "arbitrary", "columns": {"omega_m": 0},
    "parameters": "table.npy", "channels": 1,
}  # fmt: skip


@pytest.fixture
def remembered(folder: Path) -> Path:
    """Stand-in maps (48, 6, 32, 32): of each simulation a pattern of its own, which says nothing of its parameter."""
    rng = np.random.default_rng(3)
    patterns = rng.standard_normal((48, 1, 32, 32))
    np.save(folder / "maps.npy", (patterns + 0.5 * rng.standard_normal((48, 6, 32, 32))).astype(np.float32))
    np.save(folder / "table.npy", rng.uniform(0.1, 0.5, (48, 1)))
    return folder


def nearest(training: Split, test: Split) -> np.ndarray:
    """Parameter of the training map that is most like each test map: pure memory."""
    known = training.read(np.arange(len(training))).reshape(len(training), -1)
    asked = test.read(np.arange(len(test))).reshape(len(test), -1)
    return training.theta[np.argmax(asked @ known.T, axis=1), 0]


def relative_rmse(training: Split, test: Split) -> float:
    """Error of memory over the scatter of the test parameters."""
    return float(np.std(nearest(training, test) - test.theta[:, 0]) / np.std(test.theta[:, 0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_simulation_is_in_two_splits(seed: int, remembered: Path, suite: Callable[..., Config]) -> None:
    own = open_suite(suite({"data.seed": seed, "data.realisations": 6}, **PLAIN))
    groups = {split: set(own.group[own.stored(numbers)]) for split, numbers in own.chosen.items()}
    assert {split: len(some) for split, some in groups.items()} == SIZES
    assert not groups["train"] & groups["validation"]
    assert not (groups["train"] | groups["validation"]) & groups["test"]
    for numbers in own.chosen.values():
        assert (np.unique(own.group[own.stored(numbers)], return_counts=True)[1] == 6).all()  # whole ones


def test_memory_is_not_rewarded_and_a_leak_is_seen(remembered: Path, suite: Callable[..., Config]) -> None:
    cfg = suite({"data.realisations": 6}, **PLAIN)
    generate(cfg, remembered / "simulations", 1, progress=False)
    training, test = (open_split(cfg, remembered / "simulations", name) for name in ("train", "test"))
    assert relative_rmse(training, test) > 0.9  # as bad as guessing
    # the same maps divided one by one, as they must not be
    rng, both = np.random.default_rng(1), (training, test)
    maps = np.concatenate([one.read(np.arange(len(one))) for one in both])
    theta = np.concatenate([one.theta for one in both])
    order = rng.permutation(len(maps))
    leaking = [
        Split([maps[some]], np.array([0]), theta[some], np.arange(len(some))) for some in (order[:-48], order[-48:])
    ]
    assert relative_rmse(*leaking) < 0.1  # far too good


def test_maps_with_one_cosmology_are_one_simulation_whatever_their_nuisances(
    remembered: Path, suite: Callable[..., Config]
) -> None:
    """As those of FAIR-Universe, whose baryons differ from map to map."""
    rng = np.random.default_rng(5)
    table = np.empty((48, 6, 2))
    table[..., 0] = np.repeat(rng.uniform(0.1, 0.5, 24), 2)[:, None]  # each cosmology twice
    table[..., 1] = rng.uniform(7, 8.5, (48, 6))
    np.save(remembered / "table.npy", table)
    keys = {"data.n_cosmologies": 12, "data.validation": 6, "data.test": 6, "data.realisations": 12}
    own = open_suite(suite(keys, **PLAIN | {"columns": {"omega_m": 0, "T_AGN": 1}}))
    assert own.group.max() == 23
    seen = [set(own.theta(numbers)[:, 0]) for numbers in own.chosen.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 24
    assert len(np.unique(own.theta(own.chosen["train"])[:, 1])) == 144  # parameters are those of each map


def test_of_a_simulation_at_most_realisations_are_taken_at_random(
    remembered: Path, suite: Callable[..., Config]
) -> None:
    own = open_suite(suite({"data.realisations": 2}, **PLAIN))
    train = own.chosen["train"]
    assert len(train) == 64
    assert len(set(train % 6)) == 6
    again = open_suite(suite({"data.realisations": 2, "train.epochs": 2}, **PLAIN))
    np.testing.assert_array_equal(again.chosen["train"], train)
    other = open_suite(suite({"data.realisations": 2, "data.seed": 9}, **PLAIN))
    assert set(other.chosen["train"]) != set(train)


def test_folds_test_every_simulation_once(remembered: Path, suite: Callable[..., Config]) -> None:
    tested, trained = [], []
    for fold in range(6):
        own = open_suite(suite({"data.realisations": 6}, **PLAIN | {"fold": fold}))
        groups = {split: set(own.group[own.stored(numbers)]) for split, numbers in own.chosen.items()}
        assert {split: len(some) for split, some in groups.items()} == SIZES
        assert len(set().union(*groups.values())) == 48
        tested += sorted(groups["test"])
        trained.append(groups["train"])
    assert sorted(tested) == list(range(48))
    assert len(set(map(frozenset, trained))) == 6
    with pytest.raises(UserError, match="files.fold=6: 48 simulations have 6 parts of data.test=8, 0 to 5"):
        open_suite(suite(None, **PLAIN | {"fold": 6})).chosen  # noqa: B018


def test_groups_are_numbered_in_the_order_of_the_files() -> None:
    np.testing.assert_array_equal(in_order(np.array([7, 7, 2, 9, 2])), [0, 0, 1, 2, 1])

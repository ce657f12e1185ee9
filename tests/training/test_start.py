"""What a run starts from, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.models.heads import HEAD_LAYERS
from cosmokeras.params.config import Config
from cosmokeras.training.start import freeze, starting_model

Load = Callable[..., Config]


@pytest.fixture
def load(config: Load, tiny: dict[str, Any]) -> Load:
    return lambda more: config({**tiny, **more})


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((16, 32, 32, 1)).astype(np.float32)


@pytest.fixture
def trained(load: Load, maps: np.ndarray, tmp_path: Path) -> Path:
    """A folder with a network that differs from a fresh one everywhere."""
    keras.utils.set_random_seed(5)
    model = models.build(load({}))
    model.set_weights([w + 0.1 for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    return tmp_path


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


@pytest.mark.slow
def test_all_weights_come_from_the_trained_network(load: Load, maps: np.ndarray, trained: Path) -> None:
    model = starting_model(load({"train.init_from": str(trained)}), maps)
    for name, found in weights(model).items():
        for one, want in zip(found, weights(models.load(trained))[name], strict=True):
            assert (one == want).all(), name


@pytest.mark.slow
def test_a_head_for_other_parameters_starts_afresh(load: Load, maps: np.ndarray, trained: Path) -> None:
    model = starting_model(load({"train.init_from": str(trained), "prior.n_s": [0.9, 1.0], "data.targets": None}), maps)
    two = starting_model(
        load({"train.init_from": str(trained), "prior.n_s": [0.9, 1.0], "data.targets": ["omega_m", "n_s"]}), maps
    )
    assert two.output_shape != model.output_shape
    found, theirs = weights(two), weights(models.load(trained))
    for name in found:
        assert (name in HEAD_LAYERS) != all(
            one.shape == want.shape and (one == want).all() for one, want in zip(found[name], theirs[name], strict=True)
        )


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"model.width": 6}, {"model.name": "resnet"}, {"model.spectrum_bins": 5}])
def test_another_network_is_refused_by_the_name_of_a_layer(
    load: Load, maps: np.ndarray, trained: Path, other: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"train.init_from=.* does not fit .* at layer '[a-z0-9_]+'"):
        starting_model(load({"train.init_from": str(trained), **other}), maps)


def test_no_model_there_is_said(load: Load, maps: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.keras is missing"):
        starting_model(load({"train.init_from": str(tmp_path / "nothing")}), maps)


def test_damaged_model_is_said(load: Load, maps: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"damaged or of another version"):
        starting_model(load({"train.init_from": str(tmp_path)}), maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "free"), [("none", None), ("stem", None), ("features", {"hidden", "summary", "mixture"})]
)
def test_frozen_parts_do_not_learn(load: Load, maps: np.ndarray, part: str, free: set[str] | None) -> None:
    model = models.build(load({}))
    freeze(model, part)
    before = weights(model)
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(maps, np.ones((16, model.output_shape[1])), verbose=0)
    moved = {n for n, w in weights(model).items() if any((a != b).any() for a, b in zip(w, before[n], strict=True))}
    constants = {"standardise", "standardise_features"}
    everything = set(before) - constants
    assert moved == {"none": everything, "stem": everything - {"stem"}, "features": free}[part]

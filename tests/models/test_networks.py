"""The networks: sizes, symmetries, precision, saving, and that all of each one learns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.heads import MixtureLoss, mixture_size
from cosmokeras.models.layers import Moments, Spectra, Standardise
from cosmokeras.params.config import Config
from cosmokeras.params.registry import MODELS
from cosmokeras.training.optimizer import ClippedAdamW

RNG = np.random.default_rng(0)
STRIDE = 16  # of all networks in all
STEPS = 20  # in which float16 finds the scale of the loss that its gradients allow
PERIODIC = {"data.kind": "grf"}
SURVEY = {"data.kind": "lensing"}
TWO_TARGETS = {"prior.sigma8": [0.6, 1.0]}
SLABS = {"data.kind": "2lpt"}  # periodic, and with more than one parameter to find

every_network = pytest.mark.parametrize("name", MODELS)
every_kind = pytest.mark.parametrize("kind", [PERIODIC, SURVEY], ids=["1 channel", "4 channels"])


@pytest.fixture(scope="module")
def problem(config: Callable[..., Config], tiny: dict[str, Any]) -> Callable[..., Config]:
    """`problem("resnet", SURVEY)`: small, with overrides on top."""
    return lambda name, *more: config({**tiny, "model.name": name, **{k: v for m in more for k, v in m.items()}})


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def half(request: pytest.FixtureRequest) -> Iterator[str]:
    """Switches to half precision and back; the value is what is computed in."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    try:
        yield request.param.removeprefix("mixed_")
    finally:
        keras.config.set_dtype_policy(before)


def noise(cfg: Config, n: int = 3) -> np.ndarray:
    return RNG.standard_normal((n, cfg.data.size, cfg.data.size, cfg.channels)).astype(np.float32)


def built(cfg: Config) -> keras.Model:
    """A network all of whose parts take part: gains begin at zero."""
    model = models.build(cfg)
    for weight in model.trainable_variables:
        if weight.name == "gain":
            weight.assign(np.ones(weight.shape))
    return model


def numpy_of(model: keras.Model, maps: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(maps))


def names_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


@every_network
@pytest.mark.parametrize(
    ("kind", "channels", "targets"),
    [(PERIODIC, 1, 1), (SLABS | TWO_TARGETS, 1, 2), (SURVEY, 4, 1), (SURVEY | TWO_TARGETS, 4, 2)],
    ids=lambda x: x if isinstance(x, int) else x["data.kind"],
)
def test_outputs_are_the_numbers_of_the_head(
    problem: Callable[..., Config], name: str, kind: dict[str, Any], channels: int, targets: int
) -> None:
    for head, numbers in {"posterior": mixture_size(targets, 3), "mse": targets}.items():
        cfg = problem(name, kind, {"model.head": head, "model.components": 3})
        model = models.build(cfg)
        assert model.input_shape == (None, 32, 32, channels)
        assert model.output_shape == (None, numbers)
        assert model.get_layer(SUMMARY).output.shape == (None, 4 * cfg.model.width)
        assert model.name == name


@every_network
@every_kind
@pytest.mark.parametrize("size", [16, 18, 34])
def test_every_even_size_from_the_smallest_on(
    problem: Callable[..., Config], name: str, kind: dict[str, Any], size: int
) -> None:
    cfg = problem(name, kind, {"data.size": size})
    outputs = numpy_of(built(cfg), noise(cfg))
    assert outputs.shape == (3, mixture_size(1, 4))
    assert np.isfinite(outputs).all()


@every_network
def test_periodic_network_does_not_see_shifts_by_its_stride(problem: Callable[..., Config], name: str) -> None:
    cfg = problem(name, PERIODIC)
    model, maps = built(cfg), noise(cfg)
    plain = numpy_of(model, maps)
    for shift in ((STRIDE, 0), (0, -STRIDE), (STRIDE, STRIDE)):
        assert numpy_of(model, np.roll(maps, shift, axis=(1, 2))) == pytest.approx(plain, abs=1e-5)
    # other maps do give other numbers
    assert np.abs(numpy_of(model, noise(cfg)) - plain).max() > 1e-3


@every_network
def test_network_of_a_patch_sees_its_edges(problem: Callable[..., Config], name: str) -> None:
    cfg = problem(name, SURVEY)
    model, maps = built(cfg), noise(cfg)
    rolled = np.roll(maps, STRIDE, axis=1)
    assert np.abs(numpy_of(model, rolled) - numpy_of(model, maps)).max() > 1e-3


@every_network
@every_kind
def test_amplitude_is_not_normalised_away(problem: Callable[..., Config], name: str, kind: dict[str, Any]) -> None:
    cfg = problem(name, kind)
    model, maps = built(cfg), noise(cfg)
    assert np.abs(numpy_of(model, 1.2 * maps) - numpy_of(model, maps)).max() > 1e-2


@every_network
@every_kind
def test_a_map_is_seen_by_itself(problem: Callable[..., Config], name: str, kind: dict[str, Any]) -> None:
    """Whatever else is in its batch, while training too: no batch normalisation."""
    cfg = problem(name, kind)
    model, maps = built(cfg), noise(cfg, 5) * np.arange(1, 6, dtype=np.float32)[:, None, None, None]
    together = numpy_of(model, maps)
    alone = np.concatenate([numpy_of(model, maps[i : i + 1]) for i in range(5)])
    assert alone == pytest.approx(together, abs=1e-5)
    assert keras.ops.convert_to_numpy(model(maps, training=True)) == pytest.approx(together, abs=1e-5)


@pytest.mark.slow
@every_network
def test_standardise_sets_the_features_of_the_training_maps(problem: Callable[..., Config], name: str) -> None:
    """Those of the spectra first, which those of the whole network are made of."""
    cfg = problem(name, SURVEY)
    model = built(cfg)
    found = [layer for layer in model.layers if isinstance(layer, Standardise)]
    assert len(found) == (2 if name == "hybrid" else 1)
    for factor in (3, 1):  # maps of another amplitude before make no difference
        maps = factor * noise(cfg, 100) * np.array([1, 2, 3, 4], np.float32)
        models.standardise(model, maps)
    for layer in found:
        features = keras.Model(model.inputs, layer.output).predict(maps, verbose=0)
        assert features.mean(axis=0) == pytest.approx(np.zeros(features.shape[1]), abs=1e-3)
        # but of features that hardly vary
        varies = keras.ops.convert_to_numpy(layer.deviation) > layer.floor
        assert varies.mean() > 0.5
        assert features.std(axis=0)[varies] == pytest.approx(np.ones(varies.sum()), rel=1e-2)
        assert (features.std(axis=0)[~varies] < 1.01).all()


@pytest.mark.slow
@every_network
@pytest.mark.parametrize("head", ["posterior", "mse"])
def test_saved_networks_give_the_same_outputs(
    problem: Callable[..., Config], tmp_path: Path, name: str, head: str
) -> None:
    """With safe_mode, which runs no code from the file."""
    cfg = problem(name, SURVEY, TWO_TARGETS, {"model.head": head})
    model, maps = built(cfg), noise(cfg, 5)
    models.standardise(model, maps)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert (numpy_of(again, maps) == numpy_of(model, maps)).all()
    assert (numpy_of(models.load(tmp_path), maps) == numpy_of(model, maps)).all()
    assert names_of(again) == names_of(model)


@every_network
@every_kind
def test_layers_have_names_of_our_own(problem: Callable[..., Config], name: str, kind: dict[str, Any]) -> None:
    """Keras numbers those that have none, so that a second network has others: weights could not be told apart."""
    cfg = problem(name, kind)
    one, two = models.build(cfg), models.build(cfg)
    assert names_of(one) == names_of(two)
    assert [w.path for w in one.weights] == [w.path for w in two.weights]
    assert len({w.path for w in one.weights}) == len(one.weights)

    def nameless() -> keras.Model:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    assert names_of(nameless()) != names_of(nameless())


@pytest.mark.slow
@every_network
@every_kind
def test_gradients_reach_every_weight(problem: Callable[..., Config], name: str, kind: dict[str, Any]) -> None:
    import tensorflow as tf

    cfg = problem(name, kind)
    model, maps = built(cfg), noise(cfg, 8)
    models.standardise(model, maps)
    with tf.GradientTape() as tape:
        loss = MixtureLoss(4)(RNG.standard_normal((8, 1)).astype(np.float32), model(maps))
    gradients = tape.gradient(loss, [w.value for w in model.trainable_variables])
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient.numpy()).all(), weight.path
        assert np.abs(gradient.numpy()).max() > 0, weight.path


@pytest.mark.parametrize(("name", "width", "weights"), [("cosmonet", 41, 1.2e6), ("hybrid", 48, 1.8e6)])
def test_widths_of_networks_of_a_given_size(
    problem: Callable[..., Config], name: str, width: int, weights: float
) -> None:
    """One channel and one target; how many bins the spectra have hardly matters."""
    for bins in (12, 16):
        cfg = problem(name, PERIODIC, {"model.width": width, "model.spectrum_bins": bins})
        assert models.build(cfg).count_params() == pytest.approx(weights, rel=0.1)


def test_convolutions_of_a_resnet_of_width_64_are_those_of_resnet_18(problem: Callable[..., Config]) -> None:
    """He et al. 2016, table 1: four stages of 2 x 2 convolutions of 3 x 3; 1 x 1 on the ways around that halve."""
    filters = [64, 64, 128, 256, 512]
    steps = list(itertools.pairwise(filters))
    theirs = 9 * sum(a * b + 3 * b * b for a, b in steps) + sum(a * b for a, b in steps[1:])
    model = models.build(problem("resnet", PERIODIC, {"model.width": 64}))
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum(layer.count_params() for layer in convolutions) == pytest.approx(theirs, rel=0.01)


@pytest.mark.slow
@every_network
@every_kind
def test_half_precision_is_for_convolutions_alone(
    problem: Callable[..., Config], half: str, name: str, kind: dict[str, Any]
) -> None:
    cfg = problem(name, kind)
    model = built(cfg)
    maps = noise(cfg, 16)
    models.standardise(model, maps)
    for layer in model.layers:
        single = isinstance(layer, Moments | Spectra) or layer is model.layers[-1]
        if single or isinstance(layer, keras.layers.Conv2D):
            assert layer.output.dtype == ("float32" if single else half), layer.name
    outputs = model(maps)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    keras.config.set_dtype_policy("float32")
    exact = built(cfg)
    exact.set_weights(model.get_weights())
    wanted, found = numpy_of(exact, maps), keras.ops.convert_to_numpy(outputs)
    # beside how much the outputs differ from map to map
    error = np.sqrt(np.square(found - wanted).mean() / wanted.var(axis=0).mean())
    assert 0 < error < {"bfloat16": 0.25, "float16": 0.05}[half]


@pytest.mark.slow
@every_network
def test_half_precision_trains(problem: Callable[..., Config], half: str, name: str) -> None:
    cfg = problem(name, PERIODIC, {"data.size": 16})
    model, maps = built(cfg), noise(cfg, 8)
    models.standardise(model, maps)
    theta = RNG.standard_normal((8, 1)).astype(np.float32)
    model.compile(ClippedAdamW(1e-3, clip=1.0), loss=MixtureLoss(4), run_eagerly=True)
    before = model.get_weights()
    for _ in range(STEPS):
        assert np.isfinite(model.train_on_batch(maps, theta))
        after = model.get_weights()
        if any((w != old).any() for w, old in zip(after, before, strict=True)):
            break
    else:
        pytest.fail(f"no step was taken in {STEPS}")
    assert all(np.isfinite(w).all() for w in after)
    assert {str(w.dtype) for w in after} == {"float32"}

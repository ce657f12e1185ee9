"""AdamW with a global clip, and the learning-rate schedule."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cosmokeras.training.optimizer import ClippedAdamW, schedule

START = [np.array([1.0, -2.0, 3.0], np.float32), np.array([[0.5]], np.float32)]


def steps(optimizer: keras.optimizers.Optimizer, gradients: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Variables after a number of steps from START."""
    variables = [keras.Variable(x) for x in START]
    optimizer.build(variables)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradient], variables)
    return [keras.ops.convert_to_numpy(v) for v in variables]


def gradients(scale: float) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    drawn = [[rng.standard_normal(x.shape).astype(np.float32) for x in START] for _ in range(3)]
    norms = [np.sqrt(sum((g**2).sum() for g in one)) for one in drawn]
    return [[scale * g / norm for g in one] for one, norm in zip(drawn, norms, strict=True)]


def test_small_gradients_are_left_alone() -> None:
    small = gradients(0.9)
    plain = steps(keras.optimizers.AdamW(0.01, weight_decay=0.1), small)
    for found, expected in zip(steps(ClippedAdamW(0.01, weight_decay=0.1, clip=1.0), small), plain, strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


def test_large_gradients_are_cut_to_the_global_norm() -> None:
    """Over all variables together: directions stay. Without memory of the moments, so that sizes show."""
    first, *_ = gradients(1.0)
    mixed = [first, [50 * g for g in gradients(1.0)[1]], gradients(0.3)[2]]
    expected = [first, gradients(1.0)[1], gradients(0.3)[2]]
    plain = steps(keras.optimizers.AdamW(0.01, weight_decay=0.1), expected)
    clipped = steps(ClippedAdamW(0.01, weight_decay=0.1, clip=1.0), mixed)
    unclipped = steps(keras.optimizers.AdamW(0.01, weight_decay=0.1), mixed)
    for found, want in zip(clipped, plain, strict=True):
        assert found == pytest.approx(want, rel=1e-5)
    assert np.abs(unclipped[0] - plain[0]).max() > 1e-3


def test_clip_is_its_argument() -> None:
    large = [[10 * g for g in one] for one in gradients(1.0)]
    plain = steps(keras.optimizers.AdamW(0.01), [[0.25 * g for g in one] for one in gradients(1.0)])
    for found, want in zip(steps(ClippedAdamW(0.01, clip=0.25), large), plain, strict=True):
        assert found == pytest.approx(want, rel=1e-5)


def test_zero_gradients_are_harmless() -> None:
    nothing = [[np.zeros_like(x) for x in START]] * 2
    for found, start in zip(steps(ClippedAdamW(0.01, weight_decay=0.0), nothing), START, strict=True):
        assert (found == start).all()


def test_weight_decay_does_not_pass_through_the_clip() -> None:
    nothing = [[np.zeros_like(x) for x in START]]
    for found, start in zip(steps(ClippedAdamW(0.01, weight_decay=0.5, clip=1e-9), nothing), START, strict=True):
        assert found == pytest.approx(start * (1 - 0.01 * 0.5), rel=1e-6)


def test_optimizer_survives_serialisation() -> None:
    optimizer = ClippedAdamW(schedule(0.01, 100, 0.1), weight_decay=0.2, clip=0.7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, ClippedAdamW)
    assert (again.clip, again.weight_decay) == (0.7, 0.2)


def test_learning_rate_rises_and_falls() -> None:
    rate = np.array([float(schedule(0.01, 100, 0.1)(step)) for step in range(101)])
    assert rate.max() == pytest.approx(0.01, rel=1e-5)
    assert rate.argmax() == 10
    assert rate[0] == pytest.approx(0.001)
    assert (np.diff(rate[:11]) > 0).all()
    assert np.diff(rate[:11]) == pytest.approx(np.diff(rate[:11])[0], rel=1e-3)
    assert (np.diff(rate[10:]) < 0).all()
    assert rate[55] == pytest.approx(0.01 * (1 + 0.01) / 2, rel=1e-3)
    assert rate[100] == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.5), (5, 0.0)])
def test_schedules_of_few_steps_are_sane(total: int, warmup: float) -> None:
    rate = schedule(0.01, total, warmup)
    for step in range(total + 1):
        assert 0 < float(rate(step)) <= 0.01 * (1 + 1e-5)

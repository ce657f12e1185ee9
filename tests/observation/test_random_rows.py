"""Numbers of a row follow from the seed and the row alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cosmokeras.observation.random_rows import integer_rows, normal_rows, uniform_rows

SEED = np.array([7, -3])
DRAWS = {
    "normal": normal_rows,
    "uniform": uniform_rows,
    "integers": lambda *where: integer_rows(*where, 1000),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 5, 5), (8,)])
def test_rows_are_the_same_whoever_draws_which_together(draw: Callable[..., tf.Tensor], shape: tuple[int, ...]) -> None:
    whole = draw(SEED, 0, 50, shape).numpy()
    assert whole.shape == (50, *shape)
    for first, count in ((0, 1), (7, 20), (49, 1)):
        assert (draw(SEED, first, count, shape).numpy() == whole[first : first + count]).all()
    graph = tf.function(lambda first, count: draw(tf.constant(SEED), first, count, shape))
    assert (graph(tf.constant(7, tf.int64), tf.constant(20)).numpy() == whole[7:27]).all()
    assert not (draw(SEED + 1, 0, 50, shape).numpy() == whole).all()


def test_rows_far_out_are_still_rows() -> None:
    far = normal_rows(SEED, tf.constant(2**40), 3, (5,)).numpy()
    assert (normal_rows(SEED, tf.constant(2**40 + 1), 1, (5,)).numpy() == far[1:2]).all()


def test_numbers_have_their_distributions_and_rows_are_independent() -> None:
    normal, uniform = (draw(SEED, 0, 500, (101,)).numpy().astype(float) for draw in (normal_rows, uniform_rows))
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3
    counts = np.bincount(integer_rows(SEED, 0, 50_000, (), 10).numpy(), minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert np.abs(np.corrcoef(normal[:60]) - np.eye(60)).max() < 0.5

"""The stream that the test battery reads is that of the counters."""

from __future__ import annotations

import numpy as np

from benchmarks.random_numbers import PLACES, SEED, STREAM, fill
from cosmokeras.observation.ops.counters import NOISE, rows, words


def test_the_battery_reads_the_words_of_the_counters() -> None:
    assert STREAM == NOISE
    high, low = np.random.SeedSequence(SEED).generate_state(2)
    out = np.empty((2 * PLACES, 4), np.uint32)
    fill(out, 0, 0, high, low)
    expected = np.stack(words(rows(SEED, 0, 2), PLACES, NOISE, np), axis=-1).view(np.uint32)
    assert (out == expected.reshape(-1, 4)).all()

"""Random numbers by counters: known words, rows, and no trace of where they are used."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from cosmokeras.observation.ops import counters
from cosmokeras.observation.ops.counters import MASK, NOISE, TURN, integers, normal_pairs, pick, rows, words


def hash_of(key: tuple[int, int, int, int], place: int) -> list[int]:
    """The specification, in whole numbers of any size."""

    def mixed(x: int, y: int, z: int, w: int) -> list[int]:
        x = (x + y * w) % 2**32
        y = (y + z * x) % 2**32
        z = (z + x * y) % 2**32
        w = (w + y * z) % 2**32
        return [x, y, z, w]

    v = [(word * 1664525 + 1013904223) % 2**32 for word in key]
    for _ in range(2):
        v = [word ^ (word >> 16) for word in mixed(*v)]
    v = mixed(*v)
    first = (v[0] + place * 1664525) % 2**32
    first = (first ^ (first >> 16)) * 0x21F0AAAD % 2**32
    v = mixed(first ^ (first >> 15), *v[1:])
    v = mixed(*(word ^ (word >> 16) for word in v))
    return [word ^ (word >> 16) for word in v]


def drawn(keys: np.ndarray, count: int, stream: int = NOISE) -> np.ndarray:
    """Words (4, n, count) uint32."""
    found = words(ops.convert_to_tensor(keys), count, stream)
    return np.stack([ops.convert_to_numpy(one) for one in found]).view(np.uint32)


def test_words_are_those_of_the_specification_on_the_device_and_on_the_host() -> None:
    keys = rows(2**63, 41, 3, 5)
    device, host = drawn(keys, 7), np.stack(words(keys, 7, NOISE, np)).view(np.uint32)
    assert (device == host).all()
    row, step, seed = keys.view(np.uint32)[2].tolist()
    assert row == 7
    assert device[:, 2, 6].tolist() == hash_of((NOISE, row, step, seed), 6)
    # whoever changes the specification changes every run: committed words
    assert drawn(rows(1, 0, 1), 1)[:, 0, 0].tolist() == [2523826021, 4160251155, 3033293610, 1403526220]


def test_a_row_is_the_same_whoever_draws_it() -> None:
    whole = drawn(rows(3, 9, 8), 10)
    assert (drawn(rows(3, 9, 3, 5), 10) == whole[:, 5:]).all()
    assert (drawn(rows(3, 9, 8), 4) == whole[..., :4]).all()
    others = [rows(4, 9, 8), rows(3, 10, 8), rows(3, 9, 8, 8), rows(3 + 2**32, 9, 8)]
    for other in others:
        assert not np.isin(drawn(other, 10), whole).any()
    assert not np.isin(drawn(rows(3, 9, 8), 10, TURN), whole).any()


@pytest.mark.slow
@pytest.mark.parametrize("apart", ["row", "step", "seed", "place", "far place", "word"])
def test_words_do_not_tell_where_they_are_used(apart: str) -> None:
    """Each bit is as often 1 as 0, and so is the exclusive or of each pair of bits of neighbours."""
    n = 256
    here = drawn(rows(5, 6, n), 1024)
    there = {
        "row": lambda: np.roll(here, 1, axis=1), "step": lambda: drawn(rows(5, 7, n), 1024),
        "seed": lambda: drawn(rows(6, 6, n), 1024), "place": lambda: np.roll(here, 1, axis=2),
        "far place": lambda: np.roll(here, 256, axis=2),
        "word": lambda: np.roll(here, 1, axis=0),
    }[apart]()  # fmt: skip
    bits = [
        ((one.ravel() >> np.arange(32, dtype=np.uint32)[:, None]) & 1).astype(np.float32) - 0.5 for one in (here, there)
    ]
    count = here.size
    # of each bit, and of 32 x 32 pairs: largest of so many normal numbers
    assert np.abs(bits[0].mean(axis=1) * 2 * np.sqrt(count)).max() < 4.5
    pairs = 4 * (bits[0] @ bits[1].T) / np.sqrt(count)
    assert np.abs(pairs).max() < 5.5
    assert np.mean(pairs**2) == pytest.approx(1.0, abs=6 * np.sqrt(2 / 1024))


def test_normal_numbers_are_normal() -> None:
    """Moments to the sixth and the tail, within four standard errors; parts of a pair independent, also squared."""
    keys = ops.convert_to_tensor(rows(8, 0, 64))
    parts = np.stack([ops.convert_to_numpy(one).ravel() for pair in normal_pairs(keys, 8192) for one in pair])
    x = parts.astype(float)
    count = x[0].size
    for order, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert np.mean(x**order, axis=1) == pytest.approx(moment, abs=4 * np.sqrt(spread / count))
    tail = np.mean(np.abs(x) > 4)
    assert tail == pytest.approx(6.334e-5, abs=4 * np.sqrt(6.334e-5 / x.size))
    assert np.abs(x).max() < 6.7
    for one in (x, x**2 - 1):
        correlation = np.corrcoef(one) - np.eye(4)
        assert np.abs(correlation).max() < 4.5 / np.sqrt(count)


def test_radius_and_angle_at_their_ends() -> None:
    """No logarithm of 0; a whole turn."""
    ends = ops.convert_to_tensor(np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int32))
    a, b = (ops.convert_to_numpy(one) for one in counters.box_muller(ends, ends * 0))
    assert np.isfinite(a).all() and a.max() == pytest.approx(np.sqrt(64 * np.log(2)), rel=1e-6) and abs(b).max() == 0
    angle = np.arange(-(2**31), 2**31, 2**23, dtype=np.int64).astype(np.int32)
    one = np.full_like(angle, 2**30)
    a, b = (ops.convert_to_numpy(c) for c in counters.box_muller(*(ops.convert_to_tensor(x) for x in (one, angle))))
    turn = np.sqrt(2 * np.log(2)) * np.exp(1j * np.pi * angle / 2**31)
    assert a == pytest.approx(turn.real, abs=1e-6) and b == pytest.approx(turn.imag, abs=1e-6)


@pytest.mark.parametrize("below", [1, 2, 8, 100, 2**15])
def test_whole_numbers_are_even(below: int) -> None:
    found = ops.convert_to_numpy(integers(ops.convert_to_tensor(rows(1, 2, 2**16)), below, TURN))
    assert found.min() >= 0 and found.max() <= below - 1
    counts = np.bincount(found % 128, minlength=min(below, 128))
    expected = np.bincount(np.arange(below) % 128) * found.size / below
    chi2 = np.sum((counts - expected) ** 2 / expected)
    assert chi2 < len(counts) + 5 * np.sqrt(2 * len(counts))


def test_the_mask_of_a_map_is_the_same_whenever_it_is_asked_for() -> None:
    numbers = np.array([7, 123_456, 7, 0])
    found = pick(3, numbers, 128)
    assert found[0] == found[2]
    assert pick(3, numbers[1:2], 128)[0] == found[1]
    assert len(np.unique(pick(3, np.arange(5000), 128))) == 128
    keys = rows(3, 0, 1)
    keys[0, 0] = 7
    assert integers(ops.convert_to_tensor(keys), 128, MASK)[0] == found[0]

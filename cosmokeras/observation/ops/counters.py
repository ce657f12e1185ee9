"""Random numbers by counters: a hash of where a number is used, the same bits on every backend and device.

A number follows from its place in a row, the stream it belongs to, the row, the step and the seed, and from nothing
else: row i of a step has the same numbers in a batch of any size and whoever draws it, and nothing has to be kept to
resume. The hash is built of pcg4d (Jarzynski & Olano 2020, JCGT 9(3), 21): sums, products and exclusive ors of 32-bit
integers, which mean the same on TensorFlow, JAX and torch if they are int32 (Keras turns uint32 into torch's int64,
which does not wrap at 2^32). Stream, row, step and seed go through three rounds of it, once a row; the place is added
to the outcome, mixed by itself, and all go through two rounds and a last folding. With less of it tests failed: pcg4d
as published, with place, row, step and seed in two rounds, dieharder's rank of 6 x 8 matrices; without the last
folding, the lowest bits of neighbouring places were alike (`tests/observation/ops/test_counters.py`).

Integers and raw words agree bit by bit. Normal numbers go through logarithms and roots, whose last digits differ from
backend to backend: they agree to 1e-6. `metrics/random_numbers.json` holds what a test battery says of the raw words.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

# Streams: numbers of one row and step for different purposes; NOISE is the first of as many as needed, so the last one.
PLACE, SIGN, TURN, SHIFT, MASK, NOISE = range(6)
LARGEST = 2**15  # `integers` are below this at most
_FACTOR, _TERM, _PLACE_FACTOR = 1664525, 1013904223, 0x21F0AAAD

# sin(pi x / 2) / x and cos(pi x / 2) as polynomials of x^2 for |x| <= 1, good to 4e-9: library functions are four times
# as slow under XLA on processors
_SINE = (1.57079629, -0.645963358, 0.0796884748, -0.00467222026, 0.00015081716)
_COSINE = (1.0, -1.23370053, 0.253669322, -0.0208626875, 0.000917723882, -2.38245355e-05)


def rows(seed: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """Keys (count, 3) int32 of rows `first`, `first` + 1, ... of a step: what the functions below take.

    Made on the host with a batch, whose rows they are. `seed` is any integer from 0; all of its bits count.
    """
    high, low = np.random.SeedSequence(seed).generate_state(2)
    keys = np.empty((count, 3), np.uint32)
    keys[:, 0] = np.arange(first, first + count)
    keys[:, 1] = np.uint32(step % 2**32) ^ high
    keys[:, 2] = low
    return keys.view(np.int32)


def words(keys: Any, count: int, stream: int, xp: Any = ops) -> tuple[Any, Any, Any, Any]:
    """Four random words, int32 (n, count) each, for every place 0 to `count` - 1 of the rows `keys` (n, 3).

    With `xp` NumPy instead of `keras.ops`, on the host.
    """
    row, step, seed = (keys[:, i : i + 1] for i in range(3))
    key = tuple(word * _FACTOR + _TERM for word in (row * 0 + stream, row, step, seed))
    key = _folded(_mixed(*_folded(_mixed(*key), xp)), xp)
    first, *others = _mixed(*key)
    if xp is ops and keras.backend.backend() == "torch":
        return _torch_rounds(first, others, count)
    place = first + xp.reshape(xp.arange(count, dtype="int32"), (1, count)) * _FACTOR
    place = _folded_by(15, _folded_by(16, place, xp) * _PLACE_FACTOR, xp)
    return _folded(_mixed(*_folded(_mixed(place, *others), xp)), xp)


def _mixed(x: Any, y: Any, z: Any, w: Any) -> tuple[Any, Any, Any, Any]:
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    return x, y, z, w


def _folded(v: tuple[Any, ...], xp: Any) -> tuple[Any, ...]:
    return tuple(_folded_by(16, word, xp) for word in v)


def _folded_by(bits: int, word: Any, xp: Any) -> Any:
    # shifts of int32 bring in the sign, which is masked away
    return xp.bitwise_xor(word, xp.bitwise_and(xp.right_shift(word, bits), 2 ** (32 - bits) - 1))


def _torch_rounds(first: Any, others: list[Any], count: int) -> tuple[Any, Any, Any, Any]:
    """The same in place: torch does one operation after the other, and new memory for each costs more than they do."""
    import torch

    x = first + torch.arange(count, dtype=torch.int32, device=first.device)[None] * _FACTOR
    spare = torch.empty_like(x)

    def fold(word: Any, bits: int = 16) -> Any:
        torch.bitwise_right_shift(word, bits, out=spare)
        return word.bitwise_xor_(spare.bitwise_and_(2 ** (32 - bits) - 1))

    fold(fold(x).mul_(_PLACE_FACTOR), 15)
    y, z, w = others
    x.addcmul_(y, w)
    y = torch.addcmul(y, z, x)
    z = torch.addcmul(z, x, y)
    w = torch.addcmul(w, y, z)
    for word in (x, y, z, w):
        fold(word)
    x.addcmul_(y, w)
    y.addcmul_(z, x)
    z.addcmul_(x, y)
    w.addcmul_(y, z)
    return fold(x), fold(y), fold(z), fold(w)


def _torch_box_muller(radius: Any, angle: Any) -> tuple[Any, Any]:
    r = radius.float().abs_().mul_(2.0**-31).clamp_min_(2.0**-32).log_().mul_(-2.0).sqrt_()
    x = angle.float().mul_(np.pi * 2.0**-31)
    return x.cos().mul_(r), x.sin_().mul_(r)


def normal_pairs(keys: Any, count: int, stream: int = NOISE) -> list[tuple[Any, Any]]:
    """Two pairs of standard normal numbers, float32 (n, count) each, for every place of the rows."""
    first, second, third, fourth = words(keys, count, stream)
    return [box_muller(first, second), box_muller(third, fourth)]


def box_muller(radius: Any, angle: Any) -> tuple[Any, Any]:
    """Two independent standard normal numbers of two random words (Box & Muller 1958, Ann. Math. Stat. 29, 610).

    The first word gives the radius, at most 6.7, by 31 bits; the second the angle, pi x for x from -1 to 1.
    """
    if keras.backend.backend() == "torch":
        return _torch_box_muller(radius, angle)
    part = ops.maximum(ops.abs(ops.cast(radius, "float32")) * 2.0**-31, 2.0**-32)
    r = ops.sqrt(-2.0 * ops.log(part))
    x = ops.cast(angle, "float32") * 2.0**-31
    square = x * x
    sine = _polynomial(_SINE, square) * x
    double = r * sine * 2.0
    return r - double * sine, double * _polynomial(_COSINE, square)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        value = value * x + coefficient
    return value


def whole_number(word: Any, below: int, xp: Any = ops) -> Any:
    """Integers from 0 to `below` - 1, at most 2^15, of random words.

    Some are likelier than others by up to `below` / 2^16, none where `below` is a power of two.
    """
    assert 1 <= below <= LARGEST
    return xp.right_shift(xp.bitwise_and(xp.right_shift(word, 16), 0xFFFF) * below, 16)


def integers(keys: Any, below: int, stream: int, xp: Any = ops) -> Any:
    """One integer from 0 to `below` - 1 for each row, int32 (n,); see `whole_number`."""
    return whole_number(words(keys, 1, stream, xp)[0][:, 0], below, xp)


def pick(seed: int, indices: np.ndarray, below: int) -> np.ndarray:
    """On the host: an integer from 0 to `below` - 1 for each index, the same whenever it is asked for, int32 (n,)."""
    keys = np.empty((len(indices), 3), np.int32)
    keys[:] = rows(seed, 0, 1)
    keys[:, 0] = indices
    return integers(keys, below, MASK, np)

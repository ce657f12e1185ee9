"""The stream of batches: a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from cosmokeras.dataset import pipeline
from cosmokeras.dataset.batches import ALL, fresh_maps, kept_maps
from cosmokeras.dataset.pipeline import augment, fixed_stream, observed, training_stream
from cosmokeras.dataset.shards import Split
from cosmokeras.observation.observer import Observer
from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.theory.matter import power as power_spectrum

MAPS, BATCH, SEED = 22, 4, 9
STEPS = MAPS // BATCH
TARGETS = np.arange(MAPS, dtype=np.float32)[:, None]

Load = Callable[..., Config]


@pytest.fixture(scope="module")
def load(config: Load) -> Load:
    """16 x 16 maps, four bins."""
    small = {"data.size": 16, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4, "train.seed": SEED}
    return lambda more=None: config({**small, **(more or {})})


@pytest.fixture(scope="module")
def observer(load: Load) -> Observer:
    """A lensing observer: its noise tells whether a map was observed afresh."""
    return Observer(load())


@pytest.fixture(scope="module")
def split() -> Split:
    maps = np.random.default_rng(0).standard_normal((MAPS, 16, 16, 4)).astype(np.float32)
    # two shards of unequal length
    return Split([maps[:15], maps[15:]], np.array([0, 15]), TARGETS.astype(float), np.arange(MAPS))


@pytest.fixture(scope="module")
def stream(load: Load, split: Split, observer: Observer) -> Callable[..., tf.data.Dataset]:
    """`stream(start, ...)`: batches of the split, whose targets are the numbers of its maps."""

    def make(start: int = 0, of: Split = split, by: Observer = observer, **more: Any) -> tf.data.Dataset:
        cfg = load({"train.seed": more.pop("seed", SEED), "data.kind": more.pop("kind", "lensing")})
        source = kept_maps(of, BATCH, cfg.train.seed)
        return training_stream(cfg, source, lambda theta: theta.astype(np.float32), by, BATCH, start, **more)

    return make


def take(stream: tf.data.Dataset, count: int) -> list[tuple[bytes, list[float]]]:
    return [(x.numpy().tobytes(), y.numpy()[:, 0].tolist()) for x, y in stream.take(count)]


@pytest.fixture(scope="module")
def whole(stream: Callable[..., tf.data.Dataset]) -> list[tuple[bytes, list[float]]]:
    """Three epochs."""
    return take(stream(), 3 * STEPS)


@pytest.mark.parametrize("start", [1, 3, STEPS, STEPS + 2, 2 * STEPS - 1])
def test_stream_from_a_step_is_the_rest_of_the_stream(
    stream: Callable[..., tf.data.Dataset], whole: list[tuple[bytes, list[float]]], start: int
) -> None:
    """Bit for bit, within an epoch and across epochs."""
    assert take(stream(start), 3 * STEPS - start) == whole[start:]


def test_stream_follows_its_seed(
    stream: Callable[..., tf.data.Dataset], whole: list[tuple[bytes, list[float]]]
) -> None:
    other = take(stream(seed=SEED + 1), STEPS)
    assert [y for _, y in other] != [y for _, y in whole[:STEPS]]


SHARES = [slice(0, 2), slice(2, 4)]


def test_processes_share_each_batch_as_it_is(stream: Callable[..., tf.data.Dataset]) -> None:
    for whole, *parts in zip(*(stream(share=share).take(3) for share in (ALL, *SHARES)), strict=True):
        for i in range(2):
            assert (np.concatenate([part[i] for part in parts]) == whole[i].numpy()).all()


def test_processes_share_validation_as_it_is(split: Split, observer: Observer) -> None:
    even = split.head(20)
    streams = (fixed_stream(even, TARGETS, observer, 3, BATCH, share) for share in (ALL, *SHARES))
    for whole, *parts in zip(*streams, strict=True):
        for i in range(2):
            assert (np.concatenate([part[i] for part in parts]) == whole[i].numpy()).all()


def test_a_process_reads_and_makes_its_own_maps_only(stream: Callable[..., tf.data.Dataset], load: Load) -> None:
    read, made = [], []

    class Counting(Observer):
        def __call__(self, maps: tf.Tensor, *rest: Any) -> tf.Tensor:
            made.append(maps.shape[0])
            return super().__call__(maps, *rest)

    counting = Split.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Split, "read", lambda self, i: read.append(len(i)) or counting(self, i))
        take(stream(by=Counting(load()), share=SHARES[1]), 2)
    assert set(read) == {2} and set(made) == {2}
    cfg = load({"data.kind": "grf"})
    source = fresh_maps(cfg, 8, SEED)
    for part, everything in zip(source(5, slice(2, 5)), source(5, ALL), strict=True):
        assert (part == everything[2:5]).all()


def test_every_map_at_most_once_an_epoch_and_others_left_over(whole: list[tuple[bytes, list[float]]]) -> None:
    epochs = [[i for _, y in whole[e * STEPS : (e + 1) * STEPS] for i in y] for e in range(3)]
    for seen in epochs:
        assert len(seen) == len(set(seen)) == STEPS * BATCH
    assert len({tuple(seen) for seen in epochs}) == 3
    left_over = [frozenset(range(MAPS)) - set(seen) for seen in epochs]
    assert all(len(rest) == MAPS - STEPS * BATCH for rest in left_over)
    assert len(set(left_over)) > 1


def test_targets_stay_with_their_maps(split: Split, observer: Observer, stream: Callable[..., tf.data.Dataset]) -> None:
    """Without noise a batch holds the maps that its targets name, up to a symmetry."""
    quiet = observer.__class__.__new__(observer.__class__)
    quiet.__dict__.update(observer.__dict__, observed="standardised")
    for maps, y in stream(by=quiet, kind="grf").take(STEPS):
        raw = split.read(y.numpy()[:, 0].astype(int))
        raw = raw / raw.std(axis=(1, 2), keepdims=True)
        found, expected = (np.sort(m.reshape(BATCH, -1, 4), axis=1) for m in (maps.numpy(), raw))
        assert found == pytest.approx(expected, abs=1e-4)


def test_noise_differs_from_epoch_to_epoch(split: Split, stream: Callable[..., tf.data.Dataset]) -> None:
    silent = Split([np.zeros_like(a) for a in split.arrays], split.offsets, split.theta, split.cosmology)
    noise: dict[float, list[np.ndarray]] = {}
    for maps, y in stream(of=silent).take(2 * STEPS):
        for one, name in zip(maps.numpy(), y.numpy()[:, 0], strict=True):
            noise.setdefault(float(name), []).append(one.ravel())
    pairs = [pair for pair in noise.values() if len(pair) == 2]
    assert len(pairs) > MAPS // 2
    for first, second in pairs:
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
    # and no noise map is used for two maps
    every = np.array([one for several in noise.values() for one in several])
    assert np.abs(np.corrcoef(every) - np.eye(len(every))).max() < 0.3


def test_fixed_stream_is_the_same_at_every_pass(split: Split, observer: Observer) -> None:
    stream = fixed_stream(split, TARGETS, observer, seed=3, batch=8)
    passes = [[(x.numpy(), y.numpy()) for x, y in stream] for _ in range(2)]
    assert [len(x) for x, _ in passes[0]] == [8, 8, 6]
    assert int(stream.cardinality()) == 3
    for (x, y), (again, y_again) in zip(*passes, strict=True):
        assert (x == again).all()
        assert (y == y_again).all()
    assert np.concatenate([y for _, y in passes[0]])[:, 0].tolist() == list(range(MAPS))
    # the noise is that of the seed, however the maps are batched
    assert (observed(split, observer, 3) == np.concatenate([x for x, _ in passes[0]])).all()
    assert not (observed(split, observer, 4) == np.concatenate([x for x, _ in passes[0]])).all()


def test_no_stream_is_tuned_while_it_runs(
    split: Split, observer: Observer, stream: Callable[..., tf.data.Dataset]
) -> None:
    # `fit` would wait for the tuner at the end of each epoch, which sleeps for up to seconds
    assert not fixed_stream(split, TARGETS, observer, 5).options().autotune.enabled
    assert not stream().options().autotune.enabled


def test_maps_are_observed_in_small_blocks_whatever_the_batch(
    split: Split, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(fixed_stream(split, TARGETS, observer, 3, 8).as_numpy_iterator())
    monkeypatch.setattr(pipeline, "BLOCK", 3)
    sizes: list[int] = []
    read = Split.read
    monkeypatch.setattr(Split, "read", lambda self, indices: (sizes.append(len(indices)), read(self, indices))[1])
    for found, expected in zip(fixed_stream(split, TARGETS, observer, 3, 8), whole, strict=True):
        for one, other in zip(found, expected, strict=True):
            assert_allclose(one, other, atol=1e-5)  # sums of pixels are vectorised by the size of a block
    assert sorted(sizes) == [2, 2, 3, 3, 3, 3, 3, 3]


def test_fresh_maps_are_a_function_of_seed_and_step(load: Load) -> None:
    cfg = load({"data.kind": "grf"})
    (maps, theta), (again, theta_again) = (fresh_maps(cfg, 8, SEED)(5, ALL) for _ in range(2))
    assert maps.shape == (8, 16, 16, 1)
    assert (maps == again).all()
    assert (theta == theta_again).all()
    for other in (fresh_maps(cfg, 8, SEED)(6, ALL), fresh_maps(cfg, 8, SEED + 1)(5, ALL)):
        assert (other[1] != theta).all()
        assert np.abs(np.corrcoef(other[0].ravel(), maps.ravel())[0, 1]) < 0.2


def test_fresh_maps_fill_the_prior_evenly_and_are_those_of_the_simulator(load: Load) -> None:
    cfg = load({"data.kind": "grf", "prior.n_s": [0.9, 1.0]})
    maps, theta = fresh_maps(cfg, 400, SEED)(0, ALL)
    low, high = cfg.bounds.T
    cells = np.floor((theta - low) / (high - low) * 400).astype(int)
    assert (np.sort(cells, axis=0) == np.arange(400)[:, None]).all()
    assert abs(np.corrcoef(theta.T)[0, 1]) < 0.2
    # each map has the spectrum of its own parameters
    k = wavenumbers(16, cfg.pixel_side)
    power = np.abs(np.fft.rfft2(maps[..., 0])) ** 2 * cfg.grf.box_mpc_h**2 / 16**4
    theory = power_spectrum(cfg, theta, k.ravel()).reshape(power.shape)
    ratio = (power / np.where(k > 0, theory, np.inf)).mean(axis=(1, 2)) * k.size / (k.size - 1)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(theory.sum(axis=(1, 2)), power.sum(axis=(1, 2)))[0, 1] > 0.3


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    """64 times the same map without any symmetry."""
    one = np.random.default_rng(2).standard_normal((8, 8, 2)).astype(np.float32)
    return np.repeat(one[None], 64, axis=0)


def turned(maps: np.ndarray, periodic: bool, seed: int = 1) -> np.ndarray:
    return augment(tf.constant(maps), tf.constant([SEED, seed], tf.int64), periodic).numpy()


@pytest.mark.parametrize("periodic", [False, True])
def test_augmentation_keeps_pixel_values_and_channels_together(maps: np.ndarray, periodic: bool) -> None:
    out = turned(maps, periodic)
    assert out.shape == maps.shape
    assert (out != maps).any()
    pixels = sorted(map(tuple, maps[0].reshape(-1, 2).tolist()))
    for one in out:
        assert sorted(map(tuple, one.reshape(-1, 2).tolist())) == pixels
    assert (turned(maps, periodic) == out).all()
    assert (turned(maps, periodic, seed=2) != out).any()


def test_all_eight_symmetries_of_the_square_and_nothing_else(maps: np.ndarray) -> None:
    symmetries = set()
    for k in range(4):
        quarter = np.rot90(maps[0], k)
        symmetries |= {quarter.tobytes(), quarter[::-1].tobytes()}
    assert len(symmetries) == 8
    assert {one.tobytes() for one in turned(maps, periodic=False)} == symmetries


def test_periodic_maps_are_shifted_with_their_spectrum_kept(maps: np.ndarray) -> None:
    out = turned(maps, periodic=True)
    assert len({one.tobytes() for one in out}) > 50
    for one in out:
        # shifts change phases alone; symmetries move modes about: their sorted powers stay
        found = np.sort(np.abs(np.fft.fft2(one[..., 0])).ravel())
        assert found == pytest.approx(np.sort(np.abs(np.fft.fft2(maps[0, ..., 0])).ravel()), abs=1e-4)
        cross = [np.fft.fft2(m[..., 0]) * np.fft.fft2(m[..., 1]).conj() for m in (one, maps[0])]
        assert cross[0].real.sum() == pytest.approx(cross[1].real.sum(), abs=1e-3)

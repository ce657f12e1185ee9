"""Batches that `fit` reads: a pure function of seed and step, whoever makes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset import feeders
from cosmokeras.dataset.batches import ALL, fresh_maps, kept_maps
from cosmokeras.dataset.feeders import Read, endless, finite, fixed_batches, training_batches
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.dataset.signal import release_pages, signal_on_disk
from cosmokeras.observation.observe import drawn
from cosmokeras.observation.ops.counters import pick
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.theory.matter import power as power_spectrum

MAPS, BATCH, SEED, MASKS = 22, 4, 9, 6
STEPS = MAPS // BATCH
TARGETS = np.arange(MAPS, dtype=np.float32)[:, None]
SHARES = [slice(0, 2), slice(2, 4)]

Load = Callable[..., Config]
Plain = tuple[bytes, list[int], list[list[int]], list[float]]


@pytest.fixture(scope="module")
def load(config: Load) -> Load:
    """16 x 16 maps, four bins, on a coarse grid, whose geometry is quick to work out."""
    small = {"data.size": 16, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4, "train.seed": SEED}
    return lambda more=None: config({**small, **(more or {})})


@pytest.fixture(scope="module")
def split() -> Split:
    maps = (0.02 * np.random.default_rng(0).standard_normal((MAPS, 16, 16, 4))).astype(np.float16)
    # two shards of unequal length
    return Split([maps[:15], maps[15:]], np.array([0, 15]), TARGETS.astype(float), np.arange(MAPS))


@pytest.fixture(params=["tensorflow", "jax"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the feeders take for the backend."""
    monkeypatch.setattr(feeders.keras.backend, "backend", lambda: request.param)
    return str(request.param)


def batches_of(split: Split, seed: int = SEED, share: slice = ALL) -> Read:
    """Training batches, whose targets are the numbers of the maps."""
    return training_batches(
        kept_maps(split, BATCH, seed), lambda theta: theta.astype(np.float32), seed, MASKS, BATCH, share
    )


def plain(batches: Any, count: int) -> list[Plain]:
    found = []
    for (maps, which, keys), y in islice(batches, count):
        maps, which, keys, y = (np.asarray(one) for one in (maps, which, keys, y))
        assert (maps.dtype, which.dtype, keys.dtype, y.dtype) == (np.float16, np.int32, np.int32, np.float32)
        found.append((maps.tobytes(), which.tolist(), keys.tolist(), y[:, 0].tolist()))
    return found


@pytest.fixture(scope="module")
def whole(split: Split) -> list[Plain]:
    """Three epochs, one batch after the other."""
    read = batches_of(split)
    return plain((read(step) for step in range(3 * STEPS)), 3 * STEPS)


@pytest.mark.parametrize("start", [0, 3, STEPS + 2])
def test_batches_from_a_step_are_the_rest_of_all_batches(
    split: Split, whole: list[Plain], start: int, backend: str
) -> None:
    """Bit for bit, within an epoch and across epochs, whichever feeder it is."""
    assert plain(endless(batches_of(split), start), 3 * STEPS - start) == whole[start:]


def test_batches_follow_their_seed(split: Split, whole: list[Plain]) -> None:
    read = batches_of(split, seed=SEED + 1)
    other = plain((read(step) for step in range(STEPS)), STEPS)
    for i in (1, 2, 3):
        assert [one[i] for one in other] != [one[i] for one in whole[:STEPS]]


def test_a_map_has_one_mask_for_good_and_random_numbers_of_each_step(whole: list[Plain]) -> None:
    masks: dict[float, set[int]] = {}
    for _, which, _, numbers in whole:
        for one, number in zip(which, numbers, strict=True):
            masks.setdefault(number, set()).add(one)
    assert all(len(some) == 1 for some in masks.values())
    assert len(set.union(*masks.values())) > 3
    keys = [tuple(key) for _, _, some, _ in whole for key in some]
    assert len(set(keys)) == len(keys) == 3 * STEPS * BATCH


def test_processes_share_each_batch_and_read_their_own_maps_only(
    split: Split, whole: list[Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    stored = Split.stored
    monkeypatch.setattr(Split, "stored", lambda self, i: sizes.append(len(i)) or stored(self, i))
    reads = [batches_of(split, share=share) for share in SHARES]
    for step in range(3):
        first, second = (plain([read(step)], 1)[0] for read in reads)
        assert tuple(a + b for a, b in zip(first, second, strict=True)) == whole[step]
    assert set(sizes) == {2}


def test_processes_of_fresh_maps_make_their_own(load: Load) -> None:
    source = fresh_maps(load({"data.kind": "grf"}), 8, SEED)
    for part, everything in zip(source(5, slice(2, 5)), source(5, ALL), strict=True):
        assert (part == everything[2:5]).all()


def test_every_map_at_most_once_an_epoch_and_others_left_over(whole: list[Plain]) -> None:
    epochs = [[i for *_, y in whole[e * STEPS : (e + 1) * STEPS] for i in y] for e in range(3)]
    for seen in epochs:
        assert len(seen) == len(set(seen)) == STEPS * BATCH
    assert len({tuple(seen) for seen in epochs}) == 3
    left_over = [frozenset(range(MAPS)) - set(seen) for seen in epochs]
    assert all(len(rest) == MAPS - STEPS * BATCH for rest in left_over)
    assert len(set(left_over)) > 1


def test_targets_stay_with_their_maps(split: Split) -> None:
    read = batches_of(split)
    for step in range(STEPS):
        (maps, _, _), y = read(step)
        assert np.array_equal(maps, split.stored(y[:, 0].astype(int)))


def test_fixed_batches_are_the_same_at_every_pass(split: Split, backend: str) -> None:
    read = fixed_batches(split.head(20), TARGETS, 3, MASKS, BATCH)
    data = finite(read, 5)
    passes = [plain((data[i] for i in range(5)) if backend == "jax" else data, 9) for _ in range(2)]
    assert passes[0] == passes[1] and len(passes[0]) == len(data) == 5
    assert [i for *_, y in passes[0] for i in y] == list(range(20))
    parts = [fixed_batches(split.head(20), TARGETS, 3, MASKS, BATCH, share) for share in SHARES]
    for step in range(5):
        first, second = (plain([part(step)], 1)[0] for part in parts)
        assert tuple(a + b for a, b in zip(first, second, strict=True)) == passes[0][step]


def test_no_stream_is_tuned_while_it_runs(split: Split) -> None:
    # `fit` would wait for the tuner at the end of each epoch, which sleeps for up to seconds
    assert not endless(batches_of(split), 0).options().autotune.enabled


@pytest.mark.slow
def test_a_split_is_observed_with_the_noise_of_its_seed_and_numbers(load: Load, split: Split) -> None:
    forward = Forward(load({"lensing.survey": "kids_1000", "real.source": "mock"}))
    five = Split([one[..., :1].repeat(forward.channels, -1) for one in split.arrays], *list(vars(split).values())[1:])
    maps = observed(five, forward, 3)
    assert maps.shape == (MAPS, 16, 16, forward.channels)
    assert np.array_equal(maps, observed(five, forward, 3))
    which, keys = drawn(forward, 3, 4, 2)
    part = np.asarray(forward.still(five.read(np.arange(4, 6)), which, keys))
    assert part == pytest.approx(maps[4:6], abs=1e-5)
    assert (observed(five, forward, 4) == maps).mean() < 0.5


@pytest.mark.slow
def test_the_signal_is_written_once_and_by_all_processes_together(
    load: Load, split: Split, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Forward(load({"lensing.pixel_arcmin": 10.0, "lensing.mask": "none"}), noise=0.0)
    assert forward.through_shear
    made = signal_on_disk(split, forward, SEED, tmp_path)
    which = pick(SEED, np.arange(MAPS), forward.masks)
    for numbers in (np.arange(MAPS), np.array([3, 20])):
        expected = np.asarray(forward.signal(split.read(numbers), which[numbers]))
        assert made.stored(numbers).dtype == np.float16
        assert made.read(numbers) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.npy"))]
    assert len(times) == 2
    # what a killed process left out is made, and no more
    sorted(tmp_path.glob("*.npy"))[0].unlink()
    again = signal_on_disk(split, forward, SEED, tmp_path, process=1, processes=2)
    assert np.array_equal(again.stored(np.arange(MAPS)), made.stored(np.arange(MAPS)))
    assert sorted(tmp_path.glob("*.npy"))[1].stat().st_mtime_ns == times[1]
    # of other maps it is another
    other = Split([one[::-1] for one in split.arrays], *list(vars(split).values())[1:])
    changed = signal_on_disk(other, forward, SEED, tmp_path)
    assert not np.array_equal(changed.stored(np.arange(3)), again.stored(np.arange(3)))


def test_maps_that_go_through_no_shear_are_read_where_they_are(load: Load, split: Split, tmp_path: Any) -> None:
    forward = Forward(load({"lensing.survey": "hsc_y3_fair", "real.source": "mock"}))
    assert signal_on_disk(split, forward, SEED, tmp_path / "none") is split
    assert not (tmp_path / "none").exists()


def test_fresh_maps_are_a_function_of_seed_and_step(load: Load) -> None:
    cfg = load({"data.kind": "grf"})
    (maps, theta, numbers), (again, theta_again, same) = (fresh_maps(cfg, 8, SEED)(5, ALL) for _ in range(2))
    assert maps.shape == (8, 16, 16, 1)
    assert (maps == again).all()
    assert (theta == theta_again).all()
    assert numbers.tolist() == same.tolist() == list(range(40, 48))
    for other in (fresh_maps(cfg, 8, SEED)(6, ALL), fresh_maps(cfg, 8, SEED + 1)(5, ALL)):
        assert (other[1] != theta).all()
        assert np.abs(np.corrcoef(other[0].ravel(), maps.ravel())[0, 1]) < 0.2


def test_fresh_maps_fill_the_prior_evenly_and_are_those_of_the_simulator(load: Load) -> None:
    cfg = load({"data.kind": "grf", "prior.n_s": [0.9, 1.0]})
    maps, theta, _ = fresh_maps(cfg, 400, SEED)(0, ALL)
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


@pytest.mark.skipif(sys.platform != "linux", reason="memory by kind is counted by Linux alone")
def test_pages_that_were_read_are_given_back_and_come_again(tmp_path: Path) -> None:
    def from_files() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) * 1024

    np.save(tmp_path / "maps.npy", np.arange(2**22, dtype=float))  # 32 MiB
    maps = np.load(tmp_path / "maps.npy", mmap_mode="r")
    before, total = from_files(), maps.sum()
    assert from_files() - before > 30 * 2**20
    release_pages(maps)
    assert from_files() - before < 2 * 2**20
    assert maps.sum() == total
    private = np.load(tmp_path / "maps.npy", mmap_mode="c")
    private[:] = 1.0
    release_pages(private)
    assert private.sum() == 2**22

"""The forward model in keras.ops: the law of the observation by steps, on all backends, row by row."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops.counters import pick, rows
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.observation.ops.transforms import mirrored
from cosmokeras.observation.ops.turns import turn_table
from cosmokeras.params.config import Config
from study.observation_by_steps import last_steps, survey_steps

HERE = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")


@pytest.fixture
def masked(config: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """Parameters with masks of 24 pixels and 16 around, a tenth hidden in holes, some at the edges."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:56, :56]
    masks = np.ones((6, 56, 56), np.float16)
    for one in masks:
        for centre in rng.uniform(0, 56, (18, 2)):
            distance = np.hypot(y - centre[0], x - centre[1]) - rng.uniform(0.5, 3.5)
            one[:] = np.minimum(one, np.round(np.clip(distance, 0, 1) * 16) / 16)
    np.save(tmp_path / "masks.npy", masks)

    def load(**more: object) -> Config:
        keys = {"data.size": 24, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4, **more}
        cfg = config(keys)
        vars(cfg)["lensing"] = cfg.lensing.model_copy(update={"mask": str(tmp_path / "masks.npy")})
        return cfg

    return load


SPHERE = {"lensing.pixel_arcmin": 10.0}
FIELD = {"lensing.survey": "kids_1000"}
PATCH = {"lensing.survey": "cosmos"}
FLAT = {"lensing.survey": "hsc_y3_fair", "lensing.mean": "removed_patch", "lensing.smoothing_arcmin": 3.0}
CUT = {"lensing.survey": "lsst_y1"}
WAYS = {"sphere": SPHERE, "field": FIELD, "patch": PATCH, "flat": FLAT, "cut": CUT}


def by_new(cfg: Config, maps: np.ndarray, which: np.ndarray, seed: int, turned: bool = False) -> np.ndarray:
    forward = Forward(cfg)
    parts = []
    for i in range(0, len(maps), 100):
        part = slice(i, i + 100)
        signal = forward.signal(maps[part], which[part])
        parts.append(ops.convert_to_numpy(forward(signal, which[part], rows(seed, 0, len(signal), i), turned)))
    return np.concatenate(parts)


def by_steps(cfg: Config, maps: np.ndarray, which: np.ndarray, seed: int, noise: float = 1.0) -> np.ndarray:
    """By the observation in NumPy, behind the same masks."""
    observer = Observer(cfg)
    noisy = survey_steps(observer, maps, which, np.random.default_rng(seed), noise)
    return last_steps(observer, noisy, which)


def field(cfg: Config, count: int, scatter: float = 0.02) -> np.ndarray:
    """White maps (count, size, size, channels): all modes up to the corners."""
    rng = np.random.default_rng(1)
    return scatter * rng.standard_normal((count, cfg.data.size, cfg.data.size, cfg.channels), dtype=np.float32)


def bands(maps: np.ndarray, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of maps (n, size, size) in bands of |k|, and its standard errors."""
    k = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(maps.shape[1])]))
    which = np.minimum(k * count / 0.708, count - 1).astype(int).ravel()
    power = np.abs(np.fft.fft2(maps)).reshape(len(maps), -1) ** 2
    each = np.stack([power[:, which == b].mean(axis=1) for b in range(count)], axis=1)
    return each.mean(axis=0), each.std(axis=0) / np.sqrt(len(maps))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sphere", "field", "patch", "flat", "cut"])
def test_signal_and_last_steps_are_those_of_the_steps(masked: Callable[..., Config], way: str) -> None:
    """Without noise, behind holes: to float32's digits, modes of the Nyquist frequency included."""
    cfg = masked(**WAYS[way])
    maps, which = field(cfg, 5), np.array([0, 3, 5, 2, 2])
    forward = Forward(cfg, noise=0.0)
    found = ops.convert_to_numpy(forward(forward.signal(maps, which), which, rows(1, 0, 5), turned=False))
    there = by_steps(cfg, maps, which, 1, noise=0.0)
    assert np.abs(found - there).max() < 1e-5 * there.std()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sphere", "field", "patch", "flat", "cut"])
def test_noise_has_the_power_of_that_by_steps(masked: Callable[..., Config], way: str) -> None:
    """Behind holes; in every band within four standard errors, which are about 1 %, and its variance by pixel."""
    cfg = masked(**WAYS[way])
    count = 1200 // cfg.channels
    which = np.arange(count) % 6
    zero = np.zeros((count, 24, 24, cfg.channels), np.float32)
    new, old = by_new(cfg, zero, which, 3), by_steps(cfg, zero, which, 4)
    (ours, error), (theirs, other) = (bands(np.moveaxis(one, 3, 1).reshape(-1, 24, 24)) for one in (new, old))
    assert np.abs((ours - theirs) / np.hypot(error, other)).max() < 4
    assert np.max(np.hypot(error, other) / theirs) < 0.035
    for channel in range(cfg.channels):  # real parts and imaginary parts alike
        assert new[..., channel].var() == pytest.approx(old[..., channel].var(), rel=0.04)
    pixels = [np.mean(one[which == 0] ** 2, axis=(0, 3)) for one in (new, old)]
    numbers = np.count_nonzero(which == 0) * cfg.channels
    seen = pixels[1] > 0
    assert ((pixels[0] > 0) == seen).all()
    ratio = pixels[0][seen] / pixels[1][seen]
    assert np.std(ratio) == pytest.approx(np.sqrt(4 / numbers), rel=0.25)


@pytest.mark.slow
def test_channels_share_no_noise(masked: Callable[..., Config]) -> None:
    """E and B of one field are two channels: no covariance, at the same pixel or at neighbours, near holes either."""
    cfg = masked(**SPHERE)
    count = 1500
    noise = by_new(cfg, np.zeros((count, 24, 24, 4), np.float32), np.zeros(count, int), 6)
    seen = noise[0, ..., 0] != 0
    for a, b in ((0, 1), (2, 3), (0, 2), (1, 2)):
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            first, second = noise[:, dy:, dx:, a], noise[:, : 24 - dy, : 24 - dx, b]
            there = seen[dy:, dx:] & seen[: 24 - dy, : 24 - dx]
            z = np.mean(first * second, axis=0)[there] * np.sqrt(count)
            z /= (first.std(axis=0) * second.std(axis=0))[there]
            assert np.abs(z).max() < 5.2 and np.mean(z**2) == pytest.approx(1, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sphere", "patch"])
def test_a_map_does_not_depend_on_its_batch(masked: Callable[..., Config], way: str) -> None:
    cfg = masked(**WAYS[way])
    forward, maps, which = Forward(cfg), field(cfg, 12), pick(2, np.arange(12), 6)

    def observed(part: slice, step: int = 5) -> np.ndarray:
        signal = forward.signal(maps[part], which[part])
        keys = rows(9, step, len(signal), part.start)
        return ops.convert_to_numpy(forward(signal, which[part], keys))

    whole = observed(slice(0, 12))
    assert np.array_equal(observed(slice(0, 12)), whole)
    for part in (slice(0, 5), slice(5, 12), slice(11, 12)):
        assert observed(part) == pytest.approx(whole[part], abs=2e-6)
    assert np.abs(observed(slice(0, 12), 6) - whole).min(axis=(1, 2)).max() >= 0
    assert np.abs(observed(slice(0, 12), 6) - whole).mean() > 0.5


@pytest.mark.slow
def test_maps_turn_with_their_masks(masked: Callable[..., Config]) -> None:
    """Without noise a turned map is the still one turned, all eight ways; its noise does not turn."""
    cfg = masked(**PATCH)
    forward, maps, which = Forward(cfg, noise=0.0), field(cfg, 64), pick(2, np.arange(64), 6)
    signal, keys = forward.signal(maps, which), rows(4, 0, 64)
    still, turned = (ops.convert_to_numpy(forward(signal, which, keys, some)) for some in (False, True))
    table, codes = turn_table(24), []
    for a, b in zip(still, turned, strict=True):
        same = [code for code in range(8) if np.abs(a.reshape(-1, 1)[table[code]] - b.reshape(-1, 1)).max() < 1e-6]
        assert len(same) == 1
        codes += same
    assert set(codes) == set(range(8))
    image = np.arange(6).reshape(2, 3)[:, :2]
    ways = {tuple(np.rot90(one, n).ravel()) for one in (image, image.T) for n in range(4)}
    assert {tuple(image.ravel()[one]) for one in turn_table(2)} == ways
    noisy = Forward(cfg)
    without, with_turns = (ops.convert_to_numpy(noisy(signal * 0, which, keys, some)) for some in (False, True))
    both = (without != 0) & (with_turns != 0)
    assert np.corrcoef(without[both], with_turns[both])[0, 1] > 0.9


def test_periodic_maps_are_shifted(config: Callable[..., Config]) -> None:
    cfg = config({"data.kind": "2lpt", "data.size": 16, "lpt.particles": 16, "model.spectrum_bins": 4,
                  "evaluate.spectrum_bins": 4})  # fmt: skip
    forward, maps = Forward(cfg), field(cfg, 40)
    turned = ops.convert_to_numpy(forward(maps, np.zeros(40, np.int32), rows(4, 0, 40)))
    assert np.array_equal(np.sort(turned.reshape(40, -1)), np.sort(maps.reshape(40, -1)))
    first = np.array([np.argmax(one) for one in turned]) - np.array([np.argmax(one) for one in maps])
    assert len(np.unique(first)) > 20
    power = [np.sort(np.abs(np.fft.fft2(one[..., 0])).ravel()) for one in (turned[0], maps[0])]
    assert power[0] == pytest.approx(power[1], rel=1e-3, abs=1e-4)


def test_margins_are_mirror_images() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 5)).astype(np.float32)
    assert np.array_equal(
        ops.convert_to_numpy(mirrored(ops.convert_to_tensor(x), 4)), np.pad(x, ((0, 0), (4, 4), (4, 4)), "symmetric")
    )


@pytest.mark.slow
def test_backends_agree(tmp_path: Path) -> None:
    """Integers bit by bit, maps to 1e-5 of the noise; jax and torch without TensorFlow."""
    found: dict[str, Any] = {}
    for backend in BACKENDS:
        env = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[2])}
        subprocess.run([sys.executable, HERE / "backends.py", tmp_path / f"{backend}.npz"], check=True, env=env)
        with np.load(tmp_path / f"{backend}.npz") as made:
            found[backend] = dict(made)
        assert found[backend].pop("modules")[0] == (backend == "tensorflow")
    for backend in BACKENDS[1:]:
        for name, one in found["tensorflow"].items():
            if name == "words":
                assert np.array_equal(found[backend][name], one)
            else:
                assert np.abs(found[backend][name] - one).max() < 1e-5, (backend, name)


def trained(out: Path, backend: str, devices: str) -> np.ndarray:
    """Losses and weights of a few steps, in a process of their own."""
    env = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[2])}
    subprocess.run([sys.executable, HERE / "fits.py", out, devices], check=True, env=env)
    with np.load(out) as made:
        return np.concatenate([made["loss"], made["weights"]])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Those of TensorFlow on one device."""
    return trained(tmp_path_factory.mktemp("fits") / "plain.npz", "tensorflow", "one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "devices"),
    [
        *((backend, "one") for backend in BACKENDS if backend != "tensorflow"),
        # in the gate two devices are compared by the runs of tests/training/test_resume.py
        *(pytest.param(backend, "two", marks=pytest.mark.long) for backend in ("tensorflow", "jax")),
    ],
)
def test_training_steps_with_the_observation_inside_agree(
    backend: str, devices: str, plain: np.ndarray, tmp_path: Path
) -> None:
    """Compiled or not, on one device or two: the same losses and weights, of the network alone."""
    assert trained(tmp_path / "fit.npz", backend, devices) == pytest.approx(plain, rel=1e-5, abs=1e-6)

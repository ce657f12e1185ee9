"""What `benchmarks.gpu` measures on the backend of KERAS_BACKEND: rates, efficiency, values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
import numpy as np

from benchmarks.peers import configure
from benchmarks.training import keras_model
from cosmokeras import models
from cosmokeras.dataset.batches import fresh_maps, kept_maps
from cosmokeras.dataset.feeders import Read, endless, training_batches
from cosmokeras.dataset.shards import Split
from cosmokeras.models.heads import head_of
from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.counters import pick
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.config import Config
from cosmokeras.training.devices import peak_memory
from cosmokeras.training.loop import compiled_model, precision

SIGNAL = 0.01  # rms of the Gaussian maps that stand in for simulated ones: rates do not depend on it
MAPS, BATCH = 2048, {64: 128, 128: 64, 256: 32}
WAYS = ("observed_in_the_step", "not_observed", "observed_before")


@dataclass(frozen=True)
class Case:
    """A network, the side of its maps in pixels, and the precision of its layers."""

    network: str
    size: int
    policy: str

    def config(self, quick: bool) -> Config:
        """Parameters of the run: maps of DES Y3 in four bins."""
        tiny = {
            "model.width": 4,
            "model.spectrum_bins": 4,
            "train.batch_size": 4,
            "lensing.survey": "kids_1000",
            "lensing.mask": "none",
        }
        keys = {"data.size": self.size, "model.name": self.network, "train.batch_size": BATCH.get(self.size, 4)}
        keys |= {"lensing.pixel_arcmin": 5 * 64 / self.size, "lensing.mask": "survey", "data.n_cosmologies": 4096}
        return configure(keys | {"data.realisations": 1, "train.precision": self.policy} | (tiny if quick else {}))


def cases(quick: bool) -> list[Case]:
    """The most telling first: what the time does not suffice for is left out."""
    sizes = (16,) if quick else (64, 128, 256)
    policies = ("float32",) if quick else ("float32", "mixed_bfloat16")
    return [Case(network, size, policy) for policy, size, network in product(policies, sizes, ("hybrid", "resnet"))]


def rates(quick: bool, seconds: float) -> Iterator[dict[str, Any]]:
    """Maps a second of each case by WAYS, and the peak of memory, one after the other until `seconds` are over."""
    end = time.monotonic() + seconds
    for case in cases(quick):
        if time.monotonic() > end:
            yield {"case": vars(case), "left_out": "no time was left"}
            continue
        try:
            with precision(case.policy):
                cfg = case.config(quick)
                row = {way: _rate(cfg, way, quick) for way in WAYS}
        except Exception as error:  # memory that does not suffice has another type on each backend
            yield {"case": vars(case), "left_out": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
            continue
        yield {"case": vars(case), "maps_per_second": row, "peak_memory_mb": peak_memory()}


def _rate(cfg: Config, way: str, quick: bool) -> float:
    batch, seed, steps = cfg.train.batch_size, cfg.train.seed, 2 if quick else 24
    forward = forward_of(cfg)
    split = gaussian_split(cfg, 4 * batch if quick else MAPS)
    if way == WAYS[0]:
        read = training_batches(kept_maps(split, batch, seed), _encoder(cfg), seed, forward.masks, batch)
        model = compiled_model(cfg, steps, 1, forward)
    else:
        if way == WAYS[2]:
            observed = np.concatenate([observed_by(forward, array, seed) for array in split.arrays])
            split = Split([observed], split.offsets, split.theta, split.cosmology)
        read = _plain(training_batches(kept_maps(split, batch, seed), _encoder(cfg), seed, 1, batch))
        model = keras_model(cfg, steps, "auto")
    batches = endless(read, 0)

    def turn() -> float:
        start = time.perf_counter()
        model.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
        return steps * batch / (time.perf_counter() - start)

    turn()  # compiles
    return float(np.median([turn() for _ in range(1 if quick else 5)]))


def _plain(read: Read) -> Callable[[int], Any]:
    """Batches of maps alone, without masks and keys."""

    def maps_alone(step: int) -> Any:
        (maps, _, _), targets = read(step)
        return (maps,), targets

    return maps_alone


def _encoder(cfg: Config) -> Callable[[np.ndarray], np.ndarray]:
    return lambda theta: models.encode(cfg, theta)


def gaussian_split(cfg: Config, count: int) -> Split:
    """White Gaussian maps of the right shape, in memory."""
    rng = np.random.default_rng(0)
    shape = (count, cfg.data.size, cfg.data.size, cfg.channels)
    maps = (SIGNAL * rng.standard_normal(shape, dtype=np.float32)).astype(cfg.data.dtype)
    theta = rng.uniform(*cfg.bounds.T, (count, len(cfg.parameter_names)))
    return Split([maps], np.zeros(1, int), theta, np.arange(count))


def efficiency(quick: bool, seconds: float) -> dict[str, Any]:
    """Error of the exact posterior's mean over that of a network trained for about `seconds` on Gaussian fields."""
    from cosmokeras.evaluation.limits import exact_mean
    from cosmokeras.simulators import simulate

    size, batch, tests = (16, 8, 16) if quick else (128, 64, 1000)
    keys = {"data.kind": "grf", "data.size": size, "grf.box_mpc_h": 8.0 * size, "model.head": "mse"}
    tiny = {"model.width": 4, "model.spectrum_bins": 4} if quick else {}
    cfg = configure(keys | {"train.batch_size": batch, "train.fresh_maps": True, "train.epochs": 1} | tiny)
    seed, forward = cfg.train.seed, forward_of(cfg)
    read = training_batches(fresh_maps(cfg, batch, seed), _encoder(cfg), seed, forward.masks, batch)
    rng = np.random.default_rng(1)
    theta = rng.uniform(*cfg.bounds.T, (tests, 1))
    seen = observed_by(forward, simulate(cfg, theta, seed), seed)
    trial = 2 if quick else 32
    probe = compiled_model(cfg, trial, 1, forward)
    batches = endless(read, 0)
    probe.fit(batches, steps_per_epoch=trial, shuffle=False, verbose=0)
    start = time.perf_counter()
    probe.fit(batches, steps_per_epoch=trial, shuffle=False, verbose=0)
    steps = max(trial, int(seconds * trial / (time.perf_counter() - start)))
    model = compiled_model(cfg, steps, 1, forward)
    network = model.layers[-1]
    models.standardise(network, seen)  # means and deviations of features alone
    start = time.perf_counter()
    model.fit(endless(read, 0), steps_per_epoch=steps, shuffle=False, verbose=0)
    took = time.perf_counter() - start
    found = head_of(cfg).decode(network.predict(seen, batch_size=batch, verbose=0), cfg.bounds).theta
    errors = [float(np.sqrt(np.mean((one - theta) ** 2))) for one in (exact_mean(cfg, seen), found)]
    return {
        "maps": steps * batch, "seconds": took, "maps_per_second": steps * batch / took,
        "rmse": errors[1], "limit_rmse": errors[0], "efficiency": errors[0] / errors[1],
    }  # fmt: skip


def values(size: int, count: int = 8) -> dict[str, np.ndarray]:
    """Observed maps of fixed integers, and what a network of fixed weights makes of them."""
    cfg = Case("hybrid", size, "float32").config(quick=True)
    forward, split = forward_of(cfg), gaussian_split(cfg, count)
    which = pick(1, np.arange(count), forward.masks)
    (signal, _, keys), _ = training_batches(kept_maps(split, count, 1), _encoder(cfg), 1, forward.masks, count)(0)
    observed = keras.ops.convert_to_numpy(forward(forward.signal(signal, which), which, keys))
    network, rng = models.build(cfg), np.random.default_rng(2)
    network.set_weights([0.1 * rng.standard_normal(one.shape) for one in network.weights])
    return {"observed": observed, "network": network.predict(observed, verbose=0)}

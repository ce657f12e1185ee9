"""One training of `benchmarks.npe`: its maps, its clock, and what is measured of the posteriors that it gives."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from cosmokeras.params.config import Config

VALIDATION = 0.1  # part of the training maps that decides when to stop
PATIENCE = 20  # epochs without a better validation loss before training stops, for all
BATCH = 64  # maps to a step, but for sbi, whose own default is larger
LOOKS = 40  # at the watched maps during a training, at most
LOOK_DRAWS, DRAWS = 64, 128  # from each posterior, for the part of it that lies inside the prior box
POSTERIORS, SAMPLES = 1000, 1000  # that are sampled against the clock, and samples of each
LEVEL = 0.68  # of the interval whose coverage is measured
BLOCK = 100  # posteriors that are sampled at once

Box = np.ndarray  # (d, 2) prior of the parameters


@dataclass(frozen=True)
class Task:
    """What a contender is to do, in a process of its own.

    `folder` has the arrays of `benchmarks.npe.prepare`; of `count` training maps the last tenth are for validation.
    Training ends `seconds` after its first epoch, which compiles; those who train on observed maps have `draws` of
    noise and turns of each.
    """

    cfg: str
    folder: Path
    count: int
    seconds: float
    draws: int = 1

    def config(self) -> Config:
        """Parameters of the maps and of our network."""
        return Config.model_validate_json(self.cfg)

    @property
    def split(self) -> int:
        """Maps for gradients, which come first."""
        return self.count - max(2, round(VALIDATION * self.count))

    def array(self, name: str) -> np.ndarray:
        """An array of the folder, on disk."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


class Posteriors(Protocol):
    """What a contender gives: densities of parameters (n, d) for maps that `given` has made its own form of."""

    weights: int

    def given(self, obs: np.ndarray) -> Any:
        """Observed maps (n, size, size, channels) in the form that the library takes."""

    def log_density(self, given: Any, theta: np.ndarray) -> np.ndarray:
        """Log density (n,) at theta (n, d), normalised over all space or over the prior box."""

    def inside(self, given: Any, draws: int) -> np.ndarray:
        """Part (n,) of each density that lies in the prior box, from `draws` samples; 1 where none can lie outside."""

    def sample(self, given: Any, draws: int) -> np.ndarray:
        """Samples (n, draws, d) inside the prior box."""


def nll(posteriors: Posteriors, given: Any, theta: np.ndarray, draws: int) -> np.ndarray:
    """Negative log density (n,) of the true parameters theta (n, d), normalised over the prior box."""
    share = np.maximum(posteriors.inside(given, draws), 0.5 / draws)  # no draw inside: less than one
    return np.log(share) - np.asarray(posteriors.log_density(given, theta), float)


def in_box(samples: np.ndarray, bounds: Box) -> np.ndarray:
    """Which of the samples (..., d) lie in the prior box, (...)."""
    return np.all((samples >= bounds[:, 0]) & (samples <= bounds[:, 1]), axis=-1)


class Clock:
    """Seconds of training, and the negative log density of the watched maps by them; looking stops the clock."""

    def __init__(self, budget: float) -> None:
        self.budget, self.curve, self.epochs = budget, list[tuple[float, float]](), 0
        self.look: Callable[[], float] | None = None
        self.first = self.last = self._paused = self._looked = 0.0  # ends of the first and of the last epoch, ...
        self._start = perf_counter()

    def seconds(self) -> float:
        """So far."""
        return perf_counter() - self._start - self._paused

    @property
    def spent(self) -> bool:
        """Whether the budget, which begins after the first epoch, is used up."""
        return bool(self.first) and self.seconds() - self.first >= self.budget

    def epoch(self) -> None:
        """At the end of an epoch: look at the watched maps if the last time was long ago."""
        now, self.epochs = self.seconds(), self.epochs + 1
        self.first, self.last = self.first or now, now
        if self.look is None or (self.curve and now - self._looked < self.budget / LOOKS):
            return
        began = perf_counter()
        self.curve.append((now, float(self.look())))
        self._looked = now
        self._paused += perf_counter() - began


def time_to(curve: list[tuple[float, float]], level: float) -> float:
    """Seconds after which a curve of (seconds, nll) first is at `level` or below; inf if it never is."""
    return next((seconds for seconds, value in curve if value <= level), float("inf"))


def best_of(curve: list[tuple[float, float]]) -> tuple[float, float]:
    """Seconds and nll of the lowest point of a curve."""
    return min(curve, key=lambda point: point[1])


def affordable(epoch: float, budget: float, most: int) -> int:
    """The first epoch and as many as fill nine tenths of a budget, of seconds `epoch` each; 2 to `most`."""
    return int(np.clip(1 + 0.9 * budget / epoch, 2, most))


def measure(task: Task, posteriors: Posteriors, clock: Clock, seconds: float, capped: bool) -> dict[str, Any]:
    """All figures of a training that took `seconds`: `nll` (n,) of the test maps among them."""
    bounds = target_bounds(task.config())
    obs, theta = task.array("test"), targets(task.config(), task.array("test_theta"))
    given = posteriors.given(np.array(obs))
    values = nll(posteriors, given, theta, DRAWS)
    few = posteriors.given(np.array(obs[:POSTERIORS]))
    posteriors.sample(few[:BLOCK], SAMPLES)  # compiled
    began = perf_counter()
    samples = posteriors.sample(few, SAMPLES)
    took = perf_counter() - began
    assert samples.shape == (len(few), SAMPLES, theta.shape[1]) and in_box(samples, bounds).all()
    low, high = np.quantile(samples[..., 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return {
        "nll": values,
        "coverage_68": float(np.mean((theta[: len(few), 0] > low) & (theta[: len(few), 0] < high))),
        "seconds": seconds,
        "first_epoch_seconds": clock.first,
        "epochs": clock.epochs,
        "capped": capped,
        "sampling_seconds": took,
        "samples_per_second": samples.shape[0] * samples.shape[1] / took,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "weights": posteriors.weights,
        "curve": clock.curve,
    }


def targets(cfg: Config, theta: np.ndarray) -> np.ndarray:
    """Columns (n, d) of free parameters (n, p) that are inferred."""
    return np.asarray(theta)[:, cfg.target_columns]


def target_bounds(cfg: Config) -> Box:
    """Prior box of what is inferred."""
    return cfg.bounds[cfg.target_columns]

"""Ours in `benchmarks.npe`: the default network by the product's own training, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.npe_trial import PATIENCE, Clock, Task, affordable, measure, targets
from cosmokeras import models
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.calibrate import with_widths
from cosmokeras.inference.estimator import Estimator
from cosmokeras.models.backend import set_seed
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.config import Config
from cosmokeras.project import changed
from cosmokeras.training import loop
from cosmokeras.training.checkpoint import RunState

PROBE = 1024  # maps of the trial that says how long an epoch takes
EPOCHS = 200  # at most
WIDTH_NOISE = 7_000_003  # seed of the validation maps' noise when widths are calibrated


class Watched(RunState):
    """The state of a run that also tells a clock when an epoch ends, and ends the run with the clock's budget."""

    clock: Clock

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look, and stop when it is time."""
        super().on_epoch_end(epoch, logs)
        self.clock.epoch()
        if self.clock.spent:
            self.progress.wait, self.model.stop_training = self.patience, True


class Mixtures:
    """An estimator as one of `benchmarks.npe_trial.Posteriors`."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator, self.weights = estimator, int(estimator.model.count_params())

    def given(self, obs: np.ndarray) -> np.ndarray:
        """As they are."""
        return obs

    def log_density(self, given: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Inside the prior box."""
        return self.estimator.log_prob(given, theta)

    def inside(self, given: np.ndarray, draws: int) -> np.ndarray:
        """All of it."""
        return np.ones(len(given))

    def sample(self, given: np.ndarray, draws: int) -> np.ndarray:
        """By the estimator."""
        return self.estimator.sample(given, draws, seed=0)


def split_of(task: Task, part: slice) -> Split:
    """Noise-free training maps in memory, one of each cosmology."""
    maps, theta = np.array(task.array("signal")[part]), np.array(task.array("theta")[part])
    return Split([maps], np.array([0]), theta, np.arange(len(maps)))


def fit(cfg: Config, task: Task, training: Split, validation: Split, look: bool) -> tuple[Watched, Estimator]:
    """Train with `cosmokeras.training.loop.fit`; the best weights. `look`: at the watched maps too."""
    set_seed(cfg.train.seed)
    devices, batch = loop.find_devices(), cfg.train.batch_size
    with TemporaryDirectory(dir=task.folder) as folder:
        options = cfg.train
        state = Watched(Path(folder), len(training) // batch, options.patience, options.checkpoint_minutes)
        state.epochs = options.epochs
        state.progress.trained_on = {"devices": devices.count, "device_names": list(devices.names), "batch": batch}
        state.clock = Clock(task.seconds if look else np.inf)
        if look:
            watch, theta = np.array(task.array("watch")), targets(cfg, task.array("watch_theta"))

            def mean_nll() -> float:
                estimator = Estimator(cfg, state.model.layers[-1])  # the network behind the observation
                return -float(np.mean(estimator.log_prob(watch, theta)))

            state.clock.look = mean_nll
        loop.fit(cfg, state, devices, training, validation)
        network = models.build(cfg)
        state.load_best(network)
    return state, Estimator(cfg, network)


def run(task: Task) -> dict[str, Any]:
    """Train on noise-free maps, which every step observes and turns anew; calibrate the widths; measure."""
    cfg = task.config()
    training, validation = split_of(task, slice(task.split)), split_of(task, slice(task.split, task.count))
    probe = changed(cfg, {"train.epochs": 2, "train.patience": PATIENCE})
    few = split_of(task, slice(min(PROBE, task.split)))
    tried = fit(probe, task, few, validation.head(len(few)), look=False)[0].clock
    epoch = (tried.last - tried.first) * (len(training) // cfg.train.batch_size) / (len(few) // cfg.train.batch_size)
    epochs = affordable(epoch, task.seconds, EPOCHS)
    cfg = changed(cfg, {"train.epochs": epochs, "train.patience": PATIENCE})
    state, estimator = fit(cfg, task, training, validation, look=True)
    outputs = estimator.outputs(observed(validation, forward_of(cfg), WIDTH_NOISE))
    estimator = with_widths(estimator, outputs, validation)
    stopped = state.progress.wait >= state.patience and not state.clock.spent
    return measure(task, Mixtures(estimator), state.clock, state.clock.seconds(), epochs < EPOCHS and not stopped)


RUN = {"cosmokeras": run}

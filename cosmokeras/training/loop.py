"""The one training path: tf.data -> fit, on one device or all of a node, resumable at any step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cosmokeras import models
from cosmokeras.config import Config
from cosmokeras.dataset.pipeline import fixed_stream, observed, training_stream
from cosmokeras.dataset.shards import Split
from cosmokeras.models.heads import MixtureLoss, to_normal
from cosmokeras.observation import Observer
from cosmokeras.training.checkpoint import RunState, load_variables
from cosmokeras.training.devices import scope
from cosmokeras.training.optimizer import ClippedAdamW, schedule

STANDARDISE_MAPS = 2048  # training maps from which feature means and deviations are taken
VALIDATION_NOISE = 1_000_003  # seed of the validation maps' noise: the same in every epoch


@dataclass(frozen=True)
class Trained:
    """A finished run: the model with its best weights, and how it went."""

    model: keras.Model
    history: list[dict[str, float]]
    best_loss: float
    best_epoch: int
    maps_per_second: float
    devices: int


def encode_targets(cfg: Config, theta: np.ndarray) -> np.ndarray:
    """Regression targets as the head wants them, (n, d) float32."""
    columns = theta[:, cfg.target_columns]
    bounds = cfg.bounds[cfg.target_columns]
    if cfg.model.head == "posterior":
        return to_normal(columns, bounds).astype(np.float32)
    return (2 * (columns - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0]) - 1).astype(np.float32)


def train(cfg: Config, training: Split, validation: Split, work: Path) -> Trained:
    """Train the network of `cfg` or go on where an earlier run with the same `work` folder was stopped."""
    keras.utils.set_random_seed(cfg.train.seed)
    observer, batch, seed = Observer(cfg), cfg.train.batch_size, cfg.train.seed
    steps = len(training) // batch
    where, devices = scope(batch)
    state = RunState(work, steps, cfg.train.patience, cfg.train.checkpoint_minutes)
    with where:
        model = models.build(cfg)
        optimizer = ClippedAdamW(
            schedule(cfg.train.lr, cfg.train.epochs * steps, cfg.train.warmup),
            weight_decay=cfg.train.weight_decay,
            clip=cfg.train.clip,
        )
        loss = MixtureLoss(cfg.model.components) if cfg.model.head == "posterior" else "mse"
        # XLA gains little on CPUs and does not work under MirroredStrategy
        model.compile(optimizer, loss=loss, jit_compile=False)
        if state.restore(model):
            print(f"resumed at epoch {state.epoch + 1}, step {state.step} of {steps}", flush=True)
        else:
            few = training.head(STANDARDISE_MAPS)
            models.standardise(model, observed(few, observer, seed))
    targets = encode_targets(cfg, training.theta)
    held_out = fixed_stream(validation, encode_targets(cfg, validation.theta), observer, 256, VALIDATION_NOISE)
    verbose = 1 if sys.stderr.isatty() else 2
    while state.epoch < cfg.train.epochs and not state.finished:
        # the first round may be the rest of an epoch; the second goes to the end
        partial = state.step > 0
        start = state.epoch * steps + state.step
        model.fit(
            training_stream(training, targets, observer, batch, seed, cfg.periodic, start),
            initial_epoch=state.epoch,
            epochs=state.epoch + 1 if partial else cfg.train.epochs,
            steps_per_epoch=steps - state.step,
            validation_data=held_out,
            callbacks=[state],
            shuffle=False,  # the stream is already in random order
            verbose=verbose,
        )
    load_variables(state.best_path, model.weights)
    rate = state.trained_steps * batch / state.trained_seconds if state.trained_seconds else 0.0
    return Trained(model, state.history, state.best, state.best_epoch, rate, devices)

"""The one training path: batches -> fit, on any backend and any number of devices, resumable at any step."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import locked
from cosmokeras.common.heartbeat import doing
from cosmokeras.dataset.batches import fresh_maps, kept_maps
from cosmokeras.dataset.feeders import Read, endless, finite, fixed_batches, training_batches
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.dataset.signal import signal_on_disk
from cosmokeras.models.backend import check_backend, set_seed
from cosmokeras.models.ensemble import joined, member
from cosmokeras.models.heads import head_of
from cosmokeras.observation.ops.forward import Forward, forward_of
from cosmokeras.observation.ops.layer import observed_model
from cosmokeras.params.config import Config
from cosmokeras.training.checkpoint import Progress, RunState
from cosmokeras.training.curves import Curves, WandbCurves, check_wandb
from cosmokeras.training.devices import Devices, find_devices, release_memory
from cosmokeras.training.optimizer import ClippedAdamW, scaled_rate, schedule
from cosmokeras.training.start import freeze, starting_model

STANDARDISE_MAPS = 2048  # training maps from which feature means and deviations are taken
VALIDATION_NOISE = 1_000_003  # seed of the validation maps' noise: the same in every epoch
VALIDATION_BATCH = 256
SIGNAL = "signal"  # folder below that of the run's state


@dataclass(frozen=True)
class Trained:
    """A finished run: the model with its best weights, on one device, how it went, and the devices of this process.

    Of an ensemble `model` is all members as one, and `progress` is that of all (`together`).
    """

    model: keras.Model
    progress: Progress
    devices: Devices

    @property
    def maps_per_second(self) -> float:
        """Of the steps of training alone."""
        maps, seconds = self.progress.trained_steps * self.progress.trained_on["batch"], self.progress.trained_seconds
        return maps / seconds if seconds else 0.0


def train(cfg: Config, training: Split, validation: Split, work: Path, curves: Path | None = None) -> Trained:
    """Train the network of `cfg`, or go on where an earlier run with the same `work` folder was stopped.

    The members of an ensemble are trained one after another, each as a network by itself: the first in `work`, others
    in folders beside it, WORK-2, WORK-3, ...

    Parameters
    ----------
    work : folder of the run's state, on a disk that all processes of the run share
    curves : folder for the curves, of an ensemble those of the first member; None: no curves
    """
    check_backend(cfg.train.backend)
    if cfg.train.wandb:
        check_wandb()
    set_seed(cfg.train.seed)
    devices = find_devices()
    if cfg.train.ensemble == 1:
        return train_one(cfg, devices, training, validation, work, curves)
    runs: list[Trained] = []
    for number in range(cfg.train.ensemble):
        one = member(cfg, number)
        print(f"member {number + 1} of {cfg.train.ensemble}, seed {one.train.seed}", flush=True)
        set_seed(one.train.seed)
        folder = work if number == 0 else work.with_name(f"{work.name}-{number + 1}")
        runs.append(train_one(one, devices, training, validation, folder, None if number else curves))
    with precision(cfg.train.precision):
        model = joined(cfg, [run.model for run in runs])
    return Trained(model=model, progress=together([run.progress for run in runs]), devices=devices)


def together(runs: Sequence[Progress]) -> Progress:
    """Progress of an ensemble: times and steps of all, the mean of their best losses, the history of the first.

    Its `best_epoch` is the last of those of the members.
    """
    return replace(
        runs[0],
        best_loss=sum(run.best_loss for run in runs) / len(runs),
        best_epoch=max(run.best_epoch for run in runs),
        trained_steps=sum(run.trained_steps for run in runs),
        trained_seconds=sum(run.trained_seconds for run in runs),
        seconds=sum(run.seconds for run in runs),
        trained_on=runs[-1].trained_on,  # whose peak of memory is that of the process
    )


def train_one(
    cfg: Config, devices: Devices, training: Split, validation: Split, work: Path, curves: Path | None
) -> Trained:
    """Train one network; see `train`."""
    batch = cfg.train.batch_size * devices.count
    steps = len(training) // batch
    if steps == 0:
        raise UserError(
            f"train.batch_size={cfg.train.batch_size}: on {devices.count} devices more than the {len(training)} "
            "training maps; lower it"
        )
    with locked(work) if devices.main else nullcontext(), precision(cfg.train.precision):
        every = cfg.train.checkpoint_minutes
        state = RunState(work, steps, cfg.train.patience, every, devices.main, epochs=cfg.train.epochs)
        state.progress.trained_on = {"devices": devices.count, "device_names": list(devices.names), "batch": batch}
        fit(cfg, state, devices, training, validation, curves)
        release_memory()  # the graph of the training step, with its gradients
        model = models.build(cfg)
        if devices.main:
            state.load_best(model)
            shutil.rmtree(work / SIGNAL, ignore_errors=True)
    return Trained(model=model, progress=state.progress, devices=devices)


def fit(
    cfg: Config, state: RunState, devices: Devices, training: Split, validation: Split, curves: Path | None = None
) -> None:
    """The rest of a run: from what `state` has kept to its end."""
    forward, batch, seed = forward_of(cfg), cfg.train.batch_size * devices.count, cfg.train.seed
    doing("measuring the scale of features on training maps")
    held = divisor(len(validation), devices.count)
    start = None if state.kept else starting_model(cfg, observed(training.head(STANDARDISE_MAPS), forward, seed))
    release_memory()  # what making those maps and showing them to the network took
    with devices.distributed():
        model = compiled_model(cfg, state.steps, devices.count, forward)
        if start is not None:
            model.set_weights(start.get_weights())
        else:
            state.restore(model)
            if state.unfinished(cfg.train.epochs):
                check_batch(state, batch)
            progress = state.progress
            print(f"resumed at epoch {progress.epoch + 1}, step {progress.step} of {state.steps}", flush=True)
        callbacks: list[keras.callbacks.Callback] = [state]
        if devices.main:
            callbacks += [Curves(state, curves)] if curves else []
            callbacks += [WandbCurves(cfg, state)] if cfg.train.wandb else []
        if not state.unfinished(cfg.train.epochs):
            return
        doing("writing the masked signal of the maps")
        read, check = batches_of(cfg, forward, training, validation, state.folder / SIGNAL, devices)
        doing("compiling the first step")
        while state.unfinished(cfg.train.epochs):
            # the first round may be the rest of an epoch; the second goes to the end
            epoch, step = state.progress.epoch, state.progress.step
            model.fit(
                endless(read, epoch * state.steps + step),
                initial_epoch=epoch,
                epochs=epoch + 1 if step > 0 else cfg.train.epochs,
                steps_per_epoch=state.steps - step,
                validation_data=finite(check, len(validation) // held),
                callbacks=callbacks,
                shuffle=False,  # the stream is already in random order
                verbose=(1 if sys.stderr.isatty() else 2) if devices.main else 0,
            )


def batches_of(
    cfg: Config, forward: Forward, training: Split, validation: Split, folder: Path, devices: Devices
) -> tuple[Read, Read]:
    """Batches of the signal of training and of validation maps, by step; `folder` is where it goes."""
    batch, held, seed = cfg.train.batch_size * devices.count, divisor(len(validation), devices.count), cfg.train.seed
    share = devices.process, devices.processes
    validation = signal_on_disk(validation, forward, VALIDATION_NOISE, folder / "validation", *share)
    kept = None
    if cfg.train.fresh_maps:
        source = fresh_maps(cfg, batch, seed)  # of kinds whose signal is the map itself
    else:
        kept = signal_on_disk(training, forward, seed, folder / "train", *share)
        source = kept_maps(kept, batch, seed)
    encode, targets = partial(models.encode, cfg), models.encode(cfg, validation.theta)
    return (
        training_batches(source, encode, seed, forward.masks, batch, devices.share(batch), kept),
        fixed_batches(validation, targets, VALIDATION_NOISE, forward.masks, held, devices.share(held)),
    )


def check_batch(state: RunState, batch: int) -> None:
    """Refuse to go on with steps of another size: the place in the data and in the schedule would be lost."""
    before = state.progress.trained_on
    if before["batch"] != batch:
        raise UserError(
            f"{state.folder}: this run was begun with {before['batch']} maps to a step on {before['devices']} devices, "
            f"now it would be {batch}; go on with as many devices, or delete that folder to start again"
        )


def compiled_model(cfg: Config, steps: int, devices: int, forward: Forward) -> keras.Model:
    """The network behind the observation of its maps, with its loss and its optimiser."""
    network = models.build(cfg)
    freeze(network, cfg.train.freeze)
    model = observed_model(network, forward, "float32" if cfg.train.fresh_maps else cfg.data.dtype)
    optimizer = ClippedAdamW(
        schedule(scaled_rate(cfg.train.lr, cfg.train.lr_scaling, devices), cfg.train.epochs * steps, cfg.train.warmup),
        weight_decay=cfg.train.weight_decay,
        clip=cfg.train.clip,
        name="adamw",  # by which its variables are kept: Keras would number the optimisers of a process
    )
    # Keras' own choice, `auto`, is XLA on JAX and on a GPU, and none for several devices, where it fails. On CPUs it is
    # none too: it would be a tenth faster or slower, by network, after half a minute (metrics/bench_training.json)
    xla: bool | str = "auto" if cfg.train.xla == "auto" else cfg.train.xla == "on"
    model.compile(optimizer, loss=head_of(cfg).loss, jit_compile=xla)
    return model


def divisor(count: int, devices: int) -> int:
    """The largest batch, of at most VALIDATION_BATCH, that divides `count` maps and that `devices` can share."""
    if count % devices:
        raise UserError(f"data.validation: {count} validation maps cannot be shared by {devices} devices")
    return max(b for b in range(devices, count + 1, devices) if count % b == 0 and b <= max(VALIDATION_BATCH, devices))


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers of a Keras dtype policy inside, e.g. `mixed_bfloat16`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

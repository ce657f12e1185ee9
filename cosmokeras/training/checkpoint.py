"""The state of a training run on disk: exact resumption after a kill at any moment.

Everything that decides the rest of a run is written together: weights, optimiser, random seeds inside the model,
position in the data stream, best validation loss so far, patience: one sealed file, which appears by one rename.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import EXIT_STOPPED, stop_asked
from cosmokeras.common.heartbeat import doing, duration
from cosmokeras.common.sealed import arrays_in, is_whole, read_arrays, write_arrays
from cosmokeras.training.devices import peak_memory
from cosmokeras.training.variables import assign, values_of

PROGRESS = "progress"  # entry of a state with what is no variable, as JSON
KEPT = 2  # states of a run: the last, and the one before it, for when that is damaged


@dataclass
class Progress:
    """How far a run is, and all else but variables that its rest and its report depend on.

    `step` counts batches since the beginning of `epoch`, `loss_sum` is the sum of their losses; `wait` epochs have gone
    by since the best one; `history` has a row for each epoch; `trained_on` the devices, for the report: who collects a
    finished run has others. Seconds are wall time: of training steps, and of all.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_loss: float = float("inf")
    best_epoch: int = 0
    wait: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    trained_steps: int = 0
    trained_seconds: float = 0.0
    seconds: float = 0.0
    trained_on: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, note: dict[str, Any]) -> Progress:
        """From its fields, as they were read from `path`."""
        if note.keys() != {one.name for one in fields(cls)}:
            raise UserError(f"{path}: of another version; delete {path.parent} to begin anew")
        return cls(**note)


class RunState(keras.callbacks.Callback):
    """Saves at each end of epoch, every `minutes` within one, and on SIGTERM or SIGUSR1; keeps the best weights.

    After a signal, or when the file named by COSMOKERAS_STOP_FILE appears, the state is saved and the process exits
    with code 75. Of several processes the main one does: the others go along until it leaves, or the step that it is in
    would never end.
    """

    def __init__(
        self, folder: Path, steps: int, patience: int, minutes: float, main: bool = True, epochs: int = 0
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.folder, self.steps, self.patience, self.interval = folder, steps, patience, 60 * minutes
        self.main = main
        self.progress = Progress()
        self.stop_signal = False
        self._saved_at = time.monotonic()

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch so far."""
        return self.folder / "best.npz"

    @property
    def kept(self) -> bool:
        """Whether there is a state to go on from."""
        return bool(self._states())

    def _states(self) -> list[Path]:
        """Saved states, the last first."""
        return sorted(self.folder.glob("state-*.npz"), reverse=True)

    def unfinished(self, epochs: int) -> bool:
        """Whether there is more to train, of `epochs` at most."""
        return self.progress.epoch < epochs and self.progress.wait < self.patience

    def restore(self, model: keras.Model) -> None:
        """Load the last saved state that is whole; call where the model was built.

        Raises
        ------
        UserError : none is, or the best weights so far are damaged, which no state holds
        """
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        for path in self._states():
            if is_whole(path):
                values = arrays_in(path.read_bytes())
                progress = Progress.of(path, json.loads(values.pop(PROGRESS).tobytes()))
                break
            print(f"{path} is damaged: going on from the state before", flush=True)
        else:
            raise UserError(f"{self.folder}: no state of this run is whole; delete that folder to begin anew")
        if progress.best_epoch and not is_whole(self.best_path):
            raise UserError(f"{self.best_path}: damaged; delete {self.folder} to begin anew")
        assign(path, values, _all_variables(model))
        self.progress = progress

    def load_best(self, model: keras.Model) -> None:
        """Give a network the weights of the best epoch."""
        values = read_arrays(self.best_path)
        if values is None:
            raise UserError(f"{self.best_path}: missing or damaged; delete {self.folder} to begin anew")
        assign(self.best_path, values, model.weights)

    def save(self) -> None:
        """Write everything under a new name, by one rename; of the states before the last one stays.

        Of several processes, all of which hold the same, the main one writes.
        """
        now, progress = time.monotonic(), self.progress
        progress.seconds, self._saved_at = progress.seconds + now - self._saved_at, now
        if not self.main:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # JAX keeps the weights to itself within an epoch
        progress.trained_on["peak_memory_mb"] = peak_memory()
        path = self.folder / f"state-{progress.epoch:05d}-{progress.step:07d}.npz"
        words = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
        write_arrays(path, values_of(_all_variables(self.model)) | {PROGRESS: words})
        older = [old for old in self._states() if old.name < path.name]
        for old in self._states():
            if old not in (path, *older[: KEPT - 1]):  # older yet, or damaged later ones that it did not go on from
                with suppress(OSError):
                    old.unlink()

    def on_train_begin(self, logs: Any = None) -> None:
        """Signals only raise a flag: the state is saved between two steps."""
        self._before = signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGUSR1, self._ask_to_stop)
        self._offset_sum, self._offset_steps = self.progress.loss_sum, self.progress.step
        self._saved_at = time.monotonic()

    def on_train_end(self, logs: Any = None) -> None:
        """After training SIGTERM ends the program again; SIGUSR1, which says that time is short, does not."""
        signal.signal(signal.SIGTERM, self._before)

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        self.stop_signal = True

    @property
    def asked(self) -> bool:
        """Whether this process is to save and to leave."""
        return self.main and (self.stop_signal or stop_asked())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start of a data epoch, or of what is left of one."""
        self.progress.epoch = epoch
        self._offset_sum, self._offset_steps = self.progress.loss_sum, self.progress.step
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count; save when it is time; leave when asked to."""
        progress, loss = self.progress, float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise UserError(
                f"training diverged at epoch {progress.epoch + 1} (loss {loss}); lower train.lr or train.clip"
            )
        progress.step = self._offset_steps + batch + 1
        # Keras reports the running mean since its own epoch began
        progress.loss_sum = self._offset_sum + loss * (batch + 1)
        doing(self._how_far())
        if progress.step == self.steps:
            return
        asked = self.asked
        if asked or time.monotonic() - self._saved_at > self.interval:
            self.save()
        if asked:
            self._leave()

    def _how_far(self) -> str:
        """Where the run is, and how long it takes at most if the epochs to come are as fast as those before."""
        progress = self.progress
        where = f"epoch {progress.epoch + 1} of {self.epochs}, step {progress.step} of {self.steps}"
        if not progress.trained_steps:
            return where
        steps = (self.epochs - progress.epoch) * self.steps - progress.step
        return f"{where}, at most {duration(steps * progress.trained_seconds / progress.trained_steps)} left"

    def on_test_begin(self, logs: Any = None) -> None:
        """Training time ends where validation begins."""
        doing(f"validation after epoch {self.progress.epoch + 1} of {self.epochs}")
        self.progress.trained_seconds += time.monotonic() - self._began
        self.progress.trained_steps += self.progress.step - self._offset_steps

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the best weights, count patience, save."""
        progress, loss = self.progress, float((logs or {})["val_loss"])
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        mean = progress.loss_sum / self.steps
        progress.history.append({"epoch": epoch + 1, "loss": mean, "val_loss": loss, "lr": rate})
        if loss < progress.best_loss:
            progress.best_loss, progress.best_epoch, progress.wait = loss, epoch + 1, 0
            if self.main:
                write_arrays(self.best_path, values_of(self.model.weights))
        else:
            progress.wait += 1
        progress.epoch, progress.step, progress.loss_sum = epoch + 1, 0, 0.0
        self.save()
        if progress.wait >= self.patience:
            self.model.stop_training = True
        elif self.asked:
            self._leave()

    def _leave(self) -> None:
        at = f"epoch {self.progress.epoch}, step {self.progress.step}"
        print(f"stopped on request: saved at {at}; run again to resume", flush=True)
        raise SystemExit(EXIT_STOPPED)


def _all_variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]  # model.variables holds random seeds, model.weights does not

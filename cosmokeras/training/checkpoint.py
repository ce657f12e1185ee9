"""The state of a training run on disk: exact resumption after a kill at any moment.

Everything that decides the rest of a run is written together: weights, optimiser, random seeds inside the model,
position in the data stream, best validation loss so far, patience. The commit point is the rename of one small file.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import EXIT_STOPPED, atomic, stop_asked, write_json
from cosmokeras.training.devices import peak_memory


class RunState(keras.callbacks.Callback):
    """Saves at each end of epoch, every `minutes` within one, and on SIGTERM or SIGUSR1; keeps the best weights.

    `step` counts batches since the beginning of `epoch`. After a signal, or when the file named by
    COSMOKERAS_STOP_FILE appears, the state is saved and the process exits with code 75. Of several processes the main
    one does: the others go along until it leaves, or the step that it is in would never end.
    """

    def __init__(self, folder: Path, steps: int, patience: int, minutes: float, main: bool = True) -> None:
        super().__init__()
        self.folder, self.steps, self.patience, self.interval = folder, steps, patience, 60 * minutes
        self.main = main
        self.epoch, self.step, self.loss_sum = 0, 0, 0.0
        self.best, self.best_epoch, self.wait = float("inf"), 0, 0
        self.history: list[dict[str, float]] = []
        self.stop_signal = False
        self.trained_steps, self.trained_seconds, self.seconds = 0, 0.0, 0.0
        self.trained_on: dict[str, Any] = {}  # devices, for the report: who collects a finished run has others
        self._saved_at = time.monotonic()

    # What the rest of a run and its report depend on, beside the variables.
    FIELDS = (
        *("epoch", "step", "loss_sum", "best", "best_epoch", "wait", "history"),
        *("trained_steps", "trained_seconds", "seconds", "trained_on"),
    )

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch so far."""
        return self.folder / "best.npz"

    @property
    def kept(self) -> bool:
        """Whether there is a state to go on from."""
        return (self.folder / "latest").exists()

    @property
    def finished(self) -> bool:
        """Whether patience ran out."""
        return self.wait >= self.patience

    def restore(self, model: keras.Model) -> None:
        """Load the last saved state; call where the model was built."""
        state = self.folder / (self.folder / "latest").read_text().strip()
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        load_variables(state / "variables.npz", _all_variables(model))
        for name, value in json.loads((state / "state.json").read_text()).items():
            setattr(self, name, value)
        self.best = float("inf") if self.best is None else self.best  # before the first epoch; JSON has no infinity

    def save(self) -> None:
        """Write everything under a new name, then point `latest` to it and drop the one before.

        Of several processes, all of which hold the same, the main one writes.
        """
        now = time.monotonic()
        self.seconds, self._saved_at = self.seconds + now - self._saved_at, now
        if not self.main:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # JAX keeps the weights to itself within an epoch
        self.trained_on["peak_memory_mb"] = peak_memory()
        state = self.folder / f"state-{self.epoch:05d}-{self.step:07d}"
        save_variables(state / "variables.npz", _all_variables(self.model))
        write_json(state / "state.json", {name: getattr(self, name) for name in self.FIELDS})
        with atomic(self.folder / "latest") as handle:
            handle.write(state.name.encode())
        for old in self.folder.glob("state-*"):
            if old.name != state.name:
                shutil.rmtree(old, ignore_errors=True)

    def on_train_begin(self, logs: Any = None) -> None:
        """Signals only raise a flag: the state is saved between two steps."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask_to_stop)
        self._offset_sum, self._offset_steps = self.loss_sum, self.step
        self._saved_at = time.monotonic()

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        self.stop_signal = True

    @property
    def asked(self) -> bool:
        """Whether this process is to save and to leave."""
        return self.main and (self.stop_signal or stop_asked())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start of a data epoch, or of what is left of one."""
        self.epoch = epoch
        self._offset_sum, self._offset_steps = self.loss_sum, self.step
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count; save when it is time; leave when asked to."""
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise UserError(f"training diverged at epoch {self.epoch + 1} (loss {loss}); lower train.lr or train.clip")
        self.step = self._offset_steps + batch + 1
        # Keras reports the running mean since its own epoch began
        self.loss_sum = self._offset_sum + loss * (batch + 1)
        if self.step == self.steps:
            return
        asked = self.asked
        if asked or time.monotonic() - self._saved_at > self.interval:
            self.save()
        if asked:
            self._leave()

    def on_test_begin(self, logs: Any = None) -> None:
        """Training time ends where validation begins."""
        self.trained_seconds += time.monotonic() - self._began
        self.trained_steps += self.step - self._offset_steps

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the best weights, count patience, save."""
        loss = float((logs or {})["val_loss"])
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append({"epoch": epoch + 1, "loss": self.loss_sum / self.steps, "val_loss": loss, "lr": rate})
        if loss < self.best:
            self.best, self.best_epoch, self.wait = loss, epoch + 1, 0
            if self.main:
                save_variables(self.best_path, self.model.weights)
        else:
            self.wait += 1
        self.epoch, self.step, self.loss_sum = epoch + 1, 0, 0.0
        self.save()
        if self.finished:
            self.model.stop_training = True
        elif self.asked:
            self._leave()

    def _leave(self) -> None:
        print(f"asked to stop: saved at epoch {self.epoch}, step {self.step}; run again to go on", flush=True)
        raise SystemExit(EXIT_STOPPED)


def _all_variables(model: keras.Model) -> list[Any]:
    # the learning rate of a schedule is computed, not stored; model.variables holds random seeds, .weights would not
    rate = model.optimizer.learning_rate
    return [*model.variables, *(v for v in model.optimizer.variables if v is not rate)]


def save_variables(path: Path, variables: list[Any]) -> None:
    """Write variables in order, atomically, without pickle."""
    arrays = {f"{i:05d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    with atomic(path) as handle:
        handle.write(buffer.getbuffer())


def load_variables(path: Path, variables: list[Any]) -> None:
    """Read what `save_variables` wrote into the same variables."""
    with np.load(path, allow_pickle=False) as stored:
        for i, variable in enumerate(variables):
            variable.assign(stored[f"{i:05d}"])

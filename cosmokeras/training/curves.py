"""Curves of a run while it goes on: DVCLive's files, and Weights & Biases where it is asked for."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_text
from cosmokeras.params.config import Config
from cosmokeras.training.checkpoint import RunState


class Curves(keras.callbacks.Callback):
    """Writes `folder`/loss.tsv and others, one for each column of the run's history, with a line for each epoch.

    DVCLive keeps them beside the run's state, where tools that follow a run find them, and they are copied to `folder`.
    What a resumed run had before is written anew from its state: the files never hold an epoch twice.
    """

    def __init__(self, state: RunState, folder: Path) -> None:
        super().__init__()
        from dvclive.live import Live

        self.state, self.folder = state, folder
        home = state.folder / "live"
        shutil.rmtree(home, ignore_errors=True)
        self.live = Live(str(home), save_dvc_exp=False, dvcyaml=None, report=None)
        for row in state.progress.history:
            self._log(row)

    def _log(self, row: dict[str, float]) -> None:
        self.live.step = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                self.live.log_metric(name, float(f"{value:.8g}"))
        for file in Path(self.live.plots_dir).rglob("*.tsv"):
            write_text(self.folder / file.name, file.read_text())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the last line of the history."""
        self._log(self.state.progress.history[-1])


class WandbCurves(keras.callbacks.Callback):
    """Sends each epoch to Weights & Biases, as the run named after the work folder: a resumed run goes on in it."""

    def __init__(self, cfg: Config, state: RunState) -> None:
        super().__init__()
        check_wandb()
        import wandb

        self.state = state
        settings = cfg.model_dump(mode="json", exclude={"root"})
        self.run = wandb.init(project="cosmokeras", id=state.folder.name, resume="allow", config=settings)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Send the last line of the history."""
        row = self.state.progress.history[-1]
        self.run.log(row, step=int(row["epoch"]))

    def on_train_end(self, logs: Any = None) -> None:
        """Let the run end there too."""
        self.run.finish()


def check_wandb() -> None:
    """Say it before the training, and not after."""
    if find_spec("wandb") is None:
        raise UserError(
            "train.wandb=true: the package wandb is not installed; `make install EXTRAS=wandb`, or train.wandb=false"
        )

"""Picture of a training: losses and learning rate, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from cosmokeras.report.style import BLUE, GREEN, GREY, ORANGE, RUST, canvas


def training_curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Draw the losses and the learning rate of each epoch and mark the epoch of lowest validation loss."""
    keys = ("epoch", "loss", "val_loss", "lr")
    epoch, loss, val_loss, lr = np.array([[row.get(key, np.nan) for key in keys] for row in history], dtype=float).T
    with canvas(path, 7, 5) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot(epoch, loss, "o-", ms=3.5, color=BLUE, label="training")
        upper.plot(epoch, val_loss, "o-", ms=3.5, color=ORANGE, label="validation")
        lower.plot(epoch, lr, "o-", ms=3.5, color=GREEN)
        if np.isfinite(val_loss).any():
            best = int(np.nanargmin(val_loss))
            for axes in (upper, lower):
                axes.axvline(epoch[best], color=GREY, ls="--", lw=1, zorder=0)
            label = f"best: epoch {epoch[best]:g}, validation loss ${val_loss[best]:.4g}$"
            upper.plot(epoch[best], val_loss[best], "*", color=RUST, ms=13, mec="white", label=label)
        upper.set(ylabel="loss", xlim=(epoch.min() - 0.5, epoch.max() + 0.5))
        upper.legend()
        lower.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        lower.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
        lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        figure.align_ylabels()

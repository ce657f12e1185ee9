"""Runs over each other: posteriors of their skies and their validation losses, from the tables that git keeps of each.

A run is the folder itself or an experiment of DVC, whose commit holds `plots/posterior/` and `plots/training/`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE
from cosmokeras.report.style import COLOURS, INK, canvas, pretty
from study.report.facts import output

POSTERIORS, LOSS = "plots/posterior", "plots/training/val_loss.tsv"
MOST = 1 + len(COLOURS)  # runs in a picture: the folder in black, then one in each colour
HERE = "this folder"

Curve = tuple[np.ndarray, np.ndarray]  # x and y, (n,) each


@dataclass(frozen=True)
class Curves:
    """Of one run: the density of each parameter's posterior of the sky, and the validation loss of each epoch."""

    name: str
    posteriors: dict[str, Curve]
    loss: Curve | None


def read(text: str | None, delimiter: str) -> Curve | None:
    """The first two columns of a table below its header; None for what is none."""
    try:
        _, *lines = csv.reader(io.StringIO(text or ""), delimiter=delimiter)
        x, y = np.array([line[:2] for line in lines], float).T
    except UNREADABLE:
        return None
    return x, y


def runs(root: Path, listed: Sequence[Mapping[str, Any]]) -> list[Curves]:
    """The folder, then the experiments of `dvc exp show --json` that have curves, the latest first."""
    folder = root / POSTERIORS
    here = {path.stem: path.read_text("utf-8", "replace") for path in sorted(folder.glob("*.csv"))}
    loss = root / LOSS
    found = [_curves(HERE, here, loss.read_text("utf-8", "replace") if loss.is_file() else None)]
    for name, rev, _ in sorted(_experiments(listed), key=lambda one: one[2], reverse=True):
        names = (output(root, "git", "ls-tree", "--name-only", rev, f"{POSTERIORS}/") or "").splitlines()
        tables = {Path(one).stem: output(root, "git", "show", f"{rev}:{one}") or "" for one in names}
        found.append(_curves(name, tables, output(root, "git", "show", f"{rev}:{LOSS}")))
    return [one for one in found if one.posteriors or one.loss is not None]


def _experiments(listed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Name, commit and time of each experiment."""
    for one in listed:
        for experiment in one.get("experiments") or []:
            first = experiment["revs"][0]
            rev, data = first.get("rev") or "", first.get("data") or {}
            if rev:
                yield experiment.get("name") or first.get("name") or rev[:7], rev, data.get("timestamp") or ""


def _curves(name: str, tables: Mapping[str, str], loss: str | None) -> Curves:
    known = {parameter: read(text, ",") for parameter, text in tables.items()}
    return Curves(name, {p: curve for p, curve in known.items() if curve is not None}, read(loss, "\t"))


def draw(path: Path, some: Sequence[Curves]) -> None:
    """Posteriors of each parameter and validation losses of runs, MOST at most, over each other."""
    some = some[:MOST]
    parameters = list(dict.fromkeys(name for one in some for name in one.posteriors))
    with canvas(path, 5 * (len(parameters) + 1), 4) as figure:
        *axes, last = figure.subplots(1, len(parameters) + 1, squeeze=False)[0]
        colours = dict(zip([one.name for one in some if one.name != HERE], COLOURS, strict=False))
        for one in some:
            colour = colours.get(one.name, INK)
            for panel, name in zip(axes, parameters, strict=True):
                if name in one.posteriors:
                    panel.plot(*one.posteriors[name], color=colour)
            loss = one.loss if one.loss is not None else (np.empty(0), np.empty(0))
            last.plot(*loss, color=colour, label=one.name)
        for panel, name in zip(axes, parameters, strict=True):
            panel.set(xlabel=pretty(name), ylabel="posterior of the sky / its maximum")
        last.set(xlabel="epoch", ylabel="validation loss")
        last.xaxis.get_major_locator().set_params(integer=True)
        last.legend(loc="upper right")

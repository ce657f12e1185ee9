"""Pictures of networks on maps that they do not know, and of what it takes to teach them, in the project's style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cosmokeras.report.style import GREY, INK, canvas
from study.pictures import look_of

CELLS = {  # figures of a cell: heading, colours (each from light to dark), and the place in them, 0 to 1
    "bias_sigma": ("bias /\nclaimed error", "Blues", lambda x: abs(x) / 2),
    "rmse_ratio": ("error / error\non own kind", "Blues", lambda x: x - 1),
    "detected": ("groups\ndetected", "Oranges", lambda x: x),
    "detected_single": ("single maps\ndetected", "Oranges", lambda x: x),
}
TRAINED_ON, TESTED_ON = -2.4, -0.6  # where names stand, in widths of a cell from the first of them
SILENT = (1.1, 0.5)  # a framed row: the error grows by more than this, and fewer groups than this are detected
WORDS = {
    "home": "own kind", "gaussian": "Gaussian shells", "aligned": r"alignments, $A_{IA}$ = 1",
    "noisier": "noise up by 20 %", "unmasked": "no mask", "periodic": "periodic maps",
    "third_moment": "BiHalofit skewness", "nbody": "N-body matter", "glass": "GLASS full sky",
    "zeldovich": "first order only", "lensing_one_bin": "lensing,\none bin",
}  # fmt: skip
WAYS = {"scratch": "from scratch", "fine_tuned": "from the {} network", "frozen": "the same, last layers only"}
KINDS = {"2lpt": ("grf", "2lpt"), "nbody": ("lognormal", "N-body")}  # cases of fine-tuning: cheap and expensive maps


def domain_gap(path: Path, table: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Draw what networks say of maps that they do not know: trained on -> tested on -> figures (CELLS).

    Numbers stand in the cells; the darker, the larger. A frame: the error has grown, and no test detects why.
    """
    rows = [(name, test, figures) for name, tests in table.items() for test, figures in tests.items()]
    with canvas(path, 8, 0.32 * len(rows) + 1.9) as figure:
        figure.suptitle(r"Networks on maps unlike their training maps: $\Omega_m$")
        axes = figure.subplots()
        axes.set(xlim=(TRAINED_ON - 0.5, len(CELLS) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xticks(range(len(CELLS)), [heading for heading, _, _ in CELLS.values()])
        axes.set_yticks([])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for y, (_, test, figures) in enumerate(rows):
            axes.text(TESTED_ON, y, WORDS.get(test, test), ha="right", va="center_baseline")
            _cells(axes, y, figures)
        _networks(axes, [name for name, _, _ in rows])
        growth, part = 100 * (SILENT[0] - 1), 100 * SILENT[1]
        axes.set_xlabel(f"Framed: error up by more than {growth:.0f} %, fewer than {part:.0f} % of groups detected")


def _cells(axes: Axes, y: int, figures: dict[str, Any]) -> None:
    """One row of numbers; null in the file is a figure that is not finite."""
    figures = {key: np.nan if value is None else value for key, value in figures.items()}
    for x, (key, (_, colours, place)) in enumerate(CELLS.items()):
        depth = float(np.clip(place(figures[key]), 0, 1))
        axes.add_patch(Rectangle((x - 0.49, y - 0.47), 0.98, 0.94, color=colormaps[colours](0.85 * depth), lw=0))
        number = f"{figures[key]:+.2f}" if key == "bias_sigma" else f"{figures[key]:.2f}"
        look = {"ha": "center", "va": "center_baseline", "color": "white" if depth > 0.6 else INK}
        axes.text(x, y, number.replace("-", "\N{MINUS SIGN}"), **look)
    if figures["rmse_ratio"] > SILENT[0] and figures["detected"] < SILENT[1]:
        frame = {"fill": False, "edgecolor": INK, "lw": 2, "clip_on": False, "zorder": 3}
        axes.add_patch(Rectangle((-0.49, y - 0.46), len(CELLS) - 0.02, 0.92, **frame))


def _networks(axes: Axes, names: list[str]) -> None:
    """Names of the networks, one for each row, beside their rows, and lines between them."""
    starts = [i for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    axes.text(TRAINED_ON, -0.75, "trained on", ha="center")
    axes.text(TESTED_ON, -0.75, "tested on", ha="right")
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        if start:
            axes.axhline(start - 0.5, color=INK, lw=1)
        name = WORDS.get(names[start], names[start])
        axes.text(TRAINED_ON, (start + stop - 1) / 2, name, ha="center", va="center")


def fine_tuning(path: Path, table: dict[str, Any]) -> None:
    """Draw the error against the number of maps, for each case and way of training; 0 maps stand at the left edge."""
    found = {"2lpt": table} if "scratch" in table else {}  # its figures stand at the top
    cases = found | {name: table[name] for name in KINDS if name in table}
    with canvas(path, 7 if len(cases) == 1 else 11.5, 4.6) as figure:
        figure.suptitle("Bars: scatter over seeds of weights, order and choice of maps")
        panels = figure.subplots(1, len(cases), squeeze=False)[0]
        for axes, (name, result) in zip(panels, cases.items(), strict=True):
            _curves(axes, result, *KINDS[name])


def _curves(axes: Axes, result: dict[str, Any], cheap: str, expensive: str) -> None:
    """The curves of one case."""
    numbers = sorted({int(n) for way in WAYS for n in result[way]} - {0})
    left = numbers[0] / 4  # where 0 is drawn
    axes.axhline(result["prior_rmse"], color=GREY, ls="--", lw=1, label="prior")
    for i, (way, label) in enumerate(WAYS.items()):
        counts = sorted(int(n) for n in result[way])
        errors = [np.array(result[way][str(n)], float) for n in counts]
        x = np.array([n or left for n in counts]) * 1.03 ** (i - 1)  # side by side
        scatter = [np.std(e, ddof=1) if len(e) > 1 else 0.0 for e in errors]
        mean, look = [np.mean(e) for e in errors], look_of(i, 5)
        axes.errorbar(x, mean, scatter, capsize=3, ls=("-", "--", ":")[i], label=label.format(cheap), lw=1.4, **look)
    axes.set(xscale="log", yscale="log", xlabel=f"{expensive} maps")
    axes.set_ylabel(rf"rms error of $\Omega_m$, unseen {expensive} maps")
    axes.set_yticks([0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2], minor=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks([left, *numbers], ["0", *(f"{n:,}" for n in numbers)])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set_ylim(0.95 * low, 1.05 * high)
    axes.legend()

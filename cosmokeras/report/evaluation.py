"""Pictures of a network's judgement on test maps: errors, calibration of its posteriors, what moves its answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import LogLocator
from scipy.stats import binom, norm

from cosmokeras.report.style import BLUE, BOX, COLOURS, GREY, INK, PALE, SKY, Array, canvas, pretty


def predicted_true(
    path: Path, truth: Array, mean: Array, std: Array | None, names: Sequence[str],
    rmse: dict[str, float], references: dict[str, dict[str, float]],
) -> None:  # fmt: skip
    """Draw posterior mean against truth, both (n, p), with faint posterior widths `std` (None: no widths).

    `rmse` is the network's root-mean-square error by parameter; `references` are errors to compare it with, by
    parameter and by name: `{"omega_m": {"prior": 0.115, "power spectrum": 0.038}}`.
    """
    columns, rows = min(len(names), 2), -(-len(names) // 2)
    with canvas(path, 6 if columns == 1 else 8, 5.2 if columns == 1 else 3.7 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
            x, y = truth[:, i], mean[:, i]
            if std is not None:
                axes.errorbar(x, y, std[:, i], fmt="none", ecolor=BLUE, elinewidth=0.7, alpha=0.2)
            axes.plot(x, y, "o", color=BLUE, ms=3, mew=0, alpha=0.7)
            axes.plot([x.min(), x.max()], [x.min(), x.max()], color=INK, lw=1.2, zorder=3)
            table = {"network": rmse[name], **references.get(name, {})}
            lines = [f"{key:<{max(map(len, table))}}  {value:.4f}" for key, value in table.items()]
            place = {"transform": axes.transAxes, "va": "top", "family": "monospace", "fontsize": 8, "bbox": BOX}
            axes.text(0.03, 0.97, "\n".join(["rms error", *lines]), **place)
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.04 * (len(lines) + 1) * (high - low))  # room for the table above the points
            axes.set(xlabel=f"true {pretty(name)}", ylabel=f"predicted {pretty(name)}")


def residuals(path: Path, truth: Array, mean: Array, std: Array | None, names: Sequence[str], bins: int = 10) -> None:
    """Draw, per parameter, mean - truth against truth, and (mean - truth) / std against the unit normal.

    Arrays are (n, p); std None leaves the second out, whose end bins also count all beyond 4 widths. Points with bars:
    mean and scatter in bins of equal count.
    """
    with canvas(path, 8, 3.2 * len(names) + 0.2) as figure:
        for i, row in enumerate(figure.subplots(len(names), 1 if std is None else 2, squeeze=False)):
            name, x, error = pretty(names[i]), truth[:, i], mean[:, i] - truth[:, i]
            parts = [part for part in np.array_split(np.argsort(x, kind="stable"), bins) if part.size]
            centre, middle, scatter = np.array([(x[k].mean(), error[k].mean(), error[k].std()) for k in parts]).T
            row[0].axhline(0, color=INK, lw=1)
            row[0].plot(x, error, "o", color=GREY, ms=3, mew=0, alpha=0.4)
            row[0].errorbar(centre, middle, scatter, fmt="o", ms=5, color=BLUE, capsize=2, label="mean and scatter")
            row[0].set(xlabel=f"true {name}", ylabel=f"predicted $-$ true {name}")
            row[0].set_ylim(-1.25 * np.abs(error).max(), 1.25 * np.abs(error).max())
            row[0].legend(loc="upper right")
            if std is None:
                continue
            pull, edges = error / std[:, i], np.linspace(-4, 4, 33)
            row[1].hist(np.clip(pull, -3.99, 3.99), edges, density=True, color=SKY, label=f"{len(pull)} test maps")
            row[1].plot(edges, norm.pdf(edges), color=INK, label="unit normal")
            text = f"mean ${pull.mean():+.2f}$\nwidth ${pull.std():.2f}$"
            row[1].text(0.03, 0.96, text, transform=row[1].transAxes, va="top", bbox=BOX)
            row[1].set(xlabel=f"(predicted $-$ true {name}) / posterior width", ylabel="density")
            row[1].set_ylim(0, 1.3 * row[1].get_ylim()[1])
            row[1].legend(loc="upper right")


def coverage(
    path: Path, pit: Array, credibility: Array, cosmology: Array, names: Sequence[str], bins: int = 12
) -> None:
    """Test widths of posteriors by what is uniform from 0 to 1 if they are right.

    `pit` (n, p): marginal CDF of the truth; `credibility` (n,): of TARP, all parameters together. Left: fraction of
    truths inside central intervals of each probability. Middle: histogram of `pit`, which is that of ranks (Talts et
    al. 2018, arXiv:1804.06788). Right: fraction of maps up to each credibility (Lemos et al. 2023, arXiv:2302.03026).
    Maps of one `cosmology` (n,) are not independent: middle and right show the first of each. Grey bands hold 95 % of
    right posteriors, point by point, were there one map for each cosmology.
    """
    first = np.unique(cosmology, return_index=True)[1]
    n, level = len(first), np.linspace(0, 1, 101)
    band = np.array(binom.interval(0.95, n, level)) / n
    with canvas(path, 8, 3.4) as figure:
        left, middle, right = figure.subplots(1, 3)
        for axes in (left, right):
            axes.fill_between(level, *band, color=PALE, lw=0)
            axes.plot([0, 1], [0, 1], color=GREY, lw=1)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        middle.axhspan(*np.array(binom.interval(0.95, n, 1 / bins)) * bins / n, color=PALE, lw=0, label="95 % band")
        middle.axhline(1, color=GREY, lw=1)
        for i, name in enumerate(names):
            look = {"color": COLOURS[i % len(COLOURS)], "ls": ("-", "--", ":", "-.")[i % 4]}
            inside = np.abs(2 * pit[:, i, None] - 1) <= level
            left.plot(level, inside.mean(axis=0), label=pretty(name), **look)
            density, edges = np.histogram(pit[first, i], bins, (0, 1), density=True)
            middle.stairs(density, edges, baseline=None, lw=1.6, **look)
        right.plot(level, np.mean(credibility[first, None] <= level, axis=0), color=INK)
        left.set(xlabel="probability of the central interval", ylabel="fraction of truths inside")
        left.legend(title=f"{len(pit)} maps", loc="upper left")
        middle.set(xlabel="posterior CDF at the truth", ylabel="density", xlim=(0, 1))
        middle.set_ylim(0, max(1.8, 1.15 * middle.get_ylim()[1]))
        middle.legend(title=f"{n} cosmologies", loc="upper left")
        right.set(xlabel="TARP credibility", ylabel="fraction of maps up to it")


def saliency(path: Path, k: Array, slopes: Array, names: Sequence[str], xlabel: str) -> None:
    """Draw d (posterior mean) / d ln C_ell, slopes (p, channels, bands), against the wavenumbers k (bands,)."""
    with canvas(path, 7, 3.4 * len(names) + 0.4) as figure:
        for i, axes in enumerate(figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]):
            axes.axhline(0, color=GREY, lw=0.8)
            for c, row in enumerate(slopes[i]):
                label = f"bin {c + 1}" if slopes.shape[1] > 1 else None
                axes.plot(k, row, marker="osD^vP"[c % 6], ms=5, color=COLOURS[c % len(COLOURS)], label=label)
            axes.set(xscale="log", ylabel=f"d {pretty(names[i])} / d ln (power)")
            axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter="")
            if slopes.shape[1] > 1:
                axes.legend(title="power of")
        axes.set_xlabel(xlabel)

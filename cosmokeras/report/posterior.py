"""Pictures of the posterior of a sky, alone and beside published values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter

from cosmokeras.common.files import write_text
from cosmokeras.report.published import published_values
from cosmokeras.report.style import BLUE, GREY, INK, RUST, SKY, Array, canvas, pretty

CURVE = 200  # points of a curve over the prior, and as many where it is above SHOWN
SHOWN = 1e-3


def _density(samples: Array, bounds: Array) -> tuple[Array, Array]:
    """Smooth density of samples (n,) on a grid inside bounds (2,), its maximum 1; the grid first.

    A histogram smoothed by a Gaussian of Scott's width (Scott 1992), reflected at the bounds: the prior cuts a
    posterior off there, and a plain kernel estimate would fall to half its value.
    """
    span = float(np.ptp(bounds))
    spread = min(samples.std(), np.subtract(*np.percentile(samples, [75, 25])) / 1.35)
    width = max(spread, 1e-3 * span) * len(samples) ** -0.2
    cells = int(np.clip(3 * span / width, 60, 3000))
    counts, edges = np.histogram(samples, cells, (bounds[0], bounds[1]))
    smooth = gaussian_filter(counts.astype(float), width * cells / span, mode="reflect")
    return (edges[1:] + edges[:-1]) / 2, smooth / max(smooth.max(), 1e-300)


def curves(folder: Path, combined: Array, names: Sequence[str], bounds: Array) -> None:
    """Write the marginal density of each parameter, its maximum 1, as a table that `dvc plots diff` lays over others'.

    Parameters
    ----------
    folder : where NAME.csv with columns value and density go, in place of all that it holds
    combined : (n, p) samples
    bounds : (p, 2) of the prior
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name, samples, limits in zip(names, combined.T, np.asarray(bounds, float), strict=True):
        x, height = _density(samples, limits)
        peak = np.flatnonzero(height > SHOWN)
        some = np.union1d(*(np.linspace(a, b, CURVE).astype(int) for a, b in ((0, len(x) - 1), (peak[0], peak[-1]))))
        lines = [f"{x[i]:.6g},{height[i]:.4f}" for i in some]
        write_text(folder / f"{name}.csv", "\n".join(["value,density", *lines, ""]))


def posterior(
    path: Path, patches: Array, combined: Array, names: Sequence[str], bounds: Array,
    truth: dict[str, float] | None, label: str,
) -> None:  # fmt: skip
    """Draw posteriors of single patches (n_patch, n_samples, p) and of all together, combined (n_samples, p).

    One parameter: over the whole prior `bounds` (p, 2), scaled to a maximum of 1. More: a corner plot of the combined
    posterior (Foreman-Mackey 2016, JOSS 1, 24) with its 68 % and 95 % regions. `truth`, where known, is dashed.
    """
    known, bounds = [(truth or {}).get(name) for name in names], np.asarray(bounds, dtype=float)
    if len(names) > 1:
        _corner(path, combined, [pretty(name) for name in names], bounds, known, label)
        return
    with canvas(path, 7, 4.5) as figure:
        figure.suptitle(label)
        axes = figure.subplots()
        if known[0] is not None:
            axes.axvline(known[0], color=RUST, ls="--", lw=1.4, zorder=3, label="truth")
        _marginal(axes, patches[:, :, 0], combined[:, 0], bounds[0], pretty(names[0]))
        axes.set(xlim=bounds[0], xlabel=pretty(names[0]), ylabel="posterior / its maximum")
        axes.legend(loc="upper right")


def _corner(
    path: Path, samples: Array, names: Sequence[str], bounds: Array, known: Sequence[float | None], label: str
) -> None:
    """Draw samples (n, p) in pairs of parameters, within the prior `bounds` (p, 2)."""
    import corner

    low, high = np.percentile(samples, [0.1, 99.9], axis=0)
    margin = 0.1 * (high - low)
    given = np.array([np.nan if one is None else one for one in known])
    view = np.stack([np.fmin(low - margin, given - margin), np.fmax(high + margin, given + margin)], axis=1)
    view = np.clip(view, bounds[:, :1], bounds[:, 1:])
    look = {"bins": 40, "smooth": 1.2, "levels": (0.68, 0.95), "plot_datapoints": False, "fill_contours": True}
    side = 2.6 * len(names) + 1
    with canvas(path, side, side, layout=None) as figure:  # corner places its own panels
        corner.corner(
            np.asarray(samples, dtype=float), fig=figure, labels=list(names), range=list(view), truths=list(known),
            color=BLUE, truth_color=RUST, show_titles=True, title_fmt=".3f", quantiles=(0.16, 0.5, 0.84), **look,
        )  # fmt: skip
        note = "\n68 % and 95 % regions" + ("\norange lines: truth" if any(one is not None for one in known) else "")
        figure.text(0.97, 0.97, label + note, ha="right", va="top", fontsize=11)


def _marginal(axes: Axes, patches: Array, combined: Array, bounds: Array, name: str) -> None:
    """Draw densities of one parameter: patches (n_patch, n_samples) thin, combined (n_samples,) thick."""
    look: dict[str, Any] = {"color": GREY, "lw": 0.8, "alpha": float(np.clip(12 / len(patches), 0.15, 0.7))}
    for i, samples in enumerate(patches):
        x, height = _density(samples, bounds)
        axes.plot(x, height, label=None if i else f"single patches ({len(patches)})", **look)
    x, height = _density(combined, bounds)
    axes.fill_between(x, height, color=SKY, alpha=0.25, lw=0)
    axes.plot(x, height, color=BLUE, lw=2.4, label="combined")
    axes.set_title(rf"{name} = ${combined.mean():.3f} \pm {combined.std():.3f}$", fontsize=10)
    axes.set(ylim=(0, 1.08), yticks=[])
    axes.spines["left"].set_visible(False)


Row = tuple[str, float, float, float]  # label, value, error down, error up


def comparison_rows(result: Mapping[str, Mapping[str, float]], observed: bool | None) -> dict[str, list[Row]]:
    """What `comparison` draws beside each other, for each parameter: ours first.

    Of an observed sky the published values; of a mock (its truth is in `result`), and where nobody says, nothing.
    """
    out = {}
    for name, m in result.items():
        rows: list[Row] = [("this work", m["mean"], m["mean"] - m["q16"], m["q84"] - m["mean"])]
        if observed:
            theirs = [one for one in published_values() if one.parameter == name]
            rows += [(f"{one.name}\n{_one_a_line(one.citation)}", one.value, one.down, one.up) for one in theirs]
        out[name] = rows
    return out


def _one_a_line(citation: str) -> str:
    return citation.replace("; ", ";\n")


def comparison(path: Path, rows: Mapping[str, Sequence[Row]], truth: Mapping[str, float], title: str) -> None:
    """Draw, a panel for each parameter, our result (the first row, its 68 % as a band) over others and the `truth`.

    Ours is a filled circle, others are open squares: told apart without colour as well.
    """
    heights = [0.55 * sum(1 + row[0].count("\n") / 3 for row in panel) + 0.9 for panel in rows.values()]
    with canvas(path, 7, sum(heights) + 0.5) as figure:
        figure.suptitle(title)
        panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, panel) in zip(panels, rows.items(), strict=True):
            labels, value, down, up = zip(*panel, strict=True)
            place = -np.arange(len(panel))
            axes.axvspan(value[0] - down[0], value[0] + up[0], color=SKY, alpha=0.25, lw=0)
            if name in truth:
                axes.axvline(truth[name], color=RUST, ls="--", lw=1.4, label=f"truth {truth[name]:g}")
                axes.legend(loc="upper right")
            for i, y in enumerate(place):
                look = {"fmt": "s", "mfc": "white", "color": INK} if i else {"fmt": "o", "color": BLUE}
                axes.errorbar(value[i], y, xerr=[[down[i]], [up[i]]], ms=7, capsize=3, elinewidth=1.6, **look)
                number = f"${value[i]:.3f}^{{+{up[i]:.3f}}}_{{-{down[i]:.3f}}}$"
                axes.annotate(number, (value[i] + up[i], y), (9, 0), textcoords="offset points", va="center")
            low, high = min(np.subtract(value, down)), max(np.add(value, up))
            low, high = min(low, truth.get(name, low)), max(high, truth.get(name, high))
            axes.set_xlim(low - 0.15 * (high - low), high + 0.4 * (high - low))  # room for the numbers
            axes.set_ylim(place[-1] - 0.6, 0.6 + 0.4 * (name in truth))
            axes.set_yticks(place, labels, fontsize=9)
            axes.set_xlabel("$S_8$" if name == "S8" else pretty(name))
            axes.xaxis.set_major_locator(MaxNLocator(6))

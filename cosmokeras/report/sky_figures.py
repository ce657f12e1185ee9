"""Pictures that put a real sky beside what is expected of it: noise, and values of others. Style as in `figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator
from scipy.stats import norm

from cosmokeras.report.figures import BLUE, GREY, INK, PALE, RUST, SKY, Array, canvas, pretty
from cosmokeras.sky.positions import unwrapped

Row = tuple[str, float, float, float]  # label, value, error down, error up


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


def null_tests(
    path: Path, maps: Array, coverage: Array, places: tuple[Array, Array], noise: Array | None,
    numbers: Mapping[str, float], title: str,
) -> None:  # fmt: skip
    """Draw what should look like noise: pixels of all patches, bin by bin; where the patches are; null-test numbers.

    Parameters
    ----------
    maps : (n, size, size, channels), unsmoothed; pixels that are wholly observed count
    coverage : (n, size, size) observed fraction of each pixel
    places : RA, Dec [deg] of the patches, (n,) each; NaN where there are none
    noise : (channels,) expected noise of a pixel; None: no noise is expected, the Gaussian has the width of the pixels
    numbers : of null tests, by name
    """
    channels, located = maps.shape[-1], bool(np.isfinite(places).all())
    columns = min(channels, 2)
    heights = [2.3 * -(-channels // columns), max(2.6, 0.22 * len(numbers) + 0.8) if located or numbers else 0]
    with canvas(path, 7.2, sum(heights) + 0.8) as figure:
        figure.suptitle(title)
        parts = list(figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]) if heights[1] else [figure]
        _pixels(parts[0], maps, coverage, noise, columns)
        if heights[1]:
            lower = np.atleast_1d(parts[1].subplots(1, 1 + (located and bool(numbers))))
            if located:
                _positions(parts[1], lower[0], *places, 1 - np.mean(coverage, axis=(1, 2), dtype=float))
            if numbers:
                _numbers(lower[-1], numbers)


def _pixels(figure: Figure | SubFigure, maps: Array, coverage: Array, noise: Array | None, columns: int) -> None:
    """Histograms of the pixels of each bin in units of the expected noise, on a logarithmic scale for the tails."""
    seen = coverage > 0.999
    seen = seen if seen.any() else coverage >= 0.5
    channels = maps.shape[-1]
    panels = figure.subplots(-(-channels // columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[channels:]:
        axes.set_visible(False)
    for c, axes in zip(range(channels), panels, strict=False):
        values = maps[..., c][seen].astype(float)
        x = values / (values.std() if noise is None else noise[c])
        edges = np.linspace(-6, 6, 61)
        density = np.histogram(np.clip(x, -5.99, 5.99), edges)[0] / x.size / np.diff(edges)
        axes.stairs(density, edges, fill=True, color=PALE, label="pixels")
        axes.stairs(density, edges, color=GREY, lw=1)
        grid = np.linspace(-6, 6, 241)
        axes.plot(grid, norm.pdf(grid), color=BLUE, label="noise alone" if noise is not None else "Gaussian")
        skewness = np.mean((x - x.mean()) ** 3) / x.std() ** 3
        words = [f"bin {c + 1}"] if channels > 1 else []
        words += [f"mean ${x.mean():+.3f}$", f"width ${x.std():.3f}$", f"skewness ${skewness:+.3f}$"]
        axes.text(0.02, 0.97, "\n".join(words), transform=axes.transAxes, va="top", fontsize=8)
        axes.set(yscale="log", ylim=(0.3 / (x.size * np.diff(edges)[0]), 60), xlim=(-6, 6))
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
    panels[0].legend(loc="upper right", fontsize=8)
    unit = "expected noise" if noise is not None else "their scatter"
    figure.supxlabel(f"pixel / {unit}  ({int(seen.sum())} pixels; beyond 6: end bins)", fontsize=10)
    figure.supylabel("density", fontsize=10)


def _positions(figure: Figure | SubFigure, axes: Axes, ra: Array, dec: Array, masked: Array) -> None:
    """Centres of the patches, east to the left, shaded by how much of each is masked."""
    x = unwrapped(ra)
    points = axes.scatter(
        x, dec, c=100 * masked, cmap="Greys", vmin=0, vmax=max(1, 100 * masked.max()), ec=INK, lw=0.6, s=26
    )
    figure.colorbar(points, ax=axes, label="masked [%]", shrink=0.85, aspect=14, pad=0.02)
    margin = 3 if len(ra) > 1 else 1
    axes.set(xlim=(x.max() + margin, x.min() - margin), ylim=(dec.min() - margin, dec.max() + margin))
    axes.set(xlabel="RA [deg]", ylabel="Dec [deg]")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _numbers(axes: Axes, numbers: Mapping[str, float]) -> None:
    """A table of null-test numbers."""
    axes.set_axis_off()
    width = max(map(len, numbers))
    lines = [f"{name:<{width}}  {value:>10.4g}" for name, value in numbers.items()]
    look: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "family": "monospace", "fontsize": 8}
    axes.text(0, 0.97, "\n".join(["null tests", "", *lines]), **look)

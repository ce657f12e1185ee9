"""Pictures of what tells a real sky from what is expected of it: null tests, distance from the training maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator
from scipy.stats import norm

from cosmokeras.report.style import BLUE, GREY, INK, PALE, RUST, Array, canvas
from cosmokeras.sky.positions import unwrapped
from cosmokeras.surveys.pixel_histograms import PixelHistograms


def null_tests(
    path: Path, pixels: PixelHistograms, masked: Array, places: tuple[Array, Array], numbers: Mapping[str, float],
    title: str,
) -> None:  # fmt: skip
    """Draw what should look like noise: pixels of all patches, bin by bin; where the patches are; null-test numbers.

    Parameters
    ----------
    pixels : histograms of all wholly observed pixels, a row for each channel
    masked : (n,) masked part of each patch
    places : RA, Dec [deg] of the patches, (n,) each; NaN where there are none
    numbers : of null tests, by name
    """
    channels, located = len(pixels.density), bool(np.isfinite(places).all())
    columns = min(channels, 2)
    heights = [2.3 * -(-channels // columns), max(2.6, 0.22 * len(numbers) + 0.8) if located or numbers else 0]
    with canvas(path, 7.2, sum(heights) + 0.8) as figure:
        figure.suptitle(title)
        parts = list(figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]) if heights[1] else [figure]
        _pixels(parts[0], pixels, columns)
        if heights[1]:
            lower = np.atleast_1d(parts[1].subplots(1, 1 + (located and bool(numbers))))
            if located:
                _positions(parts[1], lower[0], *places, masked)
            if numbers:
                _numbers(lower[-1], numbers)


def _pixels(figure: Figure | SubFigure, pixels: PixelHistograms, columns: int) -> None:
    """Histograms of the pixels of each bin in units of the expected noise, on a logarithmic scale for the tails."""
    channels, edges = len(pixels.density), pixels.edges
    panels = figure.subplots(-(-channels // columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[channels:]:
        axes.set_visible(False)
    grid = np.linspace(edges[0], edges[-1], 241)
    for c, axes in zip(range(channels), panels, strict=False):
        axes.stairs(pixels.density[c], edges, fill=True, color=PALE, label="pixels")
        axes.stairs(pixels.density[c], edges, color=GREY, lw=1)
        axes.plot(grid, norm.pdf(grid), color=BLUE, label="noise alone" if pixels.in_noise else "Gaussian")
        words = [f"bin {c + 1}"] if channels > 1 else []
        words += [f"mean ${pixels.mean[c]:+.3f}$", f"width ${pixels.width[c]:.3f}$"]
        words += [f"skewness ${pixels.skewness[c]:+.3f}$"]
        axes.text(0.02, 0.97, "\n".join(words), transform=axes.transAxes, va="top", fontsize=8)
        axes.set(yscale="log", ylim=(0.3 / (pixels.count * np.diff(edges)[0]), 60), xlim=(edges[0], edges[-1]))
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
    panels[0].legend(loc="upper right", fontsize=8)
    unit = "expected noise" if pixels.in_noise else "their scatter"
    figure.supxlabel(f"pixel / {unit}  ({pixels.count} pixels; beyond {edges[-1]:g}: end bins)", fontsize=10)
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


def surprise(path: Path, reference: Array, real: Array, p_value: float, threshold: float, label: str) -> None:
    """Compare distances of real patches with those of simulated ones, both 1-D, in the space of learnt summaries.

    The farthest half per cent of simulated maps does not stretch the axis: it is counted in the last bin.
    """
    reference, real = np.asarray(reference, dtype=float), np.asarray(real, dtype=float)
    usual = np.quantile(reference, 0.995)
    ends = min(real.min(), reference.min()), max(real.max(), usual)
    far = ends[1] > 5 * usual and ends[0] > 0
    reference = np.minimum(reference, ends[1])
    edges = np.geomspace(*ends, 31) if far else np.linspace(*ends, 31)
    with canvas(path, 7, 4.2) as figure:
        axes = figure.subplots()
        share = np.histogram(reference, edges)[0] / len(reference)
        axes.stairs(share, edges, fill=True, color=PALE, label=f"simulated maps ({len(reference)})")
        if len(real) < 10:  # too few for a histogram
            axes.vlines(real, 0, share.max(), color=RUST, lw=1.6, label=f"patches of the sky ({len(real)})")
        else:
            share = np.histogram(real, edges)[0] / len(real)
            axes.stairs(share, edges, lw=1.8, color=RUST, label=f"patches of the sky ({len(real)})")
        verdict = "unlike the training maps" if p_value < threshold else "compatible with the training maps"
        axes.set(xscale="log" if far else "linear", xlabel="distance from the training maps", ylabel="fraction of maps")
        axes.set(title=label, ylim=(0, 1.4 * axes.get_ylim()[1]))
        axes.legend(
            loc="upper right", title=f"p = {p_value:.3g} (threshold {threshold:g}):\n{verdict}", alignment="left"
        )

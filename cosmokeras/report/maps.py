"""Pictures of maps: examples of the training set, patches of a survey."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cosmokeras.report.style import GREY, Array, canvas


def _map(axes: Axes, image: Array, group: Array) -> Any:
    """Draw one map, first row at the bottom, NaN in grey, on the symmetric colour scale of its group of maps."""
    limit = np.nanpercentile(np.abs(group), 99.5) or 1.0  # rare pixels saturate: one peak does not fade the rest
    axes.set(xticks=[], yticks=[], facecolor=GREY)
    axes.spines[:].set_visible(False)
    return axes.imshow(image, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")


def _colour_bar(figure: Figure, artist: Any, axes: Any, label: str, ticks: int = 5) -> None:
    look: dict[str, Any] = {"location": "bottom", "shrink": 0.85, "aspect": 7 * ticks, "pad": 0.03, "extend": "both"}
    figure.colorbar(artist, ax=axes, label=label, ticks=MaxNLocator(ticks, symmetric=True), **look)


def example_maps(path: Path, maps: Array, titles: Sequence[str], unit: str) -> None:
    """Draw maps (n, size, size, channels), at most 4 x 4 of them: a map per row, a channel per column.

    The colour scale is shared down a channel, so that rows compare; with one channel the maps stand in one row.
    """
    maps = np.moveaxis(np.asarray(maps, dtype=float)[:4, :, :, :4], -1, 1)  # (n, channels, size, size)
    single = maps.shape[1] == 1
    maps = maps.swapaxes(0, 1) if single else maps
    rows, columns = maps.shape[:2]
    side = min(7.2 / columns, 2.6)
    with canvas(path, max(side * columns, 5.6) + 0.3, 0.94 * side * rows + 1.25) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for row, column in itertools.product(range(rows), range(columns)):
            artist = _map(grid[row, column], maps[row, column], maps if single else maps[:, column])
            if row == 0:
                grid[row, column].set_title(titles[column] if single else f"bin {column + 1}")
            if column == 0 and not single:
                grid[row, column].set_ylabel(titles[row])
            if row == rows - 1 and not single:
                _colour_bar(figure, artist, list(grid[:, column]), unit, ticks=2)
        if single:
            _colour_bar(figure, artist, grid, unit)


def gallery(
    path: Path,
    maps: Array,
    coverage: Array,
    ra: Array,
    dec: Array,
    title: str,
    unit: str = r"convergence $\kappa$",
) -> None:
    """Draw up to 12 patches of a survey, maps (n, size, size, channels) averaged over channels, unseen pixels grey.

    North is up and east left; `coverage` (n, size, size) is the observed fraction of each pixel; `ra`, `dec` [deg], NaN
    for maps that are nowhere on the sky.
    """
    images = np.where(np.asarray(coverage) < 0.5, np.nan, np.mean(maps, axis=-1, dtype=float))[:12]
    columns, rows, channels = min(len(images), 4), -(-len(images) // 4), np.shape(maps)[-1]
    with canvas(path, 7, rows * min(8 / columns, 3.6) + 1.2) as figure:
        figure.suptitle(title)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_visible(False)
        for axes, image, east, north in zip(panels, images, ra, dec, strict=False):
            artist = _map(axes, image, images)
            if np.isfinite(east):
                axes.set_xlabel(rf"${east:.1f}\degree$, ${north:+.1f}\degree$", fontsize=9)
        mean = f", mean of {channels} bins" if channels > 1 else ""
        note = " (below patches: RA, Dec; grey: not observed)" if np.isfinite(ra).all() else ""
        _colour_bar(figure, artist, panels, f"{unit}{mean}{note}")

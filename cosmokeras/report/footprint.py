"""Picture of a survey's footprint: what each patch says, and how well each fits to the training maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cosmokeras.report.style import INK, Array, canvas, pretty
from cosmokeras.sky.positions import unwrapped

SMALL = 1e-3  # p-values below it have one colour: their rank among simulated maps says no more


def footprint(path: Path, places: tuple[Array, Array], pulls: Array, p_values: Array, name: str, title: str) -> None:
    """Draw the centres of the patches twice, east to the left, by their estimates and by their p-values.

    Of patches that scatter as their errors say two thirds are within +-1 on the left, and one in ten has p < 0.1 on the
    right, wherever on the sky. Neighbours that are all of one colour want an explanation. Maps without positions (NaN)
    are drawn in their order.

    Parameters
    ----------
    places : RA, Dec [deg], (n,) each
    pulls : (n,) (mean of the patch - mean of all together) / standard deviation of the patch's posterior
    p_values : (n,) of the misspecification test of each patch
    name : the parameter
    """
    most = max(2.0, float(np.abs(pulls).max()))
    panels = (
        (pulls, "RdBu_r", (-most, most), f"({pretty(name)} of the patch - all together) / its error"),
        (
            np.log10(np.clip(p_values, SMALL, 1)),
            "viridis",
            (np.log10(SMALL), 0.0),
            r"$\log_{10}$ of the p-value of the patch",
        ),
    )
    located = bool(np.isfinite(places).all())
    with canvas(path, 7.8, 4.2) as figure:
        figure.suptitle(title)
        for axes, panel in zip(figure.subplots(1, 2, sharex=located, sharey=located), panels, strict=True):
            (_patches if located else _numbered)(axes, places, *panel)


def _patches(
    axes: Axes, places: tuple[Array, Array], values: Array, cmap: str, limits: tuple[float, float], label: str
) -> None:
    """One dot for each patch, where it is."""
    x, y = unwrapped(places[0]), places[1]
    points = axes.scatter(x, y, c=values, cmap=cmap, vmin=limits[0], vmax=limits[1], ec=INK, lw=0.5, s=42)
    axes.figure.colorbar(points, ax=axes, label=label, orientation="horizontal", shrink=0.9, aspect=28, pad=0.02)
    margin = 3 if len(x) > 1 else 1
    axes.set(xlim=(x.max() + margin, x.min() - margin), ylim=(y.min() - margin, y.max() + margin))
    axes.set(xlabel="RA [deg]", ylabel="Dec [deg]")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _numbered(
    axes: Axes, _: tuple[Array, Array], values: Array, cmap: str, limits: tuple[float, float], label: str
) -> None:
    """One dot for each patch of maps that have no positions, in their order."""
    axes.scatter(np.arange(len(values)), values, c=values, cmap=cmap, vmin=limits[0], vmax=limits[1], ec=INK, lw=0.5)
    axes.set(xlabel="patch", ylabel=label, ylim=(limits[0] - 0.1, limits[1] + 0.1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

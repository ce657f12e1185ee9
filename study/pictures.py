"""Pictures of the physics check, in the project's style: `cosmokeras.report.style` has the canvas and the colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import norm

from cosmokeras.report.style import COLOURS, GREY, INK, PALE, canvas

Array = np.ndarray
MARKERS = "osD^vP"


@dataclass(frozen=True)
class Curve:
    """Points with errors beside a line of theory, all (n,); `ratio` is points / theory, with errors of its own.

    `expected`, where known, is what the mean of many such ratios is exactly.
    """

    x: Array
    ratio: Array
    error: Array
    theory: Array
    label: str
    expected: Array | None = None


def decades(axes: Axes, which: str = "x") -> None:
    """Ticks at 1, 2 and 5 in each decade, written as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter())


def band(axes: Axes, half: float, label: bool = True) -> None:
    """Grey band about 1."""
    axes.axhspan(1 - half, 1 + half, color=PALE, lw=0, label=rf"$\pm${100 * half:g} %" if label else None)
    axes.axhline(1, color=GREY, lw=0.8)


def maps(path: Path, images: Array, extent: float, rows: Sequence[str], columns: Sequence[str], words: dict) -> None:
    """Draw maps (rows, columns, n, n) of side `extent`; the colour scale is shared down a column, or by a single row.

    `words`: title, x (label of both axes), unit (of the colour bar).
    """
    single = len(images) == 1
    side = 7.6 / len(columns)
    with canvas(path, 8, side * len(rows) * 0.98 + 1.5) as figure:
        figure.suptitle(words["title"])
        grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
        for column, name in enumerate(columns):
            group = images if single else images[:, column]
            limit = np.percentile(np.abs(group), 99.5)
            look = {"origin": "lower", "cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
            for row, line in enumerate(rows):
                axes = grid[row, column]
                artist = axes.imshow(images[row, column], extent=(0, extent, 0, extent), **look)
                axes.set_title(name if row == 0 else "")
                if column == 0:
                    axes.set_ylabel(f"{line}\n{words['x']}" if line else words["x"])
            grid[-1, column].set_xlabel(words["x"])
            if not single:
                bar = {"location": "bottom", "aspect": 14, "pad": 0.02, "extend": "both", "shrink": 0.9}
                scale = figure.colorbar(artist, ax=list(grid[:, column]), ticks=[-limit / 2, 0, limit / 2], **bar)
                scale.ax.set_xticklabels([f"{-limit / 2:.3f}", "0", f"{limit / 2:.3f}"])
                scale.set_label(words["unit"])
        if single:
            figure.colorbar(
                artist, ax=grid, location="bottom", aspect=40, shrink=0.7, extend="both", pad=0.03
            ).set_label(words["unit"])


def look_of(i: int, size: float = 3.5) -> dict[str, Any]:
    """Colour and marker of points with errors."""
    return {"color": COLOURS[i % 6], "fmt": MARKERS[i % 6], "ms": size, "elinewidth": 1}


def above(axes: Axes, lines: Sequence[Curve], wanted: str = "theory") -> None:
    """Draw measurements over lines of theory."""
    for i, line in enumerate(lines):
        axes.plot(line.x, line.theory, color=COLOURS[i % 6], lw=1.2)
        axes.errorbar(line.x, line.theory * line.ratio, line.theory * line.error, label=line.label, **look_of(i))
    axes.plot([], [], color=GREY, lw=1.2, label=f"lines: {wanted}")
    axes.set(xscale="log", yscale="log")


def below(axes: Axes, lines: Sequence[Curve], half: float, labels: bool = False) -> None:
    """Draw measurements over theory, and a grey band."""
    band(axes, half)
    for i, line in enumerate(lines):
        axes.errorbar(line.x, line.ratio, line.error, label=line.label if labels else None, **look_of(i))
        if line.expected is not None:
            axes.plot(line.x, line.expected, color=COLOURS[i % 6], lw=0.8)
    axes.set(xscale="log")
    decades(axes)


def panels(path: Path, title: str, sides: Sequence[dict[str, Any]], limits: tuple[float, float], half: float) -> None:
    """Draw spectra with their residuals below, one column for each of `sides`.

    Keys: title, lines (curves), x, y (labels), wanted (what theory is called), more (lines (x, ratio, label) for the
    residuals), ratio (label).
    """
    with canvas(path, 8, 5.6) as figure:
        figure.suptitle(title)
        grid = figure.subplots(2, len(sides), sharex="col", squeeze=False, height_ratios=[1.7, 1])
        for side, (upper, lower) in zip(sides, grid.T, strict=True):
            above(upper, side["lines"], side["wanted"])
            below(lower, side["lines"], half)
            for i, (x, ratio, label) in enumerate(side.get("more", ())):
                lower.plot(x, ratio, color=INK, lw=1, ls=("--", ":", "-.")[i], label=label)
            upper.set(title=side["title"], ylabel=side["y"])
            upper.legend(fontsize=8)
            lower.set(xlabel=side["x"], ylabel=side.get("ratio", "measured / theory"), ylim=limits)
            lower.legend(loc="lower left", fontsize=8, ncols=3)


def distributions(path: Path, title: str, sides: Sequence[dict[str, Any]], width: float = 6.0) -> None:
    """Draw densities of pixels in units of their standard deviation, log scale, beside the unit normal.

    `sides`, a panel each: title, samples (arrays), labels.
    """
    edges = np.linspace(-width, 1.5 * width, 76)
    with canvas(path, 8, 3.9) as figure:
        figure.suptitle(title)
        for axes, side in zip(figure.subplots(1, len(sides), sharey=True), sides, strict=True):
            axes.plot(edges, norm.pdf(edges), color=INK, lw=1, ls="--", label="Gaussian, same variance")
            for i, (sample, label) in enumerate(zip(side["samples"], side["labels"], strict=True)):
                density = np.histogram(sample / sample.std(), edges)[0] / (sample.size * (edges[1] - edges[0]))
                axes.stairs(density, edges, baseline=None, color=COLOURS[i], lw=1.4, label=label)
            axes.set(title=side["title"], yscale="log", ylim=(3e-6, 1e3), xlim=edges[[0, -1]])
            axes.set_xlabel("pixel / standard deviation")
            axes.legend(fontsize=7.5, loc="upper right")
        figure.axes[0].set_ylabel("probability density")


def transfer(path: Path, k: Array, lines: Sequence[tuple[str, Array, Array, Array]], half: float) -> None:
    """Draw CAMB's transfer functions and those of BBKS: (label, CAMB, BBKS, BBKS with baryons), each (len(k),)."""
    with canvas(path, 8, 6) as figure:
        figure.suptitle("Transfer function of matter: BBKS formula against CAMB")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        band(lower, half)
        for i, (label, camb, plain, baryons) in enumerate(lines):
            upper.plot(k, camb, color=COLOURS[i], label=label)
            upper.plot(k, plain, color=COLOURS[i], lw=1, ls="--")
            lower.plot(k, plain / camb, color=COLOURS[i], lw=1, ls="--")
            lower.plot(k, baryons / camb, color=COLOURS[i], lw=1.6)
        for axes, styles in (
            (upper, (("-", "CAMB"), ("--", r"BBKS, $\Gamma = \Omega_m h$: the grf simulator"))),
            (lower, (("--", r"BBKS, $\Gamma = \Omega_m h$"), ("-", "BBKS, shape of Sugiyama (1995)"))),
        ):
            for line, label in styles:
                axes.plot([], [], color=GREY, ls=line, label=label)
        upper.set(xscale="log", yscale="log", ylabel="T(k)")
        upper.legend()
        lower.set(xlabel="k [h/Mpc]", ylabel="BBKS / CAMB", ylim=(0.7, 2.3))
        lower.legend(loc="upper left")


def three_d_skewness(path: Path, radii: Array, lines: Sequence[tuple[str, Array, Array, Array]], title: str) -> None:
    """Draw S3 in top hats: (label, measured, error, leading order), each (len(radii),)."""
    with canvas(path, 7.5, 5.8) as figure:
        figure.suptitle(title)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        band(lower, 0.1)
        for i, (label, measured, error, leading) in enumerate(lines):
            upper.plot(radii, leading, color=COLOURS[i], lw=1.2)
            upper.errorbar(radii, measured, error, label=label, **look_of(i, 5))
            lower.errorbar(radii, measured / leading, error / leading, **look_of(i, 5))
        upper.plot([], [], color=GREY, label="lines: leading order (Bernardeau 1994)")
        upper.set(ylabel=r"$S_3 = \langle\delta^3\rangle / \langle\delta^2\rangle^2$")
        upper.legend()
        lower.set(xlabel="radius of the top hat [Mpc/h]", ylabel="measured / leading", ylim=(0.75, 1.25))
        lower.legend(loc="lower left")


def thickness(path: Path, thick: Array, shifted: Array, plain: Array, title: str) -> None:
    """Draw the skewness of kappa (len(thick), bins) against the thickness of shells, with and without their shift."""
    with canvas(path, 7.5, 4.6) as figure:
        axes = figure.subplots()
        for i in range(shifted.shape[1]):
            axes.plot(thick, shifted[:, i], color=COLOURS[i], marker=MARKERS[i], label=f"bin {i + 1}")
            axes.plot(thick, plain[:, i], color=COLOURS[i], lw=1, ls="--")
        axes.plot([], [], color=GREY, label="with the third-moment shift")
        axes.plot([], [], color=GREY, lw=1, ls="--", label="all shifts 1")
        axes.set(xscale="log", yscale="log", title=title)
        axes.set(xlabel="thickness of the shells [Mpc/h]", ylabel=r"skewness of $\kappa$")
        decades(axes)
        decades(axes, "y")
        axes.legend(ncols=2, loc="upper right")


def nuisances(path: Path, ell: Array, sides: Sequence[tuple[str, Array, Array]], labels: Sequence[str]) -> None:
    """Draw ratios of spectra with and without a nuisance: (title, shells, CCL), each (len(labels), len(ell))."""
    with canvas(path, 8, 6.6) as figure:
        figure.suptitle(r"$C_\ell$ with a nuisance over $C_\ell$ without; points: shells, lines: CCL")
        grid = figure.subplots(2, 2, sharex=True)
        for axes, (title, shells, ccl) in zip(grid.ravel(), sides, strict=True):
            axes.axhline(1, color=GREY, lw=0.8)
            for i, label in enumerate(labels):
                axes.plot(ell, ccl[i], color=COLOURS[i], lw=1.2)
                axes.plot(ell, shells[i], MARKERS[i], color=COLOURS[i], ms=4, label=label)
            low, high = min(ccl.min(), 1), max(ccl.max(), 1)
            room = 0.12 * (high - low)
            axes.set(title=title, xscale="log", ylim=(low - room, high + room))
            decades(axes)
        for axes in grid[1]:
            axes.set_xlabel(r"multipole $\ell$")
        for axes in grid[:, 0]:
            axes.set_ylabel("ratio")
        grid[0, 0].legend(fontsize=8, ncols=2, title="bins", framealpha=0.9)


def against_simulations(path: Path, sides: Sequence[tuple[str, Array, Array, dict[str, Array]]]) -> None:
    """Draw theories over N-body spectra: (title, k, relative error of one simulation, ratios by name)."""
    with canvas(path, 8, 3.8) as figure:
        figure.suptitle("Matter power at z = 0 over that of Quijote's N-body simulations")
        for axes, (title, k, error, lines) in zip(figure.subplots(1, len(sides), sharey=True), sides, strict=True):
            axes.fill_between(k, 1 - 2 * error, 1 + 2 * error, color=PALE, lw=0, label="2 errors of one simulation")
            axes.axhline(1, color=GREY, lw=0.8)
            for i, (name, ratio) in enumerate(lines.items()):
                # five bins together, as one simulation scatters
                smooth = np.convolve(ratio, np.full(5, 0.2), mode="valid")
                axes.plot(k[2:-2], smooth, color=COLOURS[i], lw=1.6, label=name)
            axes.set(xscale="log", ylim=(0.4, 1.4), xlabel="k [h/Mpc]")
            axes.set_title(title, fontsize=9)
            decades(axes)
        figure.axes[0].set_ylabel("P / P of the simulation")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def tomography(path: Path, sides: Sequence[dict[str, Any]]) -> None:
    """Draw C_ell of pairs of bins, a column for each of `sides` (title, auto, cross: curves), residuals below."""
    with canvas(path, 8, 8.2) as figure:
        figure.suptitle(r"Lensing spectra of maps against CCL, DES Y3 bins, $\Omega_m$ = 0.3")
        grid = figure.subplots(3, 2, sharex=True, sharey="row", height_ratios=[1.8, 1, 1])
        for side, (top, auto, cross) in zip(sides, grid.T, strict=True):
            above(top, side["auto"], "CCL")
            below(auto, side["auto"], 0.02)
            below(cross, side["cross"], 0.02, labels=True)
            top.set_title(side["title"])
            for axes in (auto, cross):
                axes.set_ylim(0.9, 1.1)
            cross.set_xlabel(r"multipole $\ell$")
        grid[0, 0].set_ylabel(r"$C_\ell$ of a bin with itself")
        grid[1, 0].set_ylabel("measured / CCL,\nsame bin")
        grid[2, 0].set_ylabel("measured / CCL,\ntwo bins")
        grid[0, 0].legend(title="bins", ncols=2)
        grid[1, 0].plot([], [], color=GREY, lw=0.8, label="exact mean of the shells")
        grid[1, 0].legend(ncols=2, fontsize=8)
        grid[2, 0].legend(ncols=4, fontsize=8)

"""Every picture of the project, in one style; numbers come in as arrays and a PNG goes out whole, with stable bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from scipy.ndimage import gaussian_filter
from scipy.stats import binom, norm

from cosmokeras.common.files import atomic

Array = np.ndarray
# Okabe & Ito (2008), https://jfly.uni-koeln.de/color: told apart with every common kind of colour blindness.
BLUE, ORANGE, GREEN, PURPLE, SKY, RUST = COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
INK, GREY, PALE = "#222222", "#8A8A8A", "#D9D9D9"
STYLE = {
    "figure.dpi": 150, "savefig.dpi": 150, "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 11,
    "figure.titlesize": 12, "legend.fontsize": 9, "legend.frameon": False, "figure.constrained_layout.h_pad": 0.07,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.linewidth": 0.8, "lines.linewidth": 1.6,
    "figure.constrained_layout.w_pad": 0.07,
}  # fmt: skip
NAMES = {"omega_m": r"$\Omega_m$", "sigma8": r"$\sigma_8$", "h": "$h$", "omega_b": r"$\Omega_b$", "n_s": "$n_s$", "w0": "$w_0$"}  # noqa: E501  # fmt: skip
BOX = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": PALE, "alpha": 0.9}


def pretty(name: str) -> str:
    """Name of a parameter as papers print it."""
    return NAMES.get(name, name.replace("_", " "))


@contextmanager
def canvas(
    path: Path, width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """Empty figure, width x height [inch]; saved at 150 dots per inch, free of user settings, once all is drawn."""
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        with atomic(path) as handle:
            figure.savefig(handle, format="png", metadata={"Software": None})


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


def spectra(
    path: Path, x: Array, measured: Array, error: Array, theory: Array, labels: Sequence[str], xlabel: str, ylabel: str
) -> None:
    """Compare measured spectra with theory, each (n_curves, len(x)): above both, below their ratio and a 2 % band."""
    ratio = np.asarray(measured) / np.asarray(theory)
    seen = ratio[np.isfinite(ratio)]
    with canvas(path, 7, 6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
        lower.axhspan(0.98, 1.02, color=PALE, lw=0, label=r"$\pm$2 %")
        lower.axhline(1, color=GREY, lw=0.8)
        for i, label in enumerate(labels):
            look = {"color": COLOURS[i % len(COLOURS)], "fmt": "osD^vP"[i % 6], "ms": 4, "elinewidth": 1}
            upper.plot(x, theory[i], color=look["color"], lw=1.4)
            upper.errorbar(x, measured[i], error[i], label=label, **look)
            lower.errorbar(x, ratio[i], error[i] / np.abs(theory[i]), **look)
        upper.plot([], [], color=GREY, lw=1.4, label="theory")
        upper.set(xscale="log", yscale="log", ylabel=ylabel)
        upper.legend(ncols=2 if len(labels) > 4 else 1)
        lower.set(xlabel=xlabel, ylabel="measured / theory")
        lower.set_ylim(max(min([0.8, *(seen - 0.05)]), 0), min(max([1.2, *(seen + 0.05)]), 3))
        lower.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter="")
        lower.legend(loc="upper left")


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
            axes.vlines(real, 0, share.max(), color=RUST, lw=1.6, label=f"real patches ({len(real)})")
        else:
            share = np.histogram(real, edges)[0] / len(real)
            axes.stairs(share, edges, lw=1.8, color=RUST, label=f"real patches ({len(real)})")
        verdict = "unlike the training maps" if p_value < threshold else "compatible with the training maps"
        axes.set(xscale="log" if far else "linear", xlabel="distance from the training maps", ylabel="fraction of maps")
        axes.set(title=label, ylim=(0, 1.4 * axes.get_ylim()[1]))
        axes.legend(loc="upper right", title=f"p = {p_value:.3g} (limit {threshold:g}):\n{verdict}", alignment="left")

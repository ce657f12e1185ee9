"""Picture of measured spectra beside theory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import LogLocator

from cosmokeras.report.style import COLOURS, GREY, PALE, Array, canvas


def spectra(
    path: Path,
    x: Array,
    measured: Array,
    error: Array,
    theory: Array,
    labels: Sequence[str],
    xlabel: str,
    ylabel: str,
    reference: str = "theory",
) -> None:
    """Compare measured spectra with theory, or what stands in its place: above both, below their ratio and a 2 % band.

    Each is (n_curves, len(x)).
    """
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
        upper.plot([], [], color=GREY, lw=1.4, label=reference)
        upper.set(xscale="log", yscale="log", ylabel=ylabel)
        upper.legend(ncols=2 if len(labels) > 4 else 1)
        lower.set(xlabel=xlabel, ylabel=f"measured / {reference}")
        lower.set_ylim(max(min([0.8, *(seen - 0.05)]), 0), min(max([1.2, *(seen + 0.05)]), 3))
        lower.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter="")
        lower.legend(loc="upper left")

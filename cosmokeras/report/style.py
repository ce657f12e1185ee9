"""How every picture looks: colours, fonts, names of parameters; a PNG goes out whole, with stable bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from cosmokeras.common.files import atomic
from cosmokeras.params.names import TEX

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
BOX = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": PALE, "alpha": 0.9}


def pretty(name: str) -> str:
    """Name of a parameter as papers print it."""
    return f"${TEX[name]}$" if name in TEX else name.replace("_", " ")


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

"""The picture of `study.ml_from_scratch`, in the project's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from cosmokeras.report.style import BLUE, COLOURS, GREEN, GREY, INK, ORANGE, canvas
from study.pictures import decades

Array = np.ndarray


def smooth(some: Array, width: int = 25) -> Array:
    """Running mean over `width` steps."""
    return np.convolve(some, np.full(width, 1 / width), "valid")


def draw(
    path: Path, losses: Mapping[str, Array], limit: float, answers: tuple[Array, Array, Mapping[str, float]],
    exact: tuple[Array, Array], kernels: tuple[Sequence[Array], float, int],
) -> None:  # fmt: skip
    """Draw losses, answers against the truth, exact posteriors, and what kernels let through.

    Parameters
    ----------
    losses : of each step, in units where the prior goes from -1 to 1; ours first, then Keras'
    limit : rms error of the exact posterior's mean in the same units
    answers : truth (n,), estimates (n,) and rms errors by name
    exact : grid (nodes,) and posteriors (n, nodes)
    kernels : (size, size, filters) for each scale, side of the map [Mpc/h] and its pixels
    """
    with canvas(path, 9, 7.4) as figure:
        (upper_left, upper_right), (lower_left, lower_right) = figure.subplots(2, 2)
        (ours, theirs), (our_name, their_name) = losses.values(), losses
        upper_left.plot(smooth(ours), color=BLUE, lw=3.5, alpha=0.45, label=our_name)
        upper_left.plot(smooth(theirs), color=INK, lw=0.8, label=their_name)
        upper_left.axhline(limit**2, color=GREY, ls="--", lw=1.2, label="exact limit, test maps")
        upper_left.set(yscale="log", xlabel="step", ylabel="loss (running mean)")
        decades(upper_left, "y")
        upper_left.legend()
        _answers(upper_right, *answers)
        _posteriors(lower_left, answers[0], answers[1], *exact)
        _filters(lower_right, *kernels)


def _answers(axes: Axes, true: Array, estimates: Array, rmse: Mapping[str, float]) -> None:
    axes.plot(true, estimates, "o", ms=2.2, mew=0, color=BLUE, alpha=0.5)
    axes.plot([true.min(), true.max()], [true.min(), true.max()], color=INK, lw=1)
    listed = "\n".join(f"{name:<16}{error:.4f}" for name, error in rmse.items())
    look = {"transform": axes.transAxes, "va": "top", "family": "monospace", "fontsize": 8}
    axes.text(0.03, 0.98, f"rms error\n{listed}", **look)
    top = true.max() + 0.4 * np.ptp(true)
    axes.set(xlabel=r"true $\Omega_m$", ylabel=r"answer, by hand", ylim=(true.min() - 0.05 * np.ptp(true), top))


def _posteriors(axes: Axes, true: Array, estimates: Array, omega_m: Array, probability: Array) -> None:
    places = (np.array([0.1, 0.35, 0.6, 0.9]) * len(true)).astype(int)
    for which, colour in zip(np.argsort(true)[places], COLOURS, strict=False):
        density = probability[which] / probability[which].max()
        axes.plot(omega_m, density, color=colour)
        axes.axvline(true[which], color=colour, ls=":", lw=1.2)
        here = estimates[which]
        axes.plot(here, np.interp(here, omega_m, density), "o", ms=8, mec="white", color=colour, zorder=3)
    axes.set(xlabel=r"$\Omega_m$", ylabel="exact posterior / its maximum", ylim=(0, 1.08))
    axes.set_title("four maps; dotted: truth, dots: network", fontsize=10)


def _filters(axes: Axes, kernels: Sequence[Array], box: float, size: int) -> None:
    for scale, (kernel, colour) in enumerate(zip(kernels, (BLUE, ORANGE, GREEN), strict=True)):
        n = size // 2**scale
        passed = np.abs(np.fft.rfft2(kernel.astype(float), s=(n, n), axes=(0, 1))) ** 2
        k = 2 * np.pi / box * np.arange(1, n // 2 + 1)  # along the x axis
        mean = np.mean(passed[0, 1:] / passed.max(axis=(0, 1)), axis=-1)
        axes.plot(k, mean, "o-", ms=4, color=colour, label=f"pixels of {box / n:g} Mpc/h")
    axes.set(xscale="log", xlabel="k along x [h/Mpc]", ylabel="power let through, mean of filters", ylim=(0, None))
    decades(axes)
    axes.legend()

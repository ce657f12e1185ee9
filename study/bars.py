"""Figures beside the bars that they must pass."""

from __future__ import annotations


def bar(name: str, value: float, low: float, high: float, known: str = "") -> bool:
    """Print a figure beside what it must lie between.

    `known` says why a bar is missed and stays missed: such a miss is printed, and does not count.
    """
    good = bool(low <= value <= high)
    verdict = "ok  " if good else "MISS" if known else "FAIL"
    reason = f"; known: {known}" if known and not good else ""
    print(f"{verdict} {name} = {value:.4f} (bar: {low:g} to {high:g}){reason}", flush=True)
    return good or bool(known)

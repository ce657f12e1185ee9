"""Figures beside the range that is required of them."""

from __future__ import annotations


def required(name: str, value: float, low: float, high: float, known: str = "") -> bool:
    """Print a figure beside the range in which it must lie.

    `known` says why a requirement is missed and stays missed: such a miss is printed, and does not count.
    """
    good = bool(low <= value <= high)
    verdict = "ok  " if good else "MISS" if known else "FAIL"
    reason = f"; known: {known}" if known and not good else ""
    print(f"{verdict} {name} = {value:.4f} (required: {low:g} to {high:g}){reason}", flush=True)
    return good or bool(known)

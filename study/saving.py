"""How many expensive maps a start from cheap ones saves: maps needed for the same error, over maps used.

Maps needed from scratch for an error are interpolated in the error curve of the same seed, straight in the logarithms
of number and error. A curve of a few seeds is no falling one: its running minimum is taken, since more maps than are
needed do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def needed(numbers: Sequence[int], errors: Sequence[float], wanted: float) -> tuple[float, str]:
    """Maps at which a curve of errors reaches `wanted`, and what kind of figure that is.

    Parameters
    ----------
    numbers : of maps, ascending, of which `errors` are

    Returns
    -------
    maps, and "" where the curve has them; the last number and "more" where it does not fall so low; the first number
    and "less" where it begins lower
    """
    lowest = np.minimum.accumulate(np.asarray(errors, float))
    if wanted < lowest[-1]:
        return float(numbers[-1]), "more"
    if wanted > lowest[0]:
        return float(numbers[0]), "less"
    after = int(np.argmax(lowest <= wanted))
    if after == 0:
        return float(numbers[0]), ""
    high, low = np.log(lowest[[after - 1, after]])
    part = (high - np.log(wanted)) / (high - low)
    return float(np.exp(np.interp(part, [0, 1], np.log([numbers[after - 1], numbers[after]])))), ""


def savings(curves: Mapping[str, Mapping[str, Sequence[float]]], scratch: str) -> dict[str, dict[str, Any]]:
    """By way of training and number of maps: maps needed from scratch for the same error, over that number.

    Parameters
    ----------
    curves : way of training -> number of maps -> errors, one for each seed
    scratch : the way that the others are compared with

    Returns
    -------
    way -> number -> `seeds`, a factor for each; `median`, `low` and `high` of them; `more` and `less`, how many of them
    are the least or the most that the factor can be, since the curve from scratch does not reach the error
    """
    found: dict[str, dict[str, Any]] = {}
    for way in (one for one in curves if one != scratch):
        some = {number: errors for number, errors in curves[way].items() if int(number) and errors}
        found[way] = {n: _figures(curves[scratch], errors, int(n)) for n, errors in some.items()}
    return found


def worth(curve: Mapping[str, Sequence[float]], error: float) -> dict[str, Any]:
    """Maps that training from scratch, of `curve`, needs to reach `error`, in the figures of `savings`."""
    return _figures(curve, [error] * max(map(len, curve.values())), 1)


def _figures(curve: Mapping[str, Sequence[float]], errors: Sequence[float], number: int) -> dict[str, Any]:
    """Maps that each seed of `curve` needs for its error, over `number`."""
    pairs = [needed(*_of_seed(curve, seed), error) for seed, error in enumerate(errors)]
    times, kinds = [maps / number for maps, _ in pairs], [kind for _, kind in pairs]
    figures = {"median": float(np.median(times)), "low": min(times), "high": max(times)}
    return {
        "seeds": [round(one, 3) for one in times],
        **{name: round(value, 3) for name, value in figures.items()},
        "more": kinds.count("more"), "less": kinds.count("less"),
    }  # fmt: skip


def _of_seed(curve: Mapping[str, Sequence[float]], seed: int) -> tuple[list[int], list[float]]:
    """Numbers of maps that a seed was trained on, ascending, and its errors."""
    numbers = sorted(int(number) for number, errors in curve.items() if len(errors) > seed)
    return numbers, [curve[str(number)][seed] for number in numbers]

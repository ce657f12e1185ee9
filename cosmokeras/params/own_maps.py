"""Metadata of the user's own maps: whether they were observed, and the truth of simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cosmokeras.params.registry import PER_BIN, RANGES

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

S8_RANGE = (0.1, 2.0)
S8_TOLERANCE = 1e-3  # by which a given S8 may differ from that of the given omega_m and sigma8


class Stated(NamedTuple):
    """`observed` (None: not stated), `kind` and `statement` for the provenance, and the `truth` of simulated maps."""

    observed: bool | None
    kind: str
    statement: str
    truth: dict[str, float] | None


def stated(cfg: Config) -> Stated:
    """What real.observed and real.truth say; maps with a truth are simulated."""
    truth = None if cfg.real.truth is None else whole_truth(cfg.real.truth)
    observed = False if truth is not None else cfg.real.observed
    kind, words = {
        None: ("unknown", "Maps given by the user, who has not stated whether they are observed (real.observed)"),
        True: ("observed", "Maps given by the user, who states that they are observed"),
        False: ("simulated", "Maps given by the user, who states that they are simulated"),
    }[observed]
    return Stated(observed=observed, kind=kind, statement=words, truth=truth)


def whole_truth(truth: Mapping[str, float]) -> dict[str, float]:
    """A truth with what follows for omega_m and sigma8 from S8 = sigma8 sqrt(omega_m / 0.3).

    Examples
    --------
    >>> whole_truth({"omega_m": 0.3, "S8": 0.8})
    {'omega_m': 0.3, 'S8': 0.8, 'sigma8': 0.8}
    """
    out = {name: float(value) for name, value in truth.items()}
    if {"S8", "omega_m"} <= set(out) and "sigma8" not in out:
        out["sigma8"] = float(out["S8"] / np.sqrt(out["omega_m"] / 0.3))
    elif {"S8", "sigma8"} <= set(out) and "omega_m" not in out:
        out["omega_m"] = float(0.3 * (out["S8"] / out["sigma8"]) ** 2)
    return out


def check_truth(config: Config, fail: Callable[[str], None]) -> None:
    """Names and values of real.truth, and what it says together with real.observed."""
    given = config.real.truth
    if given is None:
        return
    if config.real.observed:
        fail("real.observed=true: the truth of a sky is not known; set real.truth to null, or real.observed to false")
    if not given:
        fail("real.truth={}: names no parameter; give e.g. {omega_m: 0.3}, or null")
    by_bin = {f"{name}_{i + 1}": RANGES[name] for name in PER_BIN for i in range(config.channels)}
    allowed = RANGES | by_bin | {"S8": S8_RANGE}
    if config.from_files:
        allowed |= {name: (-np.inf, np.inf) for name in config.parameter_names if name not in allowed}
    for name in given:
        if name not in allowed:
            fail(f"real.truth: {name!r} is no parameter; allowed: {', '.join([*RANGES, 'S8'])}")
    truth = whole_truth(given)
    for name, value in truth.items():
        low, high = allowed[name]
        if not low <= value <= high:
            how = "" if name in given else " (from S8)"
            fail(f"real.truth: {name}={value:g}{how} must lie within {low} to {high}")
    if {"S8", "omega_m", "sigma8"} <= set(given):
        s8 = given["sigma8"] * np.sqrt(given["omega_m"] / 0.3)
        if abs(s8 / given["S8"] - 1) > S8_TOLERANCE:
            fail(f"real.truth: S8={given['S8']:g}, but sigma8 sqrt(omega_m / 0.3) = {s8:.4g}; correct one of the three")

"""Parameters from the columns of a table, also where a column holds another quantity than is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.params.files import FilesConfig
from cosmokeras.suites.table import Table

ROUNDING = 1e-6  # of a range, by which a parameter may lie beyond its edge
Known = dict[str, np.ndarray]

# What a column may hold in place of a parameter: the parameter, from the column and the others that it needs.
CONVERSIONS: dict[tuple[str, str], tuple[tuple[str, ...], Callable[[np.ndarray, Known], np.ndarray]]] = {
    ("sigma8", "S8"): (("omega_m",), lambda x, known: x / np.sqrt(known["omega_m"] / 0.3)),
    ("S8", "sigma8"): (("omega_m",), lambda x, known: x * np.sqrt(known["omega_m"] / 0.3)),
    ("omega_m", "S8"): (("sigma8",), lambda x, known: 0.3 * (x / known["sigma8"]) ** 2),
    ("h", "H0"): ((), lambda x, known: x / 100),
    ("omega_b", "omega_b_h2"): (("h",), lambda x, known: x / known["h"] ** 2),
    ("A_s", "1e9_A_s"): ((), lambda x, known: x * 1e-9),
    ("A_s", "ln_1e10_A_s"): ((), lambda x, known: np.exp(x) * 1e-10),
}


def parameters(table: Table, files: FilesConfig) -> np.ndarray:
    """Parameters (..., p) of the rows of a table, in the order of files.columns."""
    known: Known = {}
    later = []
    for name, one in files.columns.items():
        key = f"files.columns.{name}"
        values = table.column(one.column, key)
        if values.dtype.kind != "f":
            raise UserError(f"{key}={one.column!r}: the column of {table.path} holds text; give one of numbers")
        bad = ~np.isfinite(values)
        if bad.any():
            row = ", ".join(str(i) for i in np.argwhere(bad)[0])
            raise UserError(
                f"{table.path}: column {one.column!r} is NaN or infinite in row {row} ({int(bad.sum())} rows in all); "
                "correct it, or leave these maps out"
            )
        if one.holds in (None, name):
            known[name] = values
        else:
            later.append((name, str(one.holds), values))
    for name, holds, values in later:
        if (name, holds) not in CONVERSIONS:
            good = ", ".join(of for to, of in CONVERSIONS if to == name) or "nothing else"
            raise UserError(f"files.columns.{name}.holds={holds!r}: {name} follows from {good} in a column")
        needed, function = CONVERSIONS[name, holds]
        for other in needed:
            if other not in known:
                raise UserError(f"files.columns.{name}.holds={holds!r}: needs {other} in files.columns too")
        known[name] = function(values, known)
    return np.stack([known[name] for name in files.columns], axis=-1)


def labels(table: Table, which: str, key: str) -> np.ndarray:
    """A column of words, or of whole numbers that stand for them, as text (...)."""
    values = table.column(which, key)
    if values.dtype.kind == "f":
        if (values != np.floor(values)).any():
            raise UserError(
                f"{key}={which}: the column of {table.path} holds fractions; it must be words or whole numbers"
            )
        return values.astype(np.int64).astype(str)
    return values


def ranges(theta: np.ndarray) -> list[tuple[float, float]]:
    """Ranges of parameters (n, p): of the values, and half a mean step beyond them.

    That is the range of a Latin hypercube, whose values are the middles of equal steps (McKay et al. 1979,
    Technometrics 21, 239).
    """
    found = []
    for column in theta.T:
        values = np.unique(column)
        low, high = float(values[0]), float(values[-1])
        half = 0.5 * (high - low) / max(len(values) - 1, 1)
        # outwards to a thousandth of the width, but for rounding errors
        unit = 10.0 ** (3 - np.floor(np.log10(high - low))) if high > low else 1.0
        low, high = np.floor((low - half) * unit + 1e-3) / unit, np.ceil((high + half) * unit - 1e-3) / unit
        found.append((float(low), float(high)))
    return found


def must_lie_within(theta: np.ndarray, cfg: Config, path: str, but: Sequence[int] = ()) -> np.ndarray:
    """Parameters (n, p) inside their ranges, but for some columns; what is beyond by rounding is put onto the edge."""
    low, high = cfg.bounds.T
    slack = ROUNDING * (high - low)
    beyond = (theta < low - slack) | (theta > high + slack)
    beyond[:, list(but)] = False
    bad = np.argwhere(beyond)
    if len(bad):
        row, column = bad[0]
        name = cfg.parameter_names[column]
        raise UserError(
            f"{path}: {name}={theta[row, column]:.7g} (in {len(np.unique(bad[:, 0]))} rows or more) is outside "
            f"files.columns.{name}.range={[float(low[column]), float(high[column])]}; widen that, or leave it out"
        )
    near = (theta > low - slack) & (theta < high + slack)
    return np.where(near, np.clip(theta, low, high), theta)

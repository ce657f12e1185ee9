"""Tables of n(z) in text files, read and checked.

Columns of numbers, separated by spaces, tabs, commas or semicolons; `#` begins a comment, and one line of column names
may stand above. Every problem ends in one line that names the file and the line in it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from cosmokeras.common.errors import UserError

ZIs = Literal["centre", "low_edge"]
ROWS = 2  # at least
LARGEST = 1e100  # number that sums of it can hold
PLATEAU = 0.999  # part of its height that a cumulative distribution has reached; n(z) that ends at its peak has not
MIN_ROWS = 4  # to judge by its values what a column is


def read_table(path: Path | str, z_column: int = 0, n_column: int = 1, z_is: ZIs = "centre") -> np.ndarray:
    """Redshifts and n(z), (2, rows), of two columns of a text file, counted from 0.

    `z_is` says what the redshifts are: `centre` of each row's step, or its `low_edge`. Edges are turned into centres,
    half a step higher; the last step is as wide as the one before.
    """
    where = f"n(z) table {path}"
    rows, lines = read_rows(path)
    if max(z_column, n_column) >= rows.shape[1]:
        msg = (
            f"{where} has {rows.shape[1]} columns, but column {max(z_column, n_column)} "
            "(counted from 0) was asked for; the survey has more bins than the table has n(z) columns"
        )
        raise UserError(msg)
    z, n_z = rows[:, z_column], rows[:, n_column]
    check_redshifts(z, lines, where)
    if (n_z < 0).any():
        bad = int(np.argmax(n_z < 0))
        raise UserError(f"{where}: line {lines[bad]}: n(z) is {n_z[bad]:g}; a density is 0 or more")
    if not (n_z > 0).any():
        raise UserError(f"{where}: column {n_column} (counted from 0) is 0 in every row; name the column of n(z)")
    if _beside(z, n_z):
        raise UserError(
            f"{where}: column {n_column} (counted from 0) holds redshifts between those of column {z_column}, "
            "not n(z); name the column of n(z) in n_column"
        )
    if _cumulative(n_z):
        raise UserError(
            f"{where}: column {n_column} (counted from 0) rises from row to row and levels off, as a cumulative "
            "distribution; give n(z)"
        )
    _check_centres(rows, z_column, n_column, z_is, where)
    if z_is == "low_edge":
        step = np.diff(z)
        z = z + np.append(step, step[-1]) / 2
    return np.array([z, n_z])


def read_rows(path: Path | str) -> tuple[np.ndarray, tuple[int, ...]]:
    """All numbers of a text file, (rows, columns), finite, and the line in the file of each row."""
    path, where = Path(path), f"n(z) table {path}"
    try:
        content = path.read_bytes()
    except OSError:
        raise UserError(f"{where} is missing; name an existing text file in the survey preset") from None
    return _parsed(content, where)


def check_redshifts(z: np.ndarray, lines: tuple[int, ...], where: str) -> None:
    """Redshifts (rows,) from 0 up, each above the one before; else a line that names the row."""
    if (z < 0).any():
        bad = int(np.argmax(z < 0))
        raise UserError(f"{where}: line {lines[bad]}: z is {z[bad]:g}; redshifts are 0 or more")
    if (np.diff(z) <= 0).any():
        bad = int(np.argmax(np.diff(z) <= 0)) + 1
        raise UserError(
            f"{where}: line {lines[bad]}: z is {z[bad]:g} after {z[bad - 1]:g}; redshifts must ascend from row to row: "
            "sort the rows, or name the column of z"
        )


def _beside(z: np.ndarray, other: np.ndarray) -> float:
    """How many steps above `z` the column `other` is (below: negative), if at most one in every row; else 0."""
    step = np.diff(z)
    part = (other - z) / np.append(step, step[-1])
    part = part if part[0] > 0 else -part
    near = len(z) >= MIN_ROWS and ((part > 0.01) & (part < 1.01)).all()
    return float(np.median(other - z) / np.median(step)) if near else 0.0


def _cumulative(n_z: np.ndarray) -> bool:
    """Whether n(z) never falls and has reached its height in the last fifth of the rows."""
    rises = len(n_z) > MIN_ROWS and bool((np.diff(n_z) >= 0).all())
    return rises and n_z[0] < 0.1 * n_z[-1] and n_z[len(n_z) * 4 // 5] > PLATEAU * n_z[-1]


def _check_centres(rows: np.ndarray, z_column: int, n_column: int, z_is: ZIs, where: str) -> None:
    """Refuse a `z_is` that columns of edges or centres beside `z_column` contradict."""
    others = [c for c in range(rows.shape[1]) if c not in (z_column, n_column)]
    parts = {c: part for c in others if (part := _beside(rows[:, z_column], rows[:, c]))}
    above, below = max([0.0, *parts.values()]), -min([0.0, *parts.values()])
    if not parts:
        return
    if below == 0.0:
        held, remedy = "lower edges", "z_is: low_edge, or the column of centres in z_column"
    elif below < 0.9 and above < 1.5 * below:
        held, remedy = "centres", "z_is: centre, or the column of lower edges in z_column"
    else:
        held, remedy = "upper edges", "the column of centres in z_column"
    if held != {"centre": "centres", "low_edge": "lower edges"}[z_is]:
        columns = " and ".join(str(c) for c in parts)
        raise UserError(
            f"{where}: column {z_column} (counted from 0) holds {held}, judging by column {columns}, "
            f"but z_is is {z_is}; give {remedy}"
        )


@lru_cache(maxsize=64)
def _parsed(content: bytes, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{where} is not a text file; write z and n(z) in columns of text")
    rows: list[list[float]] = []
    lines: list[int] = []
    header = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not (words := _words(line)):
            continue
        numbers = [_number(word) for word in words]
        if not rows and not header and all(one is None for one in numbers):
            header = True  # names of the columns
            continue
        for word, one in zip(words, numbers, strict=True):
            if one is None:
                raise UserError(f"{where}: line {number}: {word!r} is not a number; columns of numbers are allowed")
            if not np.isfinite(one):
                raise UserError(f"{where}: line {number}: {word} is not finite; every z and n(z) must be a number")
            if abs(one) > LARGEST:
                raise UserError(f"{where}: line {number}: {word} is too large; at most {LARGEST:g} is allowed")
        if rows and len(words) != len(rows[0]):
            raise UserError(f"{where}: line {number} has {len(words)} columns, the lines before have {len(rows[0])}")
        rows.append([one for one in numbers if one is not None])
        lines.append(number)
    if len(rows) < ROWS:
        raise UserError(f"{where} has {len(rows)} rows of numbers; n(z) needs at least {ROWS}")
    array = np.array(rows)
    array.flags.writeable = False  # shared by all who read the same content
    return array, tuple(lines)


def _words(line: str) -> list[str]:
    line = line.split("#")[0].strip()
    return re.split(r"\s*[,;]\s*|\s+", line) if line else []


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None

"""Tables of parameters: text with and without a header, CSV, .npy, .npz, HDF5 and FITS.

A row belongs to a simulation or to a map. Tables of more than two axes, as (cosmology, realisation, parameter), keep
their leading axes.
"""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, headers

TEXT = (".txt", ".dat", ".csv", ".tsv", ".ascii")
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Table:
    """Columns, each of shape `shape`; `names` where the file has them."""

    path: str
    columns: tuple[np.ndarray, ...]
    names: tuple[str, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of a column: (rows,), or more."""
        return self.columns[0].shape

    def column(self, which: str | int, key: str) -> np.ndarray:
        """A column by name, in any case, or by number from 0; `key` is the one of params.yaml that asks for it."""
        if isinstance(which, str) and which.isdecimal() and which not in (self.names or ()):
            which = int(which)
        if isinstance(which, int):
            if 0 <= which < len(self.columns):
                return self.columns[which]
            raise UserError(f"{key}={which}: {self.path} has {len(self.columns)} columns, numbers 0 to {self._last}")
        if self.names is None:
            raise UserError(f"{key}={which!r}: {self.path} has no names; give a number, 0 to {self._last}")
        exact = [i for i, name in enumerate(self.names) if name == which]
        alike = exact or [i for i, name in enumerate(self.names) if name.lower() == which.lower()]
        if len(alike) != 1:
            raise UserError(f"{key}={which!r}: no such column in {self.path}; it has {', '.join(self.names)}")
        return self.columns[alike[0]]

    @property
    def _last(self) -> int:
        return len(self.columns) - 1


def read_table(path: Path, key: str | None = None) -> Table:
    """The table in a file, or in the array `key` of it."""
    name = path.name.lower()
    if name.endswith(TEXT):
        return _text(path)
    if name.endswith(array_files.FITS):
        return _fits(path, key)
    if name.endswith(array_files.SUFFIXES):
        return _array(path, array_files.read(path, key))
    raise UserError(f"{path}: no table by its name; known are {', '.join(TEXT[:3])}, .npy, .npz, HDF5 and FITS")


def _array(path: Path, array: np.ndarray) -> Table:
    names = array.dtype.names
    if names is not None:
        columns = tuple(_text_of(array[name]) for name in names)
        plain = [(name, one) for name, one in zip(names, columns, strict=True) if one.shape == array.shape]
        return Table(str(path), tuple(one for _, one in plain), tuple(name for name, _ in plain))
    if array.dtype.kind not in "iufb" or array.ndim == 0 or array.size == 0:
        raise UserError(f"{path}: an array of {array.dtype}, shape {array.shape}; must be (rows, columns) of numbers")
    if array.ndim == 1:
        array = array[:, None]
    return Table(str(path), tuple(array[..., i].astype(float) for i in range(array.shape[-1])), None)


def _text_of(column: np.ndarray) -> np.ndarray:
    """Numbers as float64 and bytes as text."""
    if column.dtype.kind in "iufb":
        return column.astype(float)
    if column.dtype.kind == "O":
        column = column.astype(str) if all(isinstance(one, str) for one in column.ravel()) else column.astype(bytes)
    return np.char.strip(np.char.decode(column) if column.dtype.kind == "S" else column.astype(str))


def _fits(path: Path, key: str | None) -> Table:
    from astropy.io import fits

    array_files.must_be_a_file(path)
    try:
        with warnings.catch_warnings(), fits.open(path) as file:
            warnings.filterwarnings("ignore")
            tables = [i for i, one in enumerate(file) if isinstance(one, fits.BinTableHDU | fits.TableHDU)]
            if not tables:
                raise UserError(f"{path}: a FITS file without a table; name the one with the parameters")
            chosen = headers.choose(path, [file[i].name for i in tables], tables, key, "tables")
            data, names = file[chosen].data, tuple(file[chosen].columns.names)
            columns = [_text_of(np.asarray(data[name])) for name in names]
    except (*UNREADABLE, fits.VerifyError) as error:
        raise UserError(f"{path}: damaged or no FITS file ({array_files.why(error)}); save it again") from None
    plain = [(name, one) for name, one in zip(names, columns, strict=True) if one.ndim == 1]
    return Table(str(path), tuple(one for _, one in plain), tuple(name for name, _ in plain))


def _text(path: Path) -> Table:
    """Rows of a text file; names from a first line that is no row of numbers, or from the last comment before it."""
    array_files.must_be_a_file(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({array_files.why(error)}); save the table again") from None
    comments = [line for line in lines if line.startswith("#")]
    rows = [_words(line) for line in lines if line and not line.startswith("#")]
    if not rows:
        raise UserError(f"{path}: an empty table; give a row for each simulation or map")
    names: list[str] | None = None
    if not any(_number(word) for word in rows[0]):
        names, rows = rows[0], rows[1:]
    elif comments:
        words = _words(comments[-1].lstrip("#").strip())
        names = words if len(words) == len(rows[0]) else None
    width = len(rows[0]) if rows else 0
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise UserError(f"{path}: row {number} has {len(row)} columns, row 1 has {width}; make them the same")
    if not rows or (names is not None and len(names) != width):
        raise UserError(f"{path}: {len(names or ())} names for {width} columns in {len(rows)} rows; correct the header")
    columns = []
    for i in range(width):
        words = [row[i] for row in rows]
        columns.append(np.array(words, float) if all(map(_number, words)) else np.array(words))
    return Table(str(path), tuple(columns), None if names is None else tuple(names))


def _words(line: str) -> list[str]:
    """Fields of a line, between commas, semicolons, tabs or spaces."""
    for separator in SEPARATORS:
        if separator in line:
            return [one.strip() for one in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    return line.split()


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

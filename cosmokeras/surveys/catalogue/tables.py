"""Columns of tables too large for memory, piece by piece: FITS tables and images, HDF5, Parquet.

A table is never held as a whole: FITS rows are read where they stand in the file, of a .gz file in one pass.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers.array_files import HDF5, why

FITS = tuple(f".{name}{pack}" for name in ("fits", "fit", "fts", "cat") for pack in ("", ".gz"))
PARQUET = (".parquet", ".parq", ".pq")
ROWS = 500_000  # in a piece
Chunk = dict[str, np.ndarray]


class Part(NamedTuple):
    """One file, or the files of one image for each column, with how many rows there are."""

    name: str
    rows: int


def listed(root: Path, names: Sequence[str]) -> list[Path]:
    """Files that names and patterns stand for, patterns in the order of their names."""
    found: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        path = path if path.is_absolute() else root / path
        if path.exists() or not re.search(r"[*?\[]", path.name):
            found.append(path)
            continue
        several = sorted(path.parent.glob(path.name))
        if not several:
            raise UserError(f"shear catalogue {name}: no file of that pattern; check real.path or catalogue.files")
        found += several
    for path in found:
        if not path.is_file():
            raise UserError(f"shear catalogue {path}: no such file; check real.path or catalogue.files of the preset")
    return found


def element(name: str) -> tuple[str, tuple[int, ...]]:
    """Column and place in it of a name such as `R[0,1]`.

    >>> element("R[0,1]"), element("e1")
    (('R', (0, 1)), ('e1', ()))
    """
    match = re.fullmatch(r"(.+)\[(\d+(?:\s*,\s*\d+)*)\]", name)
    return (match[1], tuple(int(i) for i in match[2].split(","))) if match else (name, ())


def _taken(name: str, column: np.ndarray, where: str) -> np.ndarray:
    """The element of a column that a name asks for, (rows,) float64."""
    place = element(name)[1]
    if column.ndim != 1 + len(place) or any(p >= n for p, n in zip(place, column.shape[1:], strict=True)):
        shape = list(column.shape[1:])
        raise UserError(f"{where}: column {name}: each row holds {shape or 'one number'}; name an element as NAME[0]")
    index: tuple[Any, ...] = (slice(None), *place)
    one = column[index]
    if one.dtype.kind not in "biuf":
        raise UserError(f"{where}: column {name} holds {one.dtype}; it must be numbers")
    return np.asarray(one, np.float64)


def _must_have(where: str, names: Sequence[str], there: Sequence[str]) -> None:
    lacking = [name for name in names if element(name)[0] not in there]
    if lacking:
        some = ", ".join(list(there)[:20]) + (" ..." if len(there) > 20 else "")
        raise UserError(f"{where}: no column {', '.join(lacking)}; it has {some}")


def rows_of(path: Path, table: str | None) -> int:
    """Rows of a table in a file."""
    with _damage(path):
        if _ends(path, FITS):
            return _fits_table(path, table).rows
        if _ends(path, HDF5):
            import h5py

            with h5py.File(path, "r") as file:
                return _hdf5_rows(path, _hdf5_item(path, file, table))
        return int(_parquet(path).metadata.num_rows)


def chunks(path: Path, table: str | None, names: Sequence[str], rows: int = ROWS) -> Iterator[Chunk]:
    """Columns (n,) float64 of pieces of at most `rows` rows of a table.

    Parameters
    ----------
    table : name or number of a FITS extension (default: the first table), or path of an HDF5 group or data set
    names : of columns, see `element`

    Raises
    ------
    UserError : no such column or table, a damaged file, a kind of file that is not read here
    """
    if _ends(path, FITS):
        yield from _fits_chunks(path, table, names, rows)
    elif _ends(path, HDF5):
        yield from _hdf5_chunks(path, table, names, rows)
    else:
        yield from _parquet_chunks(path, names, rows)


def image_chunks(paths: Mapping[str, Path], names: Sequence[str], rows: int = ROWS) -> Iterator[Chunk]:
    """The same where each column is a FITS image of its own, of one length."""
    from astropy.io import fits

    where = "shear catalogue"
    _must_have(where, names, list(paths))
    columns = {name: paths[name] for name in names}
    total = -1
    for name, path in columns.items():
        with _damage(path, "a FITS image of one column"), fits.open(path) as file:
            shape = file[0].shape
        if len(shape) != 1 or (total >= 0 and shape[0] != total):
            raise UserError(f"{path}: column {name} is an image of {list(shape)}; columns must be of one length")
        total = shape[0]
    opened = {}
    try:
        for name, path in columns.items():
            with _damage(path, "a FITS image of one column"):
                opened[name] = fits.open(path)
        for start in range(0, total, rows):
            piece = {}
            for name, file in opened.items():
                with _damage(columns[name], "a FITS image of one column"):
                    piece[name] = np.asarray(file[0].section[start : min(start + rows, total)], np.float64)
            yield piece
    finally:
        for file in opened.values():
            file.close()


class _damage:  # noqa: N801 - used as a function
    """Errors of reading a file, in one line."""

    def __init__(self, path: Path, kind: str = "the table that its name says") -> None:
        self.path, self.kind = path, kind

    def __enter__(self) -> None:
        """Nothing to open."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UNREADABLE) and not isinstance(error, UserError):
            raise UserError(f"{self.path}: damaged or not {self.kind} ({why(error)})") from None


def _ends(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(endings))


class _Fits(NamedTuple):
    """Where the rows of a FITS table are, and how to read them."""

    start: int
    rows: int
    dtype: np.dtype[Any]
    scale: dict[str, tuple[float, float]]
    shapes: dict[str, tuple[int, ...]]


def _fits_table(path: Path, table: str | None) -> _Fits:
    from astropy.io import fits

    with _damage(path, "a FITS table"), fits.open(path, memmap=not path.name.lower().endswith(".gz")) as file:
        tables = [i for i, hdu in enumerate(file) if isinstance(hdu, fits.BinTableHDU) and hdu.header.get("NAXIS2")]
        if table is None:
            chosen = tables[:1]
        else:
            chosen = [i for i in tables if file[i].name == table.upper() or str(i) == table]
        if not chosen:
            names = ", ".join(f"{i} {file[i].name}".strip() for i in tables) or "none"
            raise UserError(f"{path}: no table {table or ''} with rows in it; tables: {names}")
        hdu = file[chosen[0]]
        if hdu.header.get("ZTABLE"):
            raise UserError(f"{path}: a compressed FITS table is not read; uncompress it with funpack")
        scale, shapes = {}, {}
        for column in hdu.columns:
            scale[column.name] = (column.bscale or 1.0, column.bzero or 0.0)
            shapes[column.name] = hdu.columns.dtype[column.name].shape
        dtype = hdu.columns.dtype.newbyteorder(">")
        if dtype.itemsize != hdu.header["NAXIS1"]:
            raise UserError(f"{path}: rows of {hdu.header['NAXIS1']} bytes, of which columns tell {dtype.itemsize}")
        return _Fits(int(hdu.fileinfo()["datLoc"]), int(hdu.header["NAXIS2"]), dtype, scale, shapes)


def _fits_chunks(path: Path, table: str | None, names: Sequence[str], rows: int) -> Iterator[Chunk]:
    layout = _fits_table(path, table)
    _must_have(str(path), names, list(layout.scale))
    size = layout.dtype.itemsize
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        with _damage(path, "a FITS table"):
            file.seek(layout.start)
        for start in range(0, layout.rows, rows):
            number = min(rows, layout.rows - start)
            with _damage(path, "a FITS table"):
                buffer = file.read(number * size)
            if len(buffer) < number * size:
                raise UserError(f"{path}: ends after {start + len(buffer) // size} of {layout.rows} rows; get it again")
            block = np.frombuffer(buffer, layout.dtype)
            piece = {}
            for name in names:
                column = element(name)[0]
                scale, zero = layout.scale[column]
                stored = _logical(block[column])
                one = _taken(name, stored, str(path))
                piece[name] = one if (scale, zero) == (1.0, 0.0) else one * scale + zero
            yield piece


def _logical(column: np.ndarray) -> np.ndarray:
    """FITS writes logical values as the letters T and F, which numpy takes for one byte."""
    if column.dtype.kind == "i" and column.dtype.itemsize == 1 and column.size and np.isin(column, (84, 70, 0)).all():
        return column == 84
    return column


def _hdf5_item(path: Path, file: Any, table: str | None) -> Any:
    if table is None:
        return file
    if table not in file:
        raise UserError(f"{path}: no group {table}; it has {', '.join(list(file)[:20])}")
    return file[table]


def _hdf5_rows(path: Path, item: Any) -> int:
    import h5py

    if isinstance(item, h5py.Dataset):
        return int(item.shape[0]) if item.shape else 0
    lengths = {one.shape[0] for one in item.values() if isinstance(one, h5py.Dataset) and one.shape}
    return int(max(lengths, default=0))


def _hdf5_chunks(path: Path, table: str | None, names: Sequence[str], rows: int) -> Iterator[Chunk]:
    import h5py

    with _damage(path, "an HDF5 file"):
        file = h5py.File(path, "r")
    with file:
        item = _hdf5_item(path, file, table)
        compound = isinstance(item, h5py.Dataset)
        there = list(item.dtype.names or ()) if compound else [key for key in names if element(key)[0] in item]
        _must_have(str(path), names, [element(one)[0] for one in there] if there else list(item)[:20])
        wanted = list(dict.fromkeys(element(name)[0] for name in names))
        lengths = {one: int(item.shape[0] if compound else item[one].shape[0]) for one in wanted}
        if len(set(lengths.values())) > 1:
            listed_lengths = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise UserError(f"{path}: columns must be of one length, got {listed_lengths}")
        total = next(iter(lengths.values()))
        for start in range(0, total, rows):
            stop = min(start + rows, total)
            with _damage(path, "an HDF5 file"):
                block = item[start:stop] if compound else {one: item[one][start:stop] for one in wanted}
            yield {name: _taken(name, block[element(name)[0]], str(path)) for name in names}


def _parquet(path: Path) -> Any:
    if not _ends(path, PARQUET):
        known = "FITS (.fits, .gz), HDF5 (.h5) or Parquet (.parquet)"
        raise UserError(f"{path}: by its name no table that is read here; give {known}")
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow (pip install pyarrow), or give FITS or HDF5") from None
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise UserError(f"{path}: damaged or not a Parquet file ({why(error)})") from None


def _parquet_chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Chunk]:
    file = _parquet(path)
    _must_have(str(path), names, list(file.schema_arrow.names))
    wanted = list(dict.fromkeys(element(name)[0] for name in names))
    for batch in file.iter_batches(batch_size=rows, columns=wanted):
        block = {one: batch.column(one) for one in wanted}
        arrays = {}
        for one, column in block.items():
            if column.null_count:
                raise UserError(f"{path}: column {one} has {column.null_count} rows without a value; remove them")
            arrays[one] = _nested(column)
        yield {name: _taken(name, arrays[element(name)[0]], str(path)) for name in names}


def _nested(column: Any) -> np.ndarray:
    """Numbers, or vectors of one length in each row."""
    values = column.to_numpy(zero_copy_only=False)
    return np.stack(values) if values.dtype == object and values.size else np.asarray(values)

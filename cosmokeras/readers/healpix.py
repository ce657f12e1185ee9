"""HEALPix maps of FITS tables, full or partial sky, and of HealSparse files, as full-sky maps in RING order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, headers, healsparse_files

if TYPE_CHECKING:
    from astropy.io import fits

BLOCK = 2**20  # pixels that are looked up at a time


@dataclass(frozen=True)
class Stored:
    """Columns of a file, one a map: of all pixels, or of those in `index`.

    `columns` have the type and byte order of the file. `index` are numbers of pixels, RING and rising, None for maps of
    the full sky, whose order `nested` tells; `rows` says where in the columns they are, None if in this order.
    """

    path: Path | str
    nside: int
    columns: list[np.ndarray]
    index: np.ndarray | None = None
    rows: np.ndarray | None = None
    nested: bool = False

    def full(self) -> np.ndarray:
        """(channels, npix) in RING order; unobserved pixels of a partial map are UNSEEN (False or 0 for masks)."""
        import healpy

        npix = healpy.nside2npix(self.nside)
        if self.index is None:
            return self.at(np.arange(npix)) if self.nested else np.stack([_native(one) for one in self.columns])
        dtype = np.result_type(*self.columns)
        out = np.full((len(self.columns), npix), _unseen(dtype), dtype)
        for row, column in zip(out, self.columns, strict=True):
            row[self.index] = column if self.rows is None else column[self.rows]
        return out

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(channels, m) at pixels (m,), RING; the rest of the sky is never in memory. UNSEEN as in `full`."""
        import healpy

        if self.index is None:
            places = healpy.ring2nest(self.nside, pixels) if self.nested else pixels
            return np.stack([_native(column[places]) for column in self.columns])
        dtype = np.result_type(*self.columns)
        out = np.full((len(self.columns), len(pixels)), _unseen(dtype), dtype)
        for start in range(0, len(pixels) if len(self.index) else 0, BLOCK):
            block = slice(start, start + BLOCK)
            places = np.minimum(np.searchsorted(self.index, pixels[block]), len(self.index) - 1)
            found = self.index[places] == pixels[block]
            rows = places[found] if self.rows is None else self.rows[places[found]]
            for row, column in zip(out[:, block], self.columns, strict=True):
                row[found] = column[rows]
        return out


def read_healpix(
    path: Path | str, fields: int | str | tuple[int | str, ...] | None = None, hdu: int | None = None,
    unnamed: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Read HEALPix maps from a file, full or partial sky, as full-sky maps in RING order; see `open_healpix`.

    Returns
    -------
    (channels, npix) in the type of the file; unobserved pixels of a partial map are UNSEEN (False or 0 for masks)
    """
    return open_healpix(path, fields, hdu, unnamed).full()


def open_healpix(
    path: Path | str, fields: int | str | tuple[int | str, ...] | None = None, hdu: int | None = None,
    unnamed: str | None = None,
) -> Stored:  # fmt: skip
    """HEALPix maps of a FITS table or of a HealSparse file, checked; what is wanted of them is read from the result.

    Parameters
    ----------
    path : FITS file in the HEALPix convention: header ORDERING (RING or NESTED), one column per map; partial maps have
        a column of pixel numbers; one with that column alone is a mask, 1 in these pixels. `file.fits[NAME]` and
        `file.fits[2]` name one table of several. Or a HealSparse file (.hsp, .hs)
    fields : columns, by name or number among the maps; default all
    hdu : number of the table; default the one that `path` names, or the only one
    unnamed : the ordering of files whose header gives none; default: they are refused
    """
    from astropy.io import fits

    file_path, key = array_files.split(path)
    if file_path.name.lower().endswith(healsparse_files.SUFFIXES):
        sparse = healsparse_files.read(file_path)
        chosen = headers.chosen_columns(path, list(sparse.columns), fields)
        return _partial(path, sparse.nside, [sparse.columns[name] for name in chosen], sparse.pixels)
    if not file_path.name.lower().endswith(array_files.FITS):
        array_files.must_be_a_file(file_path)
        raise UserError(
            f"{path}: neither a FITS nor a HealSparse file (.hsp) by its name, and only these state their ordering: "
            "use healpy.write_map"
        )
    try:
        with warnings.catch_warnings(), fits.open(file_path) as file:
            warnings.filterwarnings("ignore", module="astropy")  # what matters is checked below
            table = file[_table(path, file, key, hdu)]
            header, names = table.header, list(table.columns.names)
            whole = [table.data.dtype[name].kind in "iu" for name in names]
            number_column = headers.index_column(header, names, whole, len(table.data))
            maps = [name for i, name in enumerate(names) if i != number_column]
            index = None if number_column is None else _flat(table.data[names[number_column]])
            chosen = headers.chosen_columns(path, maps, fields)
            columns = [_flat(table.data[name]) for name in chosen]
            if not maps and index is not None:
                columns = [np.ones(index.shape, bool)]
            units = [table.columns[name].unit for name in chosen]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    # of a truncated file, numpy says that a buffer ends
    except (*UNREADABLE, fits.VerifyError) as error:
        why = array_files.why(error)
        raise UserError(f"{path}: not a readable FITS file, or cut short ({why}); get it again") from None
    if len({column.size for column in columns}) > 1:
        raise UserError(f"{path}: columns of different lengths ({', '.join(chosen)}); name one column per map")
    for name, unit in zip(chosen, units, strict=True):
        headers.must_have_no_unit(path, unit, f"TUNIT of {name}")
    if unnamed is not None:
        header.setdefault("ORDERING", unnamed)
    return _stored(path, header, columns, index)


def _table(path: Path | str, file: fits.HDUList, key: str | None, hdu: int | None) -> int:
    """Number of the table that is asked for."""
    from astropy.io import fits

    tables = [i for i, one in enumerate(file) if isinstance(one, fits.BinTableHDU) and not one.is_image]
    if hdu is not None or not tables:
        if hdu not in tables:
            which = "its image is" if hdu is None else f"HDU {hdu} is"
            raise UserError(
                f"{path}: {which} not a table of HEALPix maps; it has {len(file)} HDUs, counted from 0, and "
                f"{len(tables)} tables"
            )
        return hdu
    number = headers.choose(array_files.split(path)[0], [file[i].name for i in tables], tables, key, "tables")
    if file[number].header.get("ZTABLE"):
        raise UserError(f"{path}: a compressed table; unpack it with funpack first")
    return number


def _stored(path: Path | str, header: Mapping[str, Any], columns: list[np.ndarray], index: np.ndarray | None) -> Stored:
    """The columns of a table, and for a partial map its pixel numbers, as its header says."""
    import healpy

    ordering = str(header.get("ORDERING", "missing")).strip().upper()
    if ordering not in ("RING", "NESTED", "NEST"):
        raise UserError(
            f"{path}: header ORDERING is {ordering.lower()}; it must say RING or NESTED, a guess would scramble the sky"
        )
    headers.must_be_celestial(path, header)
    nside = headers.nside(path, header)
    nested = ordering != "RING"
    if index is None:
        npix = len(columns[0])
        if not healpy.isnpixok(npix) or nside not in (None, healpy.npix2nside(npix)):
            claimed = "(none in its header)" if nside is None else nside
            raise UserError(f"{path}: {npix} pixels do not make a HEALPix map of NSIDE {claimed}")
        return Stored(path, int(healpy.npix2nside(npix)), columns, nested=nested)
    if nside is None or not healpy.isnsideok(nside, nest=True):
        raise UserError(f"{path}: a partial map needs a header NSIDE that is a power of 2, got {nside}")
    if index.dtype.kind == "f" and not (index == np.floor(index)).all():
        raise UserError(f"{path}: its column of pixel numbers holds {index[index != np.floor(index)][0]:.6g}")
    if index.size and (index.min() < 0 or index.max() >= healpy.nside2npix(nside)):
        raise UserError(f"{path}: pixel numbers from {index.min()} to {index.max()} do not fit NSIDE {nside}")
    pixels = index.astype(np.int64)
    return _partial(path, nside, columns, healpy.nest2ring(nside, pixels) if nested else pixels)


def _partial(path: Path | str, nside: int, columns: list[np.ndarray], pixels: np.ndarray) -> Stored:
    """Columns at pixels in any order; pixels that come again with the same values count once."""
    if (pixels[1:] > pixels[:-1]).all():
        return Stored(path, nside, columns, pixels)
    rows = np.argsort(pixels, kind="stable")
    pixels = pixels[rows]
    again = np.flatnonzero(pixels[1:] == pixels[:-1])
    if again.size:
        differs = np.zeros(again.size, bool)
        for column in columns:
            first, second = column[rows[again]], column[rows[again + 1]]
            differs |= (first != second) & (first == first)  # not of NaN
        if differs.any():
            raise UserError(f"{path}: {np.count_nonzero(differs)} pixel numbers are repeated with different values")
        keep = np.ones(len(pixels), bool)
        keep[again] = False
        pixels, rows = pixels[keep], rows[keep]
    return Stored(path, nside, columns, pixels, rows)


def _flat(column: np.ndarray) -> np.ndarray:
    """Of rows of a number or of many; the former as they lie in the file, of which `ravel` would make a copy."""
    one = np.asarray(column)
    return one if one.ndim == 1 else one.ravel()


def _native(column: np.ndarray) -> np.ndarray:
    """In the byte order of this machine: FITS is big-endian."""
    return column.astype(column.dtype.newbyteorder("="), copy=False)


def _unseen(dtype: np.dtype[Any]) -> float:
    import healpy

    return float(healpy.UNSEEN) if dtype.kind == "f" else 0

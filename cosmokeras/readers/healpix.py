"""HEALPix maps of FITS tables, full or partial sky, and of HealSparse files, as full-sky maps in RING order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, headers, healsparse_files

if TYPE_CHECKING:
    from astropy.io import fits


def read_healpix(
    path: Path | str, fields: int | str | tuple[int | str, ...] | None = None, hdu: int | None = None,
    unnamed: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Read HEALPix maps from a FITS table, full or partial sky, as full-sky maps in RING order.

    Parameters
    ----------
    path : FITS file in the HEALPix convention: header ORDERING (RING or NESTED), one column per map; partial maps have
        a column of pixel numbers; one with that column alone is a mask, 1 in these pixels. `file.fits[NAME]` and
        `file.fits[2]` name one table of several. Or a HealSparse file (.hsp, .hs)
    fields : columns, by name or number among the maps; default all
    hdu : number of the table; default the one that `path` names, or the only one
    unnamed : the ordering of files whose header gives none; default: they are refused

    Returns
    -------
    (channels, npix) in the type of the file; unobserved pixels of a partial map are UNSEEN (False or 0 for masks)
    """
    from astropy.io import fits

    file_path, key = array_files.split(path)
    if file_path.name.lower().endswith(healsparse_files.SUFFIXES):
        named = None if fields is None else tuple(np.atleast_1d(np.array(fields, object)).tolist())
        return healsparse_files.read_healsparse(file_path, named)
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
            index = None if number_column is None else np.asarray(table.data[names[number_column]]).ravel()
            chosen = maps if fields is None else [_column(path, maps, f) for f in np.atleast_1d(fields).tolist()]
            columns = [np.asarray(table.data[name]).ravel() for name in chosen]
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
    # FITS is big-endian; everything after this wants native numbers
    columns = [column.astype(column.dtype.newbyteorder("=")) for column in columns]
    if unnamed is not None:
        header.setdefault("ORDERING", unnamed)
    return _full_sky(path, header, np.stack(columns), index)


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


def _column(path: Path | str, names: list[str], field: int | str) -> str:
    if isinstance(field, int) and 0 <= field < len(names):
        return names[field]
    for name in names:
        if name.lower() == str(field).lower():  # FITS does not tell cases apart
            return name
    raise UserError(f"{path}: no map {field!r}; it has {', '.join(names)} (or 0 to {len(names) - 1})")


def _full_sky(path: Path | str, header: Mapping[str, Any], columns: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """(channels, npix) in RING order from the columns of a file and, for a partial map, its pixel numbers."""
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
        npix = columns.shape[1]
        if not healpy.isnpixok(npix) or nside not in (None, healpy.npix2nside(npix)):
            claimed = "(none in its header)" if nside is None else nside
            raise UserError(f"{path}: {npix} pixels do not make a HEALPix map of NSIDE {claimed}")
        # reorder by index, which unlike healpy.reorder keeps logical columns logical
        return columns[:, healpy.ring2nest(healpy.npix2nside(npix), np.arange(npix))] if nested else columns
    if nside is None or not healpy.isnsideok(nside, nest=True):
        raise UserError(f"{path}: a partial map needs a header NSIDE that is a power of 2, got {nside}")
    if index.dtype.kind == "f" and not (index == np.floor(index)).all():
        raise UserError(f"{path}: its column of pixel numbers holds {index[index != np.floor(index)][0]:.6g}")
    npix = healpy.nside2npix(nside)
    if index.size and (index.min() < 0 or index.max() >= npix):
        raise UserError(f"{path}: pixel numbers from {index.min()} to {index.max()} do not fit NSIDE {nside}")
    pixels = index.astype(np.int64)
    out = np.full((len(columns), npix), healpy.UNSEEN if columns.dtype.kind == "f" else 0, dtype=columns.dtype)
    pixels = healpy.nest2ring(nside, pixels) if nested else pixels
    out[:, pixels] = columns
    again = (out[:, pixels] != columns) & (columns == columns)  # not of NaN
    if again.any():
        raise UserError(f"{path}: {int(again.any(axis=0).sum())} pixel numbers are repeated with different values")
    return out

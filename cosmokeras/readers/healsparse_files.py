"""HealSparse maps (https://healsparse.readthedocs.io), which hold the observed part of the sky alone, in NESTED order.

Read by the healsparse package: pip install 'cosmokeras[healsparse]'. Coordinates are celestial by convention of the
format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files

if TYPE_CHECKING:
    from healsparse import HealSparseMap

SUFFIXES = (".hsp", ".hs")
WHOLE = 1 - 1e-6  # observed part of a pixel that is observed


def read_healsparse(path: Path | str, fields: tuple[int | str, ...] | None = None) -> np.ndarray:
    """Maps of a HealSparse file as full-sky maps in RING order.

    Returns
    -------
    (channels, npix): a channel for each column of a record map, else one. Unobserved pixels are UNSEEN (False or 0 for
    masks); bits of a wide mask are one logical value, whether any is set
    """
    import healpy

    one = _opened(Path(path))
    pixels = one.valid_pixels
    values = one[pixels]
    if one.is_wide_mask_map:
        columns, names = [values.any(axis=-1)], ["mask"]
    elif one.is_rec_array:
        columns, names = [values[name] for name in values.dtype.names], list(values.dtype.names)
    else:
        columns, names = [values], ["map"]
    if fields is not None:
        columns = [columns[_number(path, names, field)] for field in fields]
    kept = np.stack([column.astype(column.dtype.newbyteorder("=")) for column in columns])
    npix = healpy.nside2npix(one.nside_sparse)
    out = np.full((len(kept), npix), healpy.UNSEEN if kept.dtype.kind == "f" else 0, kept.dtype)
    out[:, healpy.nest2ring(one.nside_sparse, pixels)] = kept
    return out


def read_footprint(path: Path | str, nside: int) -> np.ndarray | None:
    """Pixels of `nside` all of which a finer HealSparse mask observes, (npix,) bool RING; None if it is no finer.

    The full sky at the resolution of the file is never in memory: masks of surveys have NSIDE 4096 to 131072.
    """
    import healpy

    one = _opened(Path(path))
    if one.nside_sparse <= nside:
        return None
    if not (one.is_wide_mask_map or one.is_rec_array or one.dtype == bool):
        pixels = one.valid_pixels
        values = one[pixels]
        odd = ~np.isin(values, (0, 1))
        if odd.any():
            raise UserError(
                f"{path}: a mask is 0 or 1 (observed), but it holds {values[odd][0]:.6g}; threshold it first"
            )
        one[pixels[values == 0]] = None  # else a pixel that is there counts as observed, whatever its value
    part = one.fracdet_map(nside)
    seen = part.valid_pixels
    out = np.zeros(healpy.nside2npix(nside), bool)
    out[healpy.nest2ring(nside, seen)] = part[seen] > WHOLE
    return out


def _opened(path: Path) -> HealSparseMap:
    try:
        import healsparse
    except ImportError:
        raise UserError(
            f"{path}: a HealSparse file, and healsparse is not installed: pip install 'cosmokeras[healsparse]'"
        ) from None
    array_files.must_be_a_file(path)
    try:
        return healsparse.HealSparseMap.read(str(path))
    except UNREADABLE as error:
        why = array_files.why(error)
        raise UserError(f"{path}: not a readable HealSparse file, or cut short ({why}); get it again") from None


def _number(path: Path | str, names: list[str], field: int | str) -> int:
    if isinstance(field, int) and 0 <= field < len(names):
        return field
    for number, name in enumerate(names):
        if name.lower() == str(field).lower():
            return number
    raise UserError(f"{path}: no map {field!r}; it has {', '.join(names)} (or 0 to {len(names) - 1})")

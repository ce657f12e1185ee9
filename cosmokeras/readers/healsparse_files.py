"""HealSparse maps (https://healsparse.readthedocs.io), which hold the observed part of the sky alone, in NESTED order.

Read by the healsparse package: pip install 'cosmokeras[healsparse]'. Coordinates are celestial by convention of the
format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, missing

if TYPE_CHECKING:
    from healsparse import HealSparseMap

SUFFIXES = (".hsp", ".hs")
WHOLE = 1 - 1e-6  # observed part of a pixel that is observed


class Sparse(NamedTuple):
    """Columns (m,) by their names, at pixels (m,) in RING order of `nside`."""

    nside: int
    pixels: np.ndarray
    columns: dict[str, np.ndarray]


def read(path: Path) -> Sparse:
    """All columns of a file: those of a record map, else one; bits of a wide mask are one value, whether any is set."""
    return columns_of(opened(path))


def columns_of(one: HealSparseMap) -> Sparse:
    """The same of a file that has been read."""
    import healpy

    pixels = one.valid_pixels
    values = one[pixels]
    if one.is_wide_mask_map:
        columns = {"mask": values.any(axis=-1)}
    elif one.is_rec_array:
        columns = {name: values[name] for name in values.dtype.names}
    else:
        columns = {"map": values}
    return Sparse(one.nside_sparse, healpy.nest2ring(one.nside_sparse, pixels), columns)


def whole_pixels(path: Path, one: HealSparseMap, nside: int) -> np.ndarray:
    """Pixels of `nside` all of which a finer HealSparse mask observes, (npix,) bool RING.

    The full sky at the resolution of the file is never in memory: masks of surveys have NSIDE 4096 to 131072.
    """
    import healpy

    if not (one.is_wide_mask_map or one.is_rec_array or one.dtype == bool):
        pixels = one.valid_pixels
        values = one[pixels]
        missing.must_be_a_mask(path, values)
        one[pixels[values == 0]] = None  # else a pixel that is there counts as observed, whatever its value
    part = one.fracdet_map(nside)
    seen = part.valid_pixels
    out = np.zeros(healpy.nside2npix(nside), bool)
    out[healpy.nest2ring(nside, seen)] = part[seen] > WHOLE
    return out


def opened(path: Path) -> HealSparseMap:
    """A file, read."""
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

"""HEALPix maps and masks of a survey, read from FITS or HealSparse files.

Each problem ends in one line that names the file, what is wrong with it and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.readers import healsparse_files
from cosmokeras.readers.healpix import read_healpix
from cosmokeras.sky.patches import UNSEEN_LIMIT


def read_map(path: Path, column: int | None = None) -> np.ndarray:
    """One map, (npix,) float32 RING. `column` of the file; None: its only one."""
    maps = read_healpix(path) if column is None else read_healpix(path, fields=column)
    if len(maps) != 1:
        raise UserError(f"{path}: holds {len(maps)} maps, but one was asked for; give a file with one column per bin")
    return _floats(path, maps)[0]


def read_maps(paths: Sequence[Path], bins: int) -> tuple[np.ndarray, list[str]]:
    """Maps of all bins from one file with a column per bin, or from one file per bin.

    Returns
    -------
    maps : (bins, npix) float32, RING
    names : (bins,) what to call each in messages
    """
    if len(paths) == 1:
        maps = _floats(paths[0], read_healpix(paths[0]))
        names = [f"{paths[0]} (map {number} of {len(maps)})" for number in range(1, len(maps) + 1)]
    else:
        columns = [read_map(path) for path in paths]
        if len({column.size for column in columns}) > 1:
            sides = ", ".join(f"{path.name} {nside_of(one)}" for path, one in zip(paths, columns, strict=True))
            raise UserError(f"{paths[0].parent}: maps of different NSIDE ({sides}); bring them to one")
        maps, names = np.stack(columns), [str(path) for path in paths]
    if len(maps) != bins:
        what = "map" if len(maps) == 1 else "maps"
        raise UserError(
            f"{paths[0]}: {len(maps)} {what} given by real.path, but lensing.survey has {bins} bins; give one file "
            "with a column per bin or a list of files, one per bin in order"
        )
    return maps, names


def read_mask(path: Path, nside: int | None = None) -> np.ndarray:
    """Footprint, (npix,) bool RING, from 0/1 numbers of any type or logical values; pixels not in the file are out.

    A HealSparse mask finer than `nside` is brought to it: pixels of which all is observed.
    """
    if nside is not None and path.name.lower().endswith(healsparse_files.SUFFIXES):
        seen = healsparse_files.read_footprint(path, nside)
        if seen is not None:
            return _not_empty(path, seen)
    columns = read_healpix(path)
    if len(columns) != 1:
        raise UserError(f"{path}: holds {len(columns)} columns, but a mask is one; write it to a file of its own")
    mask = columns[0]
    if mask.dtype.kind == "f":
        if np.isnan(mask).any():
            raise UserError(f"{path}: {np.count_nonzero(np.isnan(mask))} pixels of the mask are NaN; make them 0")
        mask = np.where(np.abs(mask) < UNSEEN_LIMIT, mask, 0)
    odd = ~np.isin(mask, (0, 1))
    if odd.any():
        raise UserError(f"{path}: a mask is 0 or 1 (observed), but it holds {mask[odd][0]:.6g}; threshold it first")
    return _not_empty(path, mask.astype(bool))


def _not_empty(path: Path, mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        raise UserError(f"{path}: the mask is empty, no pixel is 1 (observed); give the footprint of the maps")
    return mask


def _floats(path: Path, maps: np.ndarray) -> np.ndarray:
    if maps.dtype.kind != "f":
        raise UserError(f"{path}: holds {maps.dtype} numbers, but convergence is a small fraction; write it as floats")
    with np.errstate(over="ignore"):  # beyond float32 is as good as missing
        return maps.astype(np.float32)


def nside_of(one: np.ndarray) -> int:
    """NSIDE of a map (npix,)."""
    import healpy

    return int(healpy.npix2nside(one.size))

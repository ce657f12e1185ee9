"""HEALPix maps and masks of a survey, read from FITS or HealSparse files.

Each problem ends in one line that names the file, what is wrong with it and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import Survey
from cosmokeras.readers import healsparse_files
from cosmokeras.readers.healpix import Stored, open_healpix
from cosmokeras.readers.missing import must_be_a_mask
from cosmokeras.sky.patches import UNSEEN_LIMIT
from cosmokeras.sky.sky_maps import SkyMaps
from cosmokeras.surveys.healpix_checks import check_grid


def read_map(path: Path, column: int | None = None) -> np.ndarray:
    """One map, (npix,) float32 RING. `column` of the file; None: its only one."""
    return _floats(path, _one_map(path, column).full())[0]


def read_maps(paths: Sequence[Path], survey: Survey, mask: np.ndarray, mask_name: str) -> tuple[SkyMaps, list[str]]:
    """Maps of all bins from one file with a column per bin, or from one file per bin, where the mask (npix,) is True.

    Returns
    -------
    maps : (bins, m) float32; what files do not hold of the mask is UNSEEN
    names : (bins,) what to call each in messages
    """
    first = open_healpix(paths[0]) if len(paths) == 1 else _one_map(paths[0])
    total, bins = max(len(paths), len(first.columns)), len(survey.bins)
    names = [str(path) for path in paths]
    if len(paths) == 1:
        names = [f"{paths[0]} (map {number} of {total})" for number in range(1, total + 1)]
    if total != bins:
        what = "map" if total == 1 else "maps"
        raise UserError(
            f"{paths[0]}: {total} {what} given by real.path, but lensing.survey has {bins} bins; give one file "
            "with a column per bin or a list of files, one per bin in order"
        )
    nside = first.nside
    check_grid(nside, names[0], mask, mask_name, survey)
    pixels = SkyMaps.pixels_of(mask)
    values = _floats(paths[0], first.at(pixels))
    del first  # one file at a time is in memory
    if len(paths) > 1:
        values = np.concatenate([values, np.empty((bins - 1, len(pixels)), np.float32)])
    for row, path in enumerate(paths[1:], start=1):
        other = _one_map(path)
        if other.nside != nside:
            sides = f"{paths[0].name} {nside}, {path.name} {other.nside}"
            raise UserError(f"{path.parent}: maps of different NSIDE ({sides}); bring them to one")
        values[row] = _floats(path, other.at(pixels))[0]
        del other
    return SkyMaps(nside, pixels, values), names


def read_mask(path: Path, nside: int | None = None) -> np.ndarray:
    """Footprint, (npix,) bool RING, from 0/1 numbers of any type or logical values; pixels not in the file are out.

    A HealSparse mask finer than `nside` is brought to it: pixels of which all is observed.
    """
    if nside is not None and path.name.lower().endswith(healsparse_files.SUFFIXES):
        sparse = healsparse_files.opened(path)
        if sparse.nside_sparse > nside:
            return _not_empty(path, healsparse_files.whole_pixels(path, sparse, nside))
    stored = open_healpix(path)
    if len(stored.columns) != 1:
        raise UserError(
            f"{path}: holds {len(stored.columns)} columns, but a mask is one; write it to a file of its own"
        )
    mask = stored.full()[0]
    if mask.dtype.kind == "f":
        if np.isnan(mask).any():
            raise UserError(f"{path}: {np.count_nonzero(np.isnan(mask))} pixels of the mask are NaN; make them 0")
        mask = np.where(np.abs(mask) < UNSEEN_LIMIT, mask, 0)
    must_be_a_mask(path, mask)
    return _not_empty(path, mask.astype(bool, copy=False))


def _one_map(path: Path, column: int | None = None) -> Stored:
    stored = open_healpix(path, column)
    number = len(stored.columns)
    if number != 1:
        raise UserError(f"{path}: holds {number} maps, but one was asked for; give a file with one column per bin")
    return stored


def _not_empty(path: Path, mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        raise UserError(f"{path}: the mask is empty, no pixel is 1 (observed); give the footprint of the maps")
    return mask


def _floats(path: Path, maps: np.ndarray) -> np.ndarray:
    if maps.dtype.kind != "f":
        raise UserError(f"{path}: holds {maps.dtype} numbers, but convergence is a small fraction; write it as floats")
    with np.errstate(over="ignore"):  # beyond float32 is as good as missing
        return maps.astype(np.float32, copy=False)

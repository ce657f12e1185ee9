"""Pieces of a catalogue as galaxies: cuts, tomographic bins, units and signs of the preset; what cannot be is refused.

Frame: shear is with respect to x = east and y = north at each galaxy, as on the sphere (`sky.spherical_ks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import Anacal, Bins, Catalogue, Metacal, Metadetect, Regauss
from cosmokeras.surveys.catalogue import tables

MAX_E, MAX_PART = 1.0, 0.02  # ellipticities beyond, and the part of a piece that may have them
NONE = -1  # number of the bin of galaxies in no bin
Files = Sequence[Path] | Mapping[str, Path]  # tables one after the other, or an image for each column


@dataclass(frozen=True)
class Galaxies:
    """Galaxies of a piece; arrays (n,), float64 but for `bin`.

    `ra`, `dec` [deg]; `e1`, `e2` as measured, not calibrated; `weight`; `bin` from 0, -1 for none. `more` has what the
    calibration asks for: r11, r22, w1, w2, e_rms, m, c1, c2; and sigma_m, psf1, psf2. `sheared` has bin and weight
    under each artificial shear. All that are in no bin of either are left out.
    """

    ra: np.ndarray
    dec: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    weight: np.ndarray
    bin: np.ndarray
    more: dict[str, np.ndarray] = field(default_factory=dict)
    sheared: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def only(self, keep: np.ndarray) -> Galaxies:
        """Those of an index or a mask (n,)."""
        return Galaxies(
            self.ra[keep], self.dec[keep], self.e1[keep], self.e2[keep], self.weight[keep], self.bin[keep],
            {name: one[keep] for name, one in self.more.items()},
            {name: (b[keep], w[keep]) for name, (b, w) in self.sheared.items()},
        )  # fmt: skip


def read(layout: Catalogue, files: Files, rows: int = tables.ROWS) -> Iterator[Galaxies]:
    """All galaxies of a catalogue, of at most `rows` rows at a time, with a progress bar.

    Raises
    ------
    UserError : what `tables` refuses; numbers that are not finite, negative weights, positions that are none in the
        units of the preset, ellipticities above 1, bins that the preset does not name
    """
    names = layout.column_names()
    if isinstance(files, Mapping):
        if isinstance(layout.calibration, Metadetect):
            raise UserError("shear catalogue: metadetect has five tables, and not a FITS image for each column")
        yield from (galaxies_of(layout, chunk, "shear catalogue") for chunk in tables.image_chunks(files, names, rows))
        return
    total = sum(tables.rows_of(path, layout.table) for path in files)
    if total == 0:
        raise UserError(f"shear catalogue {', '.join(map(str, files))}: no galaxies in it")
    with tqdm(total=total, desc="catalogue", unit="galaxies", unit_scale=True, leave=False, disable=None) as bar:
        for path in files:
            for chunk in tables.chunks(path, layout.table, names, rows):
                yield galaxies_of(layout, chunk, f"shear catalogue {path}")
                bar.update(next(iter(chunk.values())).size)
    if isinstance(layout.calibration, Metadetect):
        for key, table in layout.calibration.sheared.items():
            yield from _sheared(layout, key, table, files, rows)


def _sheared(layout: Catalogue, key: str, table: str, files: Sequence[Path], rows: int) -> Iterator[Galaxies]:
    """Galaxies of sheared images, which are in no bin but that under this shear."""
    for path in files:
        for chunk in tables.chunks(path, table, layout.column_names(), rows):
            one = galaxies_of(layout, chunk, f"shear catalogue {path}, table {table}")
            nowhere = np.full(one.bin.shape, NONE)
            yield replace(one, bin=nowhere, sheared={key: (one.bin, one.weight)})


def galaxies_of(layout: Catalogue, chunk: tables.Chunk, where: str) -> Galaxies:
    """Galaxies of a piece, those of the cuts alone, checked."""
    columns, size = layout.columns, next(iter(chunk.values())).size
    keep = np.ones(size, bool)
    for cut in layout.select:
        one = chunk[cut.column]
        keep &= one == cut.equals if cut.equals is not None else True
        keep &= one >= cut.min if cut.min is not None else True
        keep &= one < cut.max if cut.max is not None else True
    if not keep.all():
        chunk = {name: one[keep] for name, one in chunk.items()}
    number, sheared = _bins(layout, chunk, where)
    used = number != NONE
    for other, _ in sheared.values():
        used |= other != NONE
    weight = np.ones(used.size) if columns.weight is None else chunk[columns.weight]
    signs = layout.signs
    more = {name: chunk[column] for name, column in _asked(layout).items()}
    for name, sign in (("psf1", signs[0]), ("psf2", signs[1]), ("c1", signs[0]), ("c2", signs[1])):
        if name in more:
            more[name] = sign * more[name]
    found = Galaxies(
        chunk[columns.ra], chunk[columns.dec], signs[0] * chunk[columns.e1], signs[1] * chunk[columns.e2], weight,
        number, more, sheared,
    )  # fmt: skip
    found = found if used.all() else found.only(used)
    _check(layout, found, where)
    ra, dec = _degrees(layout, found.ra, found.dec, where)
    return Galaxies(ra, dec, found.e1, found.e2, found.weight, found.bin, found.more, found.sheared)


def _asked(layout: Catalogue) -> dict[str, str]:
    """Columns beside the basic ones: what `Galaxies.more` calls them, and their names."""
    columns, method = layout.columns, layout.calibration
    asked = {"sigma_m": columns.sigma_m, "psf1": columns.psf_e1, "psf2": columns.psf_e2}
    if isinstance(method, Metacal):
        asked |= {"r11": method.r11, "r22": method.r22}
    elif isinstance(method, Anacal):
        asked |= {"r11": method.r11, "r22": method.r22, "w1": method.w1, "w2": method.w2}
    elif isinstance(method, Regauss):
        asked |= {"e_rms": method.e_rms, "m": method.m, "c1": method.c1, "c2": method.c2}
    return {name: column for name, column in asked.items() if column is not None}


def _bins(
    layout: Catalogue, chunk: tables.Chunk, where: str
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Bin of each row, and its bin and weight under each artificial shear."""
    bins, method, columns = layout.bins, layout.calibration, layout.columns
    if bins is None:
        return np.zeros(chunk[columns.ra].size, np.int64), {}
    sheared: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if isinstance(method, Metacal) and method.selected:
        for key, column in method.selected.items():
            name = method.weights[key] if method.weights else columns.weight
            weight = np.ones(chunk[column].size) if name is None else chunk[name]
            sheared[key] = bin_numbers(bins, chunk[column], f"{where}: column {column}"), weight
    return bin_numbers(bins, chunk[bins.column], f"{where}: column {bins.column}"), sheared


def bin_numbers(bins: Bins, values: np.ndarray, where: str) -> np.ndarray:
    """Bin of each value (n,), from 0; -1 for none of them.

    Examples
    --------
    >>> bin_numbers(Bins(column="z", edges=(0.2, 0.5, 1.0)), np.array([0.1, 0.2, 0.5, 1.0]), "z").tolist()
    [-1, 0, 1, -1]
    """
    if bins.edges is not None:
        number = np.searchsorted(bins.edges, values, side="right") - 1
        return np.where((number < 0) | (number >= bins.number), NONE, number)  # NaN is beyond the last edge
    number = np.full(values.shape, NONE, np.int64)
    known = np.isin(values, bins.unused)
    for i, value in enumerate(bins.values or ()):
        here = values == value
        number[here] = i
        known |= here
    if not known.all():
        odd = np.unique(values[~known])
        some = ", ".join(f"{value:g}" for value in odd[:5]) + (" ..." if odd.size > 5 else "")
        allowed = ", ".join(f"{value:g}" for value in bins.values or ())
        raise UserError(
            f"{where} has the values {some}, but bins are {allowed}; list those without a bin in catalogue.bins.unused"
        )
    return number


def _check(layout: Catalogue, found: Galaxies, where: str) -> None:
    named = {"ra": found.ra, "dec": found.dec, "e1": found.e1, "e2": found.e2, "weight": found.weight, **found.more}
    for name, one in named.items():
        if not np.isfinite(one).all():
            bad = int(np.count_nonzero(~np.isfinite(one)))
            raise UserError(f"{where}: {bad} values of {name} are not finite; cut those galaxies by catalogue.select")
    for weight in (found.weight, *(one for _, one in found.sheared.values())):
        if not (weight >= 0).all():
            bad = int(np.count_nonzero(~(weight >= 0)))
            raise UserError(f"{where}: {bad} weights are negative or not finite; weights are 0 or more")
    large = (np.hypot(found.e1, found.e2) > MAX_E) & (found.weight > 0)
    if np.count_nonzero(large) > max(MAX_PART * large.size, 1):
        raise UserError(
            f"{where}: {large.mean():.1%} of the galaxies have an ellipticity above {MAX_E:g}; check columns.e1 and "
            "e2, or cut them by catalogue.select"
        )


def _degrees(layout: Catalogue, ra: np.ndarray, dec: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions [deg]; those outside the sphere are refused."""
    units = layout.units
    most = {"deg": (360.0, 90.0), "rad": (2 * np.pi, np.pi / 2), "hours": (24.0, 90.0)}[units]
    slack = 1e-6
    good_ra = (ra >= -most[0] / 2 - slack) & (ra <= most[0] + slack)
    if not (good_ra.all() and (np.abs(dec) <= most[1] + slack).all()):
        turned = " (ra and dec may have changed places)" if np.abs(ra).max() <= 90 < np.abs(dec).max() else ""
        raise UserError(
            f"{where}: ra {ra.min():.6g} to {ra.max():.6g}, dec {dec.min():.6g} to {dec.max():.6g} are no positions in "
            f"catalogue.units={units}{turned}; allowed: deg, rad, hours (ra in hours, dec in degrees)"
        )
    if units == "deg":
        return ra, dec
    return (np.degrees(ra), np.degrees(dec)) if units == "rad" else (15.0 * ra, dec)

"""Redshift distributions of all bins of a survey, from the files that surveys publish.

Text (z and a column for each bin; or a file for each bin), 2pt-FITS (an extension with NZDATA, Z_LOW, Z_MID, Z_HIGH,
BIN1 ...), SACC (a FITS table of z and nz for each tracer of class NZ) and HDF5 (a group with z and an array for each
bin).
What comes out are middles of steps. Files seldom say what their z are, and half a step is a bias; see `centres`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files
from cosmokeras.redshifts.table import read_rows

ZIs = Literal["centre", "low_edge", "edges"]
TAIL = 0.1  # of its peak that n(z) may have at the end of its table: 0.08 in DES Y3, whose last step holds all beyond
ROUNDING = 0.01  # of its peak that n(z) may be below 0: that of DES Y3 is by 0.0024 in the nearest bin
EQUAL = 1e-3  # by which steps may differ, in parts of one


class NzFile(NamedTuple):
    """Middles `z` (n,) of steps, `n_z` (bins, n) as stored, and what was taken for what, in words."""

    z: np.ndarray
    n_z: np.ndarray
    words: str


def read_nz(paths: Sequence[Path | str], z_is: ZIs | None = None, z_max: float | None = None) -> NzFile:
    """n(z) of one file, or of a text file for each bin, all on one grid.

    Parameters
    ----------
    paths : a file, or one for each bin; behind its name a FITS extension (`file.fits[nz_source]`) or an HDF5 group
        (`file.h5:n_of_z/source`)
    z_is : what the redshifts are; None: told from the numbers, see `centres`
    z_max : redshift that simulations reach; a table that ends below it with galaxies left is refused

    Raises
    ------
    UserError : no such file or table; z that do not ascend, negative n(z), an empty bin, a table that ends too early
    """
    if not paths:
        raise UserError("n(z): no file was named")
    read = [_read(path) for path in paths]
    z, where = read[0][0], f"n(z) {', '.join(map(str, paths))}"
    if any(one.shape != z.shape or not np.allclose(one, z) for one, _ in read):
        raise UserError(f"{where}: the redshifts of the files differ; give n(z) of all bins on one grid")
    n_z = np.concatenate([rows for _, rows in read])
    return checked(z, n_z, where, z_is, z_max)


def checked(z: np.ndarray, n_z: np.ndarray, where: str, z_is: ZIs | None = None, z_max: float | None = None) -> NzFile:
    """Middles of steps of redshifts z and n(z) (bins, n), after every check; see `read_nz`."""
    if not (np.isfinite(z).all() and np.isfinite(n_z).all()):
        raise UserError(f"{where}: NaN or infinite numbers in it; every z and n(z) must be a number")
    if z.size < 2 or (np.diff(z) <= 0).any() or z[0] < 0:
        raise UserError(f"{where}: redshifts must ascend from 0 or more, two at least; got {_some(z)}")
    for i, one in enumerate(n_z, start=1):
        if one.min() < -ROUNDING * one.max():
            at = z[: one.size][one.argmin()]
            raise UserError(f"{where}: n(z) of bin {i} is {one.min():.3g} at z = {at:g}; a density is 0 or more")
        if not (one > 0).any():
            raise UserError(f"{where}: n(z) of bin {i} is 0 everywhere")
    middle, words = centres(z, n_z, where, z_is)
    if (n_z < 0).any():
        words += f"; {np.count_nonzero(n_z < 0)} values just below 0 (least {n_z.min():.2g}) set to 0"
        n_z = np.maximum(n_z, 0.0)
    end = middle[-1] + (middle[-1] - middle[-2]) / 2
    for i, one in enumerate(n_z, start=1):
        if one[-1] > TAIL * one.max() and (z_max is None or end < z_max * (1 - 1e-6)):
            there = f"z = {middle[-1]:g} with {one[-1] / one.max():.0%} of its peak"
            reach = f", z_max is {z_max:g}" if z_max is not None else ""
            raise UserError(f"{where}: n(z) of bin {i} ends at {there}{reach}; give the whole distribution")
    return NzFile(middle, n_z, words)


def centres(z: np.ndarray, n_z: np.ndarray, where: str, z_is: ZIs | None = None) -> tuple[np.ndarray, str]:
    """Middles of steps, and what was made of the redshifts.

    One z more than n(z): edges. z = 0 in the first row of equal steps and n(z) above 0 there: lower edges of a
    histogram, as no source is at z = 0. The first z half a step: middles. z = 0 and n(z) = 0 there: a curve, sampled at
    z; a histogram by lower edges whose first step is empty looks the same, which the words say.

    Examples
    --------
    >>> centres(np.array([0.0, 0.1, 0.2]), np.array([[1.0, 2.0, 0.0]]), "file")[0].round(2).tolist()
    [0.05, 0.15, 0.25]
    """
    step = np.diff(z)
    if z.size == n_z.shape[1] + 1:
        if z_is == "centre":
            raise UserError(f"{where}: {z.size} redshifts for {n_z.shape[1]} values of n(z) are edges, not centres")
        return (z[1:] + z[:-1]) / 2, "edges of steps, turned into their middles"
    if z.size != n_z.shape[1]:
        raise UserError(f"{where}: {z.size} redshifts for {n_z.shape[1]} values of n(z)")
    if z_is == "edges":
        raise UserError(f"{where}: as many redshifts as values of n(z), so not all edges; say low_edge or centre")
    equal = float(np.ptp(step)) < EQUAL * step[0]
    if z_is is None and equal and z[0] == 0 and (n_z[:, 0] > 0).any():
        z_is = "low_edge"
        words = "lower edges, as n(z) is above 0 at z = 0; turned into middles of steps"
    elif z_is is None and equal and z[0] == 0:
        words = (
            "samples of a curve, as n(z) is 0 at z = 0; if they are lower edges of a histogram with an empty first "
            "step, say low_edge"
        )
    elif z_is is None and equal and abs(z[0] / step[0] - 0.5) < EQUAL:
        words = "middles of steps, as the first is half a step"
    else:
        words = {"low_edge": "lower edges, as was said", "centre": "middles, as was said"}.get(str(z_is), "middles")
    return (z + np.append(step, step[-1]) / 2 if z_is == "low_edge" else z), words


def _read(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts and n(z) (bins, n) of a file, as stored."""
    file, key = array_files.split(path)
    name = file.name.lower()
    if name.endswith((*array_files.FITS, ".sacc")):
        array_files.must_be_a_file(file)
        return _fits(file, key)
    if name.endswith(array_files.HDF5):
        array_files.must_be_a_file(file)
        return _hdf5(file, key)
    rows, _ = read_rows(file)
    if rows.shape[1] < 2:
        raise UserError(f"n(z) {file}: one column; give z and n(z)")
    z, rest = rows[:, 0], rows[:, 1:].T
    if (
        rest.shape[0] >= 3
        and (rest[0] > z).all()
        and (rest[1] > rest[0]).all()
        and np.allclose(2 * rest[0], z + rest[1])
    ):
        return rest[0], rest[2:]  # lower edge, middle, upper edge, as in 2pt-FITS
    return z, rest


def _fits(path: Path, key: str | None) -> tuple[np.ndarray, np.ndarray]:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as file:
            tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)]
            if key is not None:
                tables = [hdu for hdu in tables if hdu.name.lower() == key.lower()]
            sacc = [hdu for hdu in tables if str(hdu.header.get("SACCCLSS")).upper() == "NZ"]
            plain = [hdu for hdu in tables if hdu.header.get("NZDATA")]
            if sacc:
                return _sacc(path, sacc)
            if len(plain) != 1:
                listed = ", ".join(hdu.name for hdu in plain or file if hdu.name)
                what = f"{len(plain)} tables of n(z)" if plain else "no table of n(z) (NZDATA, or tracers NZ of SACC)"
                raise UserError(f"n(z) {path}: {what}; name one as {path.name}[NAME]; there are {listed}")
            return _two_point(path, plain[0])
    except UNREADABLE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"n(z) {path}: damaged or no FITS file ({array_files.why(error)})") from None


def _two_point(path: Path, hdu: Any) -> tuple[np.ndarray, np.ndarray]:
    """Z_MID, which is held against Z_LOW and Z_HIGH, and BIN1, BIN2 ..."""
    names = hdu.columns.names
    bins = sorted((one for one in names if re.fullmatch(r"BIN\d+", one)), key=lambda one: int(one[3:]))
    if not bins or not {"Z_LOW", "Z_HIGH"} <= set(names):
        raise UserError(f"n(z) {path}: table {hdu.name} needs Z_LOW, Z_HIGH and BIN1 ...; it has {', '.join(names)}")
    low, high = (np.asarray(hdu.data[name], float) for name in ("Z_LOW", "Z_HIGH"))
    middle = (low + high) / 2
    if "Z_MID" in names and not np.allclose(hdu.data["Z_MID"], middle, atol=0.1 * float(np.median(high - low))):
        raise UserError(f"n(z) {path}: Z_MID of table {hdu.name} is not between Z_LOW and Z_HIGH; correct the file")
    return middle, np.array([np.asarray(hdu.data[name], float) for name in bins])


def _sacc(path: Path, tables: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Tracers of class NZ that hold shear where any does, in the order of the numbers in their names."""
    shear = [hdu for hdu in tables if "shear" in str(hdu.header.get("SACCQTTY", "")).lower()] or list(tables)
    if len(shear) == len(tables):
        shear = [hdu for hdu in tables if "source" in str(hdu.header.get("SACCNAME", hdu.name)).lower()] or shear
    shear.sort(key=lambda hdu: [int(one) for one in re.findall(r"\d+", str(hdu.header.get("SACCNAME", hdu.name)))])
    z = np.asarray(shear[0].data["z"], float)
    if any(hdu.data["z"].shape != z.shape or not np.allclose(hdu.data["z"], z) for hdu in shear):
        raise UserError(f"n(z) {path}: tracers have different redshifts; name one by its extension")
    return z, np.array([np.asarray(hdu.data["nz"], float) for hdu in shear])


def _hdf5(path: Path, key: str | None) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            group = file if key is None else file[key]
            names = [one for one in group if isinstance(group[one], h5py.Dataset)]
            redshift = [one for one in names if one.lower() in ("z", "z_mid", "z_edges", "redshift", "zbins")]
            if len(redshift) != 1:
                raise UserError(f"n(z) {path}: no array z in group {key or '/'}; it has {', '.join(group)}")
            z = np.asarray(group[redshift[0]][()], float)
            rest = [one for one in names if one not in redshift and group[one].ndim == 1]
            rest = [one for one in rest if group[one].shape[0] in (z.size, z.size - 1) and re.search(r"\d", one)]
            rest.sort(key=lambda one: int(re.findall(r"\d+", one)[-1]))
            if not rest:
                raise UserError(f"n(z) {path}: no arrays bin_0, bin_1 ... beside z; there are {', '.join(names)}")
            return z, np.array([np.asarray(group[one][()], float) for one in rest])
    except UNREADABLE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"n(z) {path}: damaged, or no such group in it ({array_files.why(error)})") from None


def _some(z: np.ndarray) -> str:
    listed = ", ".join(f"{one:.4g}" for one in z[:4])
    return f"{listed}, ..." if z.size > 4 else listed

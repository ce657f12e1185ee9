"""Arrays of maps in files, opened and not read: .npy, .npz, HDF5 and FITS images, one file or many of one shape.

Bytes of any order, in C or Fortran order, are read map by map where they are, but for .npz, packed FITS files and
compressed HDF5, of which a whole file or chunk is read for a map.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, fits_images

CHECKED = 64  # files of a list whose shape is looked at when it is opened; of the others when they are read
PACKED = (".gz", ".bz2", ".fz")
DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}  # of BITPIX, FITS standard 4.0, table 8
Version = tuple[int, int]  # time and size of a file


def found(root: Path, name: str) -> Path:
    """A file that params.yaml names, below its folder or below this one; it may have a key behind its name."""
    places = [folder / Path(name).expanduser() for folder in (root, Path())]
    return next((path for path in places if array_files.split(path)[0].exists()), places[0])


def listed(root: Path, names: str | Sequence[str], key: str) -> list[tuple[Path, str | None]]:
    """Files and keys that `names` says, patterns with * and ? in the order of the numbers in their names."""
    out: list[tuple[Path, str | None]] = []
    for name in (names,) if isinstance(names, str) else names:
        path, inside = array_files.split(found(root, name))
        if path.exists() or not re.search(r"[*?]", str(path)):
            must_exist(path, key)
            out.append((path, inside))
            continue
        matches = sorted(glob.glob(str(path)) or glob.glob(str(Path(name).expanduser())), key=natural)
        if not matches:
            raise UserError(f"{key}={name}: no file matches this pattern; give the full path")
        out += [(Path(one), inside) for one in matches]
    return out


def must_exist(path: Path, key: str) -> None:
    """Refuse what is no file."""
    if not path.is_file():
        raise UserError(
            f"{key}={path}: {'a folder; give a pattern like FOLDER/*.npy' if path.is_dir() else 'no such file'}"
        )


def natural(name: str) -> list[Any]:
    """Order of names in which 2 comes before 10.

    Examples
    --------
    >>> sorted(["LH_10.npy", "LH_2.npy"], key=natural)
    ['LH_2.npy', 'LH_10.npy']
    """
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@dataclass(frozen=True)
class Stack:
    """One array over files: their axes, after one of the files where there are several, before one of the bins.

    `cheap`: any map can be read without much else.
    """

    files: tuple[tuple[Path, str | None], ...]
    bins: tuple[str, ...] | None
    shape: tuple[int, ...]
    cheap: bool
    versions: tuple[Version, ...]

    @classmethod
    def open(cls, files: Sequence[tuple[Path, str | None]], bins: tuple[str, ...] | None) -> Stack:
        """Look at the files, without reading them."""
        first, cheap = cls._look(*files[0], bins)
        for file in files[1:CHECKED]:
            _must_have_shape(file[0], cls._look(*file, bins)[0], first, files[0][0])
        shape = (*((len(files),) if len(files) > 1 else ()), *first, *((len(bins),) if bins else ()))
        versions = tuple(version(path) for path, _ in files)
        return cls(tuple(files), bins, shape, cheap, versions)

    @staticmethod
    def _look(path: Path, key: str | None, bins: tuple[str, ...] | None) -> tuple[tuple[int, ...], bool]:
        one = opened(path, bins[0] if bins else key, version(path))
        for other in (bins or ())[1:]:
            _must_have_shape(path, opened(path, other, version(path)).shape, one.shape, path)
        return tuple(one.shape), not packed(path, one)

    def take(self, index: tuple[int | slice, ...]) -> np.ndarray:
        """What `index`, one entry for each axis of `shape`, leaves: an array in native byte order."""
        number, inside = (int(index[0]), index[1:]) if len(self.files) > 1 else (0, index)  # type: ignore[arg-type]
        (path, key), known = self.files[number], self.versions[number]
        if self.bins is None:
            return _native(path, opened(path, key, known), inside)
        *inner, which = inside
        keys = self.bins[which] if isinstance(which, slice) else (self.bins[which],)
        parts = [_native(path, opened(path, one, known), tuple(inner)) for one in keys]
        return np.stack(parts, axis=-1) if isinstance(which, slice) else parts[0]


def version(path: Path) -> Version:
    """Time and size of a file."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def opened(path: Path, key: str | None, known: Version) -> Any:
    """An array in a file, memory-mapped where it can be; files that must be read whole are kept for a short while."""
    mapped = _mapped(path, key, known)
    return _kept(path, key, known) if mapped is None else mapped


@lru_cache(maxsize=256)
def _mapped(path: Path, key: str | None, known: Version) -> Any:
    """None of a file that must be read whole."""
    name = path.name.lower()
    if not name.endswith(array_files.SUFFIXES):
        raise UserError(f"{path}: neither {array_files.KNOWN} by its name; save the maps with numpy.save")
    array_files.must_be_a_file(path)
    try:
        if name.endswith(".npy"):
            if key is not None:
                raise UserError(f"{path}: a .npy file holds one array, without the name {key!r}")
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        elif name.endswith(array_files.HDF5):
            array = _hdf5(path, key)
        else:
            array = _fits(path, key, whole=False) if name.endswith(array_files.FITS) else None
    except UNREADABLE as error:
        raise UserError(f"{path}: damaged, or no array of numbers ({array_files.why(error)}); save it again") from None
    return None if array is None else _checked(path, array)


@lru_cache(maxsize=2)
def _kept(path: Path, key: str | None, known: Version) -> Any:
    try:
        packed_fits = path.name.lower().endswith(array_files.FITS)
        array = _fits(path, key, whole=True) if packed_fits else array_files.read(path, key)
    except UNREADABLE as error:
        raise UserError(f"{path}: damaged, or no array of numbers ({array_files.why(error)}); save it again") from None
    return _checked(path, array)


def _checked(path: Path, array: Any) -> Any:
    if array.dtype.kind not in "iuf":
        raise UserError(f"{path}: holds {array.dtype} and not plain numbers; save maps of float32")
    if 0 in array.shape:
        raise UserError(f"{path}: an empty array of shape {array.shape}; save the maps again")
    return array


def _hdf5(path: Path, key: str | None) -> Any:
    import h5py

    stored = h5py.File(path, "r")
    names: list[str] = []
    stored.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.shape else None)
    return stored[array_files.chosen(path, names, key, ":")]


def _fits(path: Path, key: str | None, whole: bool) -> Any:
    """The image in a FITS file; not `whole`: mapped, and None where it is packed or scaled."""
    from astropy.io import fits

    with fits_images.image(path, key, "maps of the sphere are for files.healpix") as (hdu, _):
        if whole:
            return np.asarray(hdu.data)
        scaled = {"BSCALE", "BZERO", "BLANK"} & set(hdu.header)
        if path.name.lower().endswith(PACKED) or isinstance(hdu, fits.CompImageHDU) or scaled:
            return None
        stored, place, shape = DTYPES[hdu.header["BITPIX"]], hdu.fileinfo()["datLoc"], hdu.shape
    return np.memmap(path, stored, "r", place, shape)


def packed(path: Path, array: Any) -> bool:
    """Whether more than a map must be read for a map."""
    if path.name.lower().endswith(array_files.HDF5):
        return array.compression is not None
    return not isinstance(array, np.memmap)


def _must_have_shape(path: Path, shape: tuple[int, ...], first: tuple[int, ...], other: Path) -> None:
    if tuple(shape) != tuple(first):
        raise UserError(
            f"{path}: an array of shape {tuple(shape)}, but {other} has {tuple(first)}; give files of one shape"
        )


def _native(path: Path, array: Any, index: tuple[int | slice, ...]) -> np.ndarray:
    if len(index) != len(array.shape):
        raise UserError(f"{path}: an array of shape {tuple(array.shape)}, with other axes than the first file")
    try:
        part = np.asarray(array[index])
    except (OSError, IndexError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: cannot be read ({array_files.why(error)}); does it have the shape of the first file?"
        ) from None
    return part.astype(part.dtype.newbyteorder("="), copy=False)

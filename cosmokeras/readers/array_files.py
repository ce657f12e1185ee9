"""Arrays in .npy, .npz and HDF5 files, and how params.yaml names one array of several.

`file.npz:KEY` and `file.h5:GROUP/NAME` name an array, `file.fits[NAME]` or `file.fits[2]` an extension of a FITS file.
A file with one array needs no key. Nothing in a file is run: what is not an array of plain numbers is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError

if TYPE_CHECKING:
    import h5py

FITS = tuple(f".{name}{pack}" for name in ("fits", "fit", "fts") for pack in ("", ".gz", ".bz2", ".fz"))
HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
SUFFIXES = (".npy", ".npz", *HDF5, *FITS)
KNOWN = ".npy, .npz, HDF5 (.h5) or FITS"


def split(path: Path | str) -> tuple[Path, str | None]:
    """File and, if the name has one, key of the array in it.

    Examples
    --------
    >>> split("maps.npz:kappa"), split("maps.h5:bin1/kappa")[1], split("maps.fits[KAPPA]")[1], split("maps.npy")[1]
    ((PosixPath('maps.npz'), 'kappa'), 'bin1/kappa', 'KAPPA', None)
    """
    whole = Path(path).expanduser()
    text = str(whole)
    if whole.exists():
        return whole, None
    bracket = re.fullmatch(r"(.+)\[([^\[\]]+)\]", text)
    if bracket and bracket[1].lower().endswith(FITS):
        return Path(bracket[1]), bracket[2].strip()
    colon = re.fullmatch(rf"(.+?(?:{'|'.join(map(re.escape, ('.npz', *HDF5)))})):(.+)", text, re.IGNORECASE)
    if colon:
        return Path(colon[1]), colon[2].strip("/") or None
    return whole, None


def respelt(path: Path | str) -> str | None:
    """How a name should be written that has a key after a file's name, but not as that kind of file wants it.

    Examples
    --------
    >>> respelt("maps.fits:KAPPA"), respelt("maps.npz[kappa]"), respelt("maps.npy:0"), respelt("maps.txt")
    ('maps.fits[KAPPA]', 'maps.npz:kappa', 'maps.npy', None)
    """
    endings = "|".join(map(re.escape, sorted(SUFFIXES, key=len, reverse=True)))
    match = re.fullmatch(rf"(.+?(?:{endings}))(?::|\[)([^\[\]]*)\]?", str(path), re.IGNORECASE)
    if not match or not match[2]:
        return None
    file, key = match[1], match[2]
    if file.lower().endswith(".npy"):
        return file
    return f"{file}[{key}]" if file.lower().endswith(FITS) else f"{file}:{key}"


def must_be_a_file(path: Path) -> None:
    """Refuse what is not there, and folders."""
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file in it")
    if not path.is_file():
        raise UserError(f"{path}: no such file; check real.path and real.mask")


def read(path: Path, key: str | None) -> np.ndarray:
    """The array of a .npy, .npz or HDF5 file, as it is stored."""
    name = path.name.lower()
    try:
        with path.open("rb") as file:
            if name.endswith(".npy"):
                return _npy(path, file, key)
            return _npz(path, file, key) if name.endswith(".npz") else _hdf5(path, file, key)
    except UserError:
        raise
    except UNREADABLE as error:
        kind = "HDF5 file" if name.endswith(HDF5) else f"{path.suffix.lower()} array of numbers"
        raise UserError(f"{path}: damaged or no {kind} ({why(error)}); save it again") from None


def why(error: BaseException) -> str:
    """Words of an error, in a line of some length."""
    return " ".join(str(error).split())[:150] or type(error).__name__


def _npy(path: Path, file: IO[bytes], key: str | None) -> np.ndarray:
    if key is not None:
        raise UserError(f"{path}: a .npy file holds one array, without the name {key!r}")
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _npz(path: Path, file: IO[bytes], key: str | None) -> np.ndarray:
    with np.load(file, allow_pickle=False) as stored:
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("not a zip archive of arrays")
        return np.asarray(stored[chosen(path, list(stored.files), key, ":")])


def _hdf5(path: Path, file: IO[bytes], key: str | None) -> np.ndarray:
    import h5py

    with h5py.File(file, "r") as stored:
        names: list[str] = []

        def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset) and item.shape:  # neither numbers on their own nor nothing
                names.append(name)

        stored.visititems(note)
        return np.asarray(stored[chosen(path, names, key, ":")][()])


def chosen(path: Path, names: list[str], key: str | None, sign: str) -> str:
    """The name that `key` asks for, or the only one; otherwise a line with those that there are.

    `sign` is what stands before a key: ":" or "[".
    """
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    if key is not None:
        if key in names:
            return key
        raise UserError(f"{path}: holds no array {key!r}; it has {listed or 'none'}")
    if not names:
        raise UserError(f"{path}: holds no array; save the maps again")
    if len(names) > 1:
        example = f"{path}{sign}{names[0]}" + ("]" if sign == "[" else "")
        raise UserError(f"{path}: holds {len(names)} arrays ({listed}); say which, e.g. {example}")
    return names[0]

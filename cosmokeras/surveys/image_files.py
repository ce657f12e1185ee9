"""Flat maps, masks and other arrays that people bring, read from .npy, .npz, HDF5 or FITS files.

Nothing is guessed and nothing in a file is run: what is not an array of plain numbers is refused, in a line that names
the file, the problem and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from cosmokeras.common import files
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers import array_files, fits_images, headers
from cosmokeras.sky.pixels import USED

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

Header = Mapping[str, Any]  # of a FITS extension

DITHERED = ("SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")  # ZQUANTIZ, FITS standard 4.0, table 36
LOSSY = 0.1  # lossy compression of a FITS mask moves its 0 and 1 by less


class Stored(NamedTuple):
    """An array, the header of its FITS extension (None: no FITS file), and how that was compressed.

    `quantised`: floats were rounded to whole steps in each tile, without dithering: 0 and all other values repeat.
    """

    array: np.ndarray
    header: Header | None = None
    compressed: bool = False
    quantised: bool = False


def own_files(cfg: Config, key: Literal["path", "mask"] = "path") -> str | tuple[str, ...]:
    """The file, or the list of files, that real.path or real.mask names."""
    files_named: str | tuple[str, ...] | None = getattr(cfg.real, key)
    if files_named is None:
        raise UserError(f"real.{key}=null: real.source={cfg.real.source} needs it; name a file")
    return files_named


def read_stored(path: Path | str) -> Stored:
    """The array that `path` names (see `array_files`), in native byte order, and what is said of it."""
    file, key = array_files.split(path)
    name = file.name.lower()
    if not name.endswith(array_files.SUFFIXES):
        if (right := array_files.respelt(path)) is not None:
            raise UserError(f"{path}: no such file; name an array in a file like this: {right}")
        raise UserError(f"{path}: neither .npy nor FITS, .npz or HDF5 by its name; save the array with numpy.save")
    array_files.must_be_a_file(file)
    stored = _read_fits(file, key) if name.endswith(array_files.FITS) else Stored(array_files.read(file, key))
    array = stored.array
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: holds {array.dtype} and not plain numbers; save an array of float32")
    if array.size == 0:
        raise UserError(f"{path}: an empty array of shape {array.shape}; save the maps again")
    return stored._replace(array=array.astype(array.dtype.newbyteorder("="), copy=False))


def must_share_sky(paths: Sequence[str], pixel_arcmin: float) -> None:
    """Refuse FITS maps (and their mask) whose headers put their pixels at other sky positions, or mirror them."""
    first: tuple[str, np.ndarray] | None = None
    for path in paths:
        if not array_files.split(path)[0].name.lower().endswith(array_files.FITS):
            continue
        array, header, *_ = read_stored(path)
        corners = None if header is None or array.ndim < 2 else headers.corners(header, *array.shape[-2:])
        if corners is None:
            continue
        if first is None:
            first = path, corners
        offset = np.degrees(np.linalg.norm(corners - first[1], axis=1).max()) * 60
        if offset > pixel_arcmin / 2:
            raise UserError(
                f"{path}: header puts its pixels up to {offset:.3g} arcmin away from those of {first[0]}; "
                "bring maps and mask onto one grid, in one orientation"
            )


def read_array(path: Path | str) -> np.ndarray:
    """The array of `read_stored`."""
    return read_stored(path).array


def _read_fits(path: Path, key: str | None) -> Stored:
    from astropy.io import fits

    try:
        with fits_images.image(path, key, "HEALPix tables are for other sources of real.source") as (hdu, number):
            compressed = isinstance(hdu, fits.CompImageHDU)
            array, header = np.asarray(hdu.data), hdu.header.copy()
            return Stored(array, header, compressed, quantised=compressed and _quantised(path, number))
    except UserError:
        raise
    except (*UNREADABLE, Warning, fits.VerifyError) as error:
        raise UserError(f"{path}: damaged or no FITS file ({array_files.why(error)}); get or save it again") from None


def _quantised(path: Path, number: int) -> bool:
    """Whether a compressed image was rounded to steps without dithering (FITS standard 4.0, section 10.2)."""
    from astropy.io import fits

    with fits.open(path, memmap=False, disable_image_compression=True) as file:
        table = file[number]
        steps = "ZSCALE" in table.columns.names or "ZSCALE" in table.header
        return steps and str(table.header.get("ZQUANTIZ", "NO_DITHER")).strip() not in DITHERED


def read_floats(path: Path | str, pixel_arcmin: float | None = None) -> np.ndarray:
    """`read_array` for maps: integers are pictures or have lost their scale, and are refused.

    What a FITS header says must be what is asked for: no unit, and pixels of `pixel_arcmin` where that is given.
    """
    array, header, _, quantised = read_stored(path)
    if array.dtype.kind != "f":
        raise UserError(f"{path}: holds {array.dtype}, which cannot be a map of small numbers; save it as float32")
    if quantised:
        raise UserError(
            f"{path}: lossy FITS compression without dithering has rounded the map to steps, so that values repeat; "
            "save it uncompressed, or compressed with dithering (quantize_method=1 in astropy, fpack -qt)"
        )
    if header is not None:
        headers.must_have_no_unit(path, header.get("BUNIT"), "BUNIT")
        if pixel_arcmin is not None:
            headers.must_have_pixel(path, header, pixel_arcmin)
    return array


def read_mask(path: Path | str, pixel_arcmin: float | None = None) -> np.ndarray:
    """Observed fractions, float32 from 0 to 1, of a mask in a file; `pixel_arcmin` as in `read_floats`."""
    mask, header, compressed, _ = read_stored(path)
    if header is not None and pixel_arcmin is not None:
        headers.must_have_pixel(path, header, pixel_arcmin)
    if compressed and mask.dtype.kind == "f":
        for end in (0, 1):
            mask = np.where(np.abs(mask - end) <= LOSSY, end, mask)
    # a comparison with NaN is False
    if not ((mask >= 0) & (mask <= 1)).all():
        lossy = " (lossy compression alone moves them by less)" if compressed else ""
        raise UserError(f"{path}: a mask must be 1 where observed and 0 elsewhere; it holds other numbers{lossy}")
    if not (mask >= USED).any():
        raise UserError(f"{path}: the mask is empty: no pixel is marked as observed (1)")
    return mask.astype(np.float32)


def sha256(path: Path | str) -> str:
    """`files.sha256` of a file that params.yaml names."""
    try:
        return files.sha256(array_files.split(path)[0])
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({why}); check real.path and real.mask") from None

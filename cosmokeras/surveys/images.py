"""Arrays that people bring, from .npy, .npz, HDF5 or FITS files, and the flat maps among them: reading, masking, tiles.

Nothing is guessed and nothing in a file is run: what is not an array of plain numbers is refused, in a line that names
the file, the problem and the remedy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cosmokeras.common import files
from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import pixel_noise
from cosmokeras.observation.operations import USED
from cosmokeras.readers import array_files, headers, missing

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

Header = Mapping[str, Any]  # of a FITS extension

MISSING = 1e20  # larger numbers stand for missing pixels (HEALPix -1.6e30)
NOISE_FACTOR = 3.0  # a map's rms may differ from its expected pixel noise by this factor
LOSSY = 0.1  # lossy compression of a FITS mask moves its 0 and 1 by less


class Stored(NamedTuple):
    """An array, the header of its FITS extension (None: no FITS file), and whether that was compressed."""

    array: np.ndarray
    header: Header | None = None
    compressed: bool = False


def read_stored(path: Path | str) -> Stored:
    """The array that `path` names (see `array_files`), in native byte order, and what is said of it."""
    file, key = array_files.split(path)
    name = file.name.lower()
    if not name.endswith(array_files.SUFFIXES):
        if (right := array_files.respelt(path)) is not None:
            raise UserError(f"{path}: no such file; an array of a file is named thus: {right}")
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
    """Refuse FITS maps (and their mask) whose headers put their pixels at other places of the sky, or mirror them."""
    first: tuple[str, np.ndarray] | None = None
    for path in paths:
        if not array_files.split(path)[0].name.lower().endswith(array_files.FITS):
            continue
        array, header, _ = read_stored(path)
        places = None if header is None or array.ndim < 2 else headers.corners(header, *array.shape[-2:])
        if places is None:
            continue
        if first is None:
            first = path, places
        away = np.degrees(np.linalg.norm(places - first[1], axis=1).max()) * 60
        if away > pixel_arcmin / 2:
            raise UserError(
                f"{path}: header puts its pixels up to {away:.3g} arcmin away from those of {first[0]}; bring maps and "
                "mask onto one grid, in one orientation"
            )


def read_array(path: Path | str) -> np.ndarray:
    """The array of `read_stored`."""
    return read_stored(path).array


def _read_fits(path: Path, key: str | None) -> Stored:
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            warnings.filterwarnings("error", message=".*truncated.*")
            with fits.open(path, memmap=False) as file:
                images = [i for i, hdu in enumerate(file) if hdu.is_image and hdu.shape]
                if not images:
                    raise UserError(
                        f"{path}: a FITS file without an image; HEALPix tables are for other sources of real.source"
                    )
                number = headers.choose(path, [file[i].name for i in images], images, key, "images")
                hdu = file[number]
                return Stored(np.asarray(hdu.data), hdu.header.copy(), isinstance(hdu, fits.CompImageHDU))
    except UserError:
        raise
    except (OSError, ValueError, TypeError, LookupError, EOFError, MemoryError, Warning, fits.VerifyError) as error:
        raise UserError(f"{path}: damaged or no FITS file ({array_files.why(error)}); get or save it again") from None


def read_floats(path: Path | str, pixel_arcmin: float | None = None) -> np.ndarray:
    """`read_array` for maps: integers are pictures or have lost their scale, and are refused.

    What a FITS header says must be what is asked for: no unit, and pixels of `pixel_arcmin` where that is given.
    """
    array, header, _ = read_stored(path)
    if array.dtype.kind != "f":
        raise UserError(f"{path}: holds {array.dtype}, which cannot be a map of small numbers; save it as float32")
    if header is not None:
        headers.must_have_no_unit(path, header.get("BUNIT"), "BUNIT")
        if pixel_arcmin is not None:
            headers.must_have_pixel(path, header, pixel_arcmin)
    return array


def read_mask(path: Path | str, pixel_arcmin: float | None = None) -> np.ndarray:
    """Observed fractions, float32 from 0 to 1, of a mask in a file; `pixel_arcmin` as in `read_floats`."""
    mask, header, compressed = read_stored(path)
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


MAKE_AGAIN = "periodic maps are whole and cannot be masked: make them again"
MASK_THEM = "give a real.mask without them, or real.missing={value} if that marks pixels without data"


def observed_part(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str) -> np.ndarray:
    """Coverage (n, h, w) without the pixels that have the value of real.missing in any channel of `maps`."""
    gone = missing.is_missing(maps, cfg.real.missing).any(axis=-1)
    if not gone.any():
        return coverage
    left = np.where(gone, 0, coverage).astype(np.float32)
    if not (left >= USED).any():
        raise UserError(f"{where}: no pixel is left: all observed ones have the value real.missing={cfg.real.missing}")
    return left


def clean(maps: np.ndarray, coverage: np.ndarray, where: str, whole: bool = False) -> np.ndarray:
    """Maps (n, h, w, channels) as float32 with masked pixels 0; refuses missing numbers among observed pixels.

    `whole`: of maps that cannot be masked.
    """
    used = (coverage >= USED)[..., None]
    bad = used & ~(np.abs(maps) < np.float32(MISSING))  # float16 holds no such number
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        name, inside = str(maps[first]), "" if whole else "inside the mask "
        advice = MAKE_AGAIN if whole else f"set them to 0 in real.mask, or real.missing={name} to take them out of it"
        raise UserError(f"{where}: {int(bad.sum())} pixels {inside}are NaN or missing (first: {first}); {advice}")
    return np.where(used, maps, 0).astype(np.float32)


def unpack(values: np.ndarray, mask: np.ndarray, where: str) -> np.ndarray:
    """Images (n, h, w) float32, 0 where masked, of the unmasked pixels (n, pixels) or (pixels,), row by row."""
    pixels = np.count_nonzero(mask)
    if values.ndim not in (1, 2) or values.shape[-1] != pixels:
        raise UserError(
            f"{where}: shape {values.shape}, but the mask has {pixels} unmasked pixels, which are (n, {pixels}); "
            "give the mask of these maps in real.mask"
        )
    values = np.atleast_2d(values)
    maps = np.zeros((len(values), *mask.shape), np.float32)
    maps[:, mask] = values
    return maps


def must_be_data(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str, mask_them: str = MASK_THEM) -> None:
    """Refuse maps (n, h, w, channels) with values that none has among the observed pixels."""
    n, channels = len(maps), maps.shape[-1]
    seen = (coverage >= USED).reshape(n, -1)
    advice = mask_them if cfg.kind.observed == "survey" else MAKE_AGAIN
    # particles on a mesh give each number of them again and again
    smooth = cfg.data.kind != "2lpt"
    missing.must_be_marked(maps.reshape(n, -1, channels), seen, where, advice, smooth)
    missing.must_differ(maps.reshape(n, -1, channels), seen, where)


def must_be_noisy(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str) -> None:
    """Refuse convergence whose rms is not that of a survey of this depth: in per cent, smoothed, or without noise."""
    used = coverage >= USED
    for number, expected in enumerate(pixel_noise(cfg)):
        rms = float(np.sqrt(np.mean(maps[..., number][used].astype(np.float64) ** 2)))
        if not expected / NOISE_FACTOR < rms < expected * NOISE_FACTOR:
            raise UserError(
                f"{where}: bin {number + 1} has an rms of {rms:.3g}, but a pixel of lensing.survey={cfg.survey.name} "
                f"has noise of {expected:.3g}; give noisy, unsmoothed convergence as a plain number (not in per cent)"
            )
    must_not_be_quiet(cfg, maps, coverage, where, "take them out of real.mask")


def must_not_be_quiet(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str, advice: str) -> None:
    """Refuse noisy convergence (n, h, w, channels) with squares among the observed pixels that have no noise."""
    used = coverage >= USED
    if quiet := missing.quiet_pixels(maps, used, pixel_noise(cfg)):
        raise UserError(
            f"{where}: {quiet} of {np.count_nonzero(used)} pixels called observed lie where there is hardly any noise; "
            f"the mask reaches beyond the maps, or holes were filled: {advice}"
        )


def masked_fraction(coverage: np.ndarray, size: int) -> np.ndarray:
    """Masked fraction of every square of `size` pixels in a map (h, w), (h - size + 1, w - size + 1) by its corner."""
    total = np.pad(np.cumsum(np.cumsum(coverage < USED, axis=0), axis=1), ((1, 0), (1, 0)))
    return (total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]) / size**2


def greedy_corners(coverage: np.ndarray, size: int, max_masked: float) -> list[tuple[int, int]]:
    """Corners of squares that do not overlap, each the first from the top, then from the left, that is good enough.

    Finds more squares than a fixed grid in a footprint that is not one. `coverage` is (h, w).
    """
    free = masked_fraction(coverage, size) <= max_masked
    corners = []
    while free.any():
        y, x = (int(i) for i in np.unravel_index(free.argmax(), free.shape))
        corners.append((y, x))
        free[max(0, y - size + 1) : y + size, max(0, x - size + 1) : x + size] = False
    return corners


def cut(images: np.ndarray, corners: list[tuple[int, int]], size: int) -> np.ndarray:
    """Squares (len(corners), size, size, ...) of an image (h, w, ...)."""
    shape = (len(corners), size, size, *images.shape[2:])
    return np.array([images[y : y + size, x : x + size] for y, x in corners], images.dtype).reshape(shape)


def sha256(path: Path | str) -> str:
    """`files.sha256` of a file that params.yaml names."""
    try:
        return files.sha256(array_files.split(path)[0])
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({why}); check real.path and real.mask") from None

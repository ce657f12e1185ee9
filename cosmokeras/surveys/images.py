"""Arrays that people bring, from .npy or FITS files, and the flat maps among them: reading, masking, tiles.

Nothing is guessed and nothing in a file is run: what is not an array of plain numbers is refused, in a line that names
the file, the problem and the remedy.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras import files
from cosmokeras.errors import UserError
from cosmokeras.observation import pixel_noise
from cosmokeras.surveys.roads import USED

if TYPE_CHECKING:
    from cosmokeras.config import Config

MISSING = 1e20  # larger numbers stand for missing pixels (HEALPix -1.6e30)
NOISE_FACTOR = 3.0  # a map's rms may differ from its expected pixel noise by this factor
FITS = (".fits", ".fit", ".fits.gz", ".fits.fz")


def read_array(path: Path | str) -> np.ndarray:
    """The array in a .npy file, or the first image of a FITS file, in native byte order."""
    path = Path(path).expanduser()
    name = path.name.lower()
    if not name.endswith((".npy", *FITS)):
        raise UserError(f"{path}: neither .npy nor FITS by its name; save the array with numpy.save")
    if not path.is_file():
        raise UserError(f"{path}: no such file; check real.path and real.mask")
    array = _read_npy(path) if name.endswith(".npy") else _read_fits(path)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: holds {array.dtype} and not plain numbers; save an array of float32")
    if array.size == 0:
        raise UserError(f"{path}: an empty array of shape {array.shape}; save the maps again")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    # headers of damaged files ask for anything
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise UserError(f"{path}: damaged or no .npy array of numbers ({_why(error)}); save it again") from None


def _read_fits(path: Path) -> np.ndarray:
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            warnings.filterwarnings("error", message=".*truncated.*")
            with fits.open(path, memmap=False) as file:
                for hdu in file:
                    if hdu.is_image and hdu.data is not None:
                        return np.asarray(hdu.data)
    except (OSError, ValueError, TypeError, LookupError, EOFError, MemoryError, Warning, fits.VerifyError) as error:
        raise UserError(f"{path}: damaged or no FITS file ({_why(error)}); get or save it again") from None
    raise UserError(f"{path}: a FITS file without an image; HEALPix tables are for other sources of real.source")


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__


def read_floats(path: Path | str) -> np.ndarray:
    """`read_array` for maps: integers are pictures or have lost their scale, and are refused."""
    array = read_array(path)
    if array.dtype.kind != "f":
        raise UserError(f"{path}: holds {array.dtype}, which cannot be a map of small numbers; save it as float32")
    return array


def read_mask(path: Path | str) -> np.ndarray:
    """Observed fractions, float32 from 0 to 1, of a mask in a file."""
    mask = read_array(path)
    # a comparison with NaN is False
    if not ((mask >= 0) & (mask <= 1)).all():
        raise UserError(f"{path}: a mask must be 1 where observed and 0 elsewhere; it holds other numbers")
    if not (mask >= USED).any():
        raise UserError(f"{path}: the mask is empty: no pixel is marked as observed (1)")
    return mask.astype(np.float32)


def clean(maps: np.ndarray, coverage: np.ndarray, where: str) -> np.ndarray:
    """Maps (n, h, w, channels) as float32 with masked pixels 0; refuses missing numbers among observed pixels."""
    used = (coverage >= USED)[..., None]
    bad = used & ~(np.abs(maps) < MISSING)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UserError(
            f"{where}: {int(bad.sum())} pixels inside the mask are NaN or missing (first: {first}); "
            "set them to 0 in real.mask"
        )
    return np.where(used, maps, 0).astype(np.float32)


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


def grid_corners(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Upper left corners of tiles of `size`, row by row, without overlap; what is left over at the end is not used."""
    return [(y, x) for y in range(0, height - size + 1, size) for x in range(0, width - size + 1, size)]


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
        return files.sha256(Path(path).expanduser())
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({why}); check real.path and real.mask") from None

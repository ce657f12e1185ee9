"""Flat maps that people bring, and whether they can be what they are taken for: marks of missing data, noise, rms.

Each problem ends in one line that names the file, what is wrong with it and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import pixel_noise
from cosmokeras.readers import missing
from cosmokeras.sky.pixels import USED

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


MISSING = 1e20  # larger numbers stand for missing pixels (HEALPix -1.6e30)
NOISE_FACTOR = 3.0  # a map's rms may differ from its expected pixel noise by this factor
MAKE_AGAIN = "periodic maps cannot be masked: make them again"
MASK_THEM = "give a real.mask without them, or real.missing={value} if that marks pixels without data"


def observed_part(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str) -> np.ndarray:
    """Coverage (n, h, w) without the pixels that have the value of real.missing in any channel of `maps`."""
    unobserved = missing.is_missing(maps, cfg.real.missing).any(axis=-1)
    if not unobserved.any():
        return coverage
    remaining = np.where(unobserved, 0, coverage).astype(np.float32)
    if not (remaining >= USED).any():
        raise UserError(f"{where}: no pixel is left: all observed ones have the value real.missing={cfg.real.missing}")
    return remaining


def clean(maps: np.ndarray, coverage: np.ndarray, where: str, whole: bool = False) -> np.ndarray:
    """Maps (n, h, w, channels) as float32 with masked pixels 0; refuses missing numbers among observed pixels.

    `whole`: of maps that cannot be masked.
    """
    used = (coverage >= USED)[..., None]
    bad = used & ~(np.abs(maps) < np.float32(MISSING))  # float16 holds no such number
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        name, inside = str(maps[first]), "" if whole else "inside the mask "
        advice = MAKE_AGAIN if whole else f"set them to 0 in real.mask, or real.missing={name} to remove them from it"
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
    must_not_be_noiseless(cfg, maps, coverage, where, "remove them from real.mask")


def must_not_be_noiseless(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str, advice: str) -> None:
    """Refuse noisy convergence (n, h, w, channels) with squares among the observed pixels that have no noise."""
    used = coverage >= USED
    if noiseless := missing.noiseless_pixels(maps, used, pixel_noise(cfg)):
        raise UserError(
            f"{where}: {noiseless} of {np.count_nonzero(used)} observed pixels have hardly any noise; "
            f"the mask extends beyond the maps, or holes were filled: {advice}"
        )

"""Maps in files, and whether they can be what they are taken for: numbers that vary, of the size that is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import pixel_noise
from cosmokeras.suites import prior

if TYPE_CHECKING:
    from cosmokeras.suites.suite import Suite

WHOLE = 2 * 2**30  # bytes of maps up to which all are looked at, and not a sample
SAMPLE = 512  # maps
FAINT, BRIGHT = 1 / 200, 10.0  # rms of convergence over the noise of a pixel: less or more is an error of units
NOISY = 3.0  # factor by which the rms of maps with noise may differ from it
FAR, STEEP, FLAT = 5.0, 20.0, 0.02  # mean and standard deviations that networks cannot begin with
NO_MEAN = 1e-4  # of the rms: means as small come of taking them off


def look_at(suite: Suite, progress: bool = False) -> None:
    """Refuse maps with NaN, without structure, beyond data.dtype, or of another size than units and pixel say."""
    cfg = suite.cfg
    numbers = np.concatenate(list(suite.chosen.values()))
    bytes_each = 4 * cfg.data.size**2 * cfg.channels
    if len(numbers) * bytes_each > WHOLE:
        numbers = numbers[np.linspace(0, len(numbers) - 1, SAMPLE).astype(int)]
    sums = np.zeros((3, cfg.channels))  # of pixels, of values, of squares
    largest, mean_of_maps = 0.0, []
    print(suite.words, flush=True)
    print(prior.words(suite), flush=True)
    with tqdm(total=len(numbers), unit="map", desc="look at files", disable=not progress, mininterval=1) as bar:
        done = 0
        for maps in suite.blocks(numbers):
            some, done = numbers[done : done + len(maps)], done + len(maps)
            flat = maps.reshape(len(maps), -1, cfg.channels).astype(np.float64)
            seen = _seen(suite, some, flat.shape[:2])[..., None]
            _must_vary(suite, some, flat, seen)
            count, total = seen.sum(axis=1), (flat * seen).sum(axis=1)
            sums += np.stack([count.sum() * np.ones(cfg.channels), total.sum(axis=0), (flat**2).sum(axis=(0, 1))])
            mean_of_maps.append(total / count)
            largest = max(largest, float(np.abs(flat).max()))
            bar.update(len(maps))
    if largest > np.finfo(cfg.data.dtype).max:
        raise UserError(f"data.dtype={cfg.data.dtype}: values as large as {largest:.3g} do not fit; use float32")
    mean, square = sums[1] / sums[0], sums[2] / sums[0]
    if cfg.kind.observed == "survey":
        _must_be_convergence(suite, np.sqrt(square), np.concatenate(mean_of_maps))
    else:
        _must_be_near_one(suite, mean, np.sqrt(np.maximum(square - mean**2, 0)))


def _must_vary(suite: Suite, numbers: np.ndarray, flat: np.ndarray, seen: np.ndarray) -> None:
    """Refuse maps (n, pixels, channels) that have one value in all their pixels."""
    low, high = np.where(seen, flat, np.inf).min(axis=1), np.where(seen, flat, -np.inf).max(axis=1)
    constant = np.argwhere(low == high)
    if len(constant):
        number, channel = constant[0]
        name = suite.name(int(suite.stored(numbers)[number]))
        raise UserError(f"{name}: has the value {low[number, channel]:.4g} in all pixels; leave such maps out")


def _seen(suite: Suite, numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels (n, pixels) of maps are inside their mask."""
    which = suite.masks(numbers)
    if which is None or suite.footprint is None:
        return np.ones(shape, bool)
    return (suite.footprint.patches[which] > 0).reshape(shape)


def _must_be_convergence(suite: Suite, rms: np.ndarray, means: np.ndarray) -> None:
    """Convergence is fainter than the noise of a pixel or as bright; with noise it is as bright as that."""
    cfg, noise = suite.cfg, pixel_noise(suite.cfg)
    included = cfg.files.noise == "included"
    low, high = (1 / NOISY, NOISY) if included else (FAINT, BRIGHT)
    for number, (one, sigma) in enumerate(zip(rms, noise, strict=True), start=1):
        if not low * sigma < one < high * sigma:
            how = "with noise" if included else "without noise"
            raise UserError(
                f"files.maps: bin {number} has an rms of {one:.3g} {how}, but a pixel of {cfg.pixel_arcmin:g} arcmin "
                f"of lensing.survey={cfg.survey.name} has noise of {sigma:.3g}; check files.units, files.noise, and "
                f"that files.pixel_arcmin={cfg.files.pixel_arcmin} is in arcmin"
            )
    if cfg.mean == "kept" and (np.abs(means) < NO_MEAN * rms).all():
        print("WARNING: the mean of each map is 0; if it was subtracted, set lensing.mean=removed_patch", flush=True)


def _must_be_near_one(suite: Suite, mean: np.ndarray, std: np.ndarray) -> None:
    """A network begins with numbers near 1; constants that bring them there go with the model."""
    cfg = suite.cfg
    if (np.abs(mean) > FAR * std).any() or (std > STEEP).any() or (std < FLAT).any():
        files = cfg.files
        offset = float(mean.mean()) * files.scale + files.offset if (np.abs(mean) > 0.1 * std).any() else files.offset
        scale = float(std.mean()) * files.scale
        raise UserError(
            f"files.maps: values have a mean of {mean.mean():.4g} and a standard deviation of {std.mean():.4g}, too "
            f"far from 0 and 1 for a network; set files.offset={offset:.4g} and files.scale={scale:.4g}"
        )

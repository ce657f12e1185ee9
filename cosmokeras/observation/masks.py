"""Libraries of masks: coverage and relative noise of patches of a survey, to put on simulated maps.

A file holds the observed part of each pixel of many patches, .npy; with the noise of each pixel over the survey's, it
is an .npz. `cosmokeras.surveys.footprint` makes them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import in_temporary_run
from cosmokeras.observation import suite_mask
from cosmokeras.params.survey import SURVEY_FOLDER

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

# Factor by which the median of the relative noise may differ from 1: nine times more or fewer galaxies than n_eff.
# Noise in absolute units is refused by it: sigma_e / sqrt(n_eff A) of the presets is 0.01 to 0.08
# (`observer.noise_sigma`).
MEDIAN_NOISE_FACTOR = 3.0


def mask_file(config: Config) -> Path | None:
    """File of masks that simulated maps are observed with, below `config.root`; None where no mask is asked for."""
    if config.kind.observed != "survey" or config.lensing.mask == "none" or suite_mask.mask_path(config) is not None:
        return None
    if config.lensing.mask != "survey":
        return Path(config.lensing.mask)
    return SURVEY_FOLDER / config.survey.mask if config.survey.mask is not None else None


def survey_masks(config: Config, margin: int = 0) -> np.ndarray:
    """Coverage maps that simulated maps are observed with; ones where no mask is asked for.

    Returns
    -------
    (n, size + 2 margin, size + 2 margin), coverage of the maps and of `margin` pixels around them; beyond the pixels of
    the library it is the mirror image
    """
    size = config.data.size
    library = _library(config)
    if library is None:
        return np.ones((1, *2 * [size + 2 * margin]), np.float32)
    return _around(library[0], size, margin)


def survey_depth(config: Config, margin: int = 0) -> np.ndarray | None:
    """Noise of each pixel over the survey's, for each of `survey_masks` and of its shape; None where it is 1."""
    library = _library(config)
    return None if library is None or library[1] is None else _around(library[1], config.data.size, margin)


def _library(config: Config) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Coverage and relative noise (n, side, side) in the file of masks; None where no mask is asked for."""
    if (given := suite_mask.footprint(config)) is not None:
        return given.patches, None
    size, name = config.data.size, mask_file(config)
    if name is None:
        return None
    path, key = Path(config.root) / name, f"lensing.mask={config.lensing.mask}"
    own = config.lensing.mask != "survey"
    make = "make it with `python -m cosmokeras.surveys.footprint`"
    remedy = make if own else f"run `dvc pull data.dvc`, or, for a preset of your own, {make}"
    remedy += (
        "; in a run with --temp or --queue a new file must be tracked: `dvc add data`" if in_temporary_run() else ""
    )
    try:
        file = path.stat()
        masks, noise = _arrays(path, (file.st_mtime_ns, file.st_size))
    except FileNotFoundError:
        raise UserError(f"{key}: {path} is missing; {remedy}") from None
    except KeyError:
        raise UserError(f"{key}: {path} is an archive; must hold the arrays `coverage` and `noise`; {remedy}") from None
    except UNREADABLE:
        kind = ".npz file of arrays" if path.suffix == ".npz" else ".npy file"
        raise UserError(f"{key}: {path} is damaged or no {kind} of numbers; {remedy}") from None
    if masks.dtype.kind not in "buif":
        raise UserError(f"{key}: {path} is an array of {masks.dtype}; a mask is an .npy file of numbers from 0 to 1")
    if masks.ndim == 2 and masks.shape[0] == masks.shape[1]:
        save = f"np.save('{path.name}', masks[None])"
        if noise is not None:
            save = f"np.savez('{path.name}', coverage=coverage[None], noise=noise[None])"
        raise UserError(
            f"{key}: {path} holds one mask, of shape {masks.shape}, and not a list of them; give it an axis in front: "
            f"{save}"
        )
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2]:
        raise UserError(f"{key}: {path} is an array of shape {masks.shape}; masks are (number of masks, size, size)")
    # smaller patches are cut out of the survey's; larger ones do not exist
    if masks.shape[1] < size:
        msg = (
            f"{key}: {path} holds masks of {masks.shape[1:]} pixels, but data.size={size}; "
            "use lensing.mask=none or a smaller data.size"
        )
        raise UserError(msg)
    masks = masks.astype(np.float32)
    if not ((masks >= 0) & (masks <= 1)).all():
        raise UserError(
            f"{key}: {path} holds numbers outside 0 to 1; a mask is the observed fraction of each pixel; {remedy}"
        )
    if not len(masks) or (own and not (_around(masks, size, 0) >= 0.5).any(axis=(1, 2)).all()):
        raise UserError(f"{key}: {path} holds no mask, or one that hides a whole patch; {remedy}")
    if noise is not None:
        if noise.dtype.kind not in "uif":
            raise UserError(f"{key}: {path} holds `noise` of {noise.dtype}; it is numbers above 0; {remedy}")
        noise = noise.astype(np.float32)
        if noise.shape != masks.shape:
            raise UserError(
                f"{key}: {path} holds `noise` of shape {noise.shape}; must be that of `coverage`, {masks.shape}"
            )
        if not (np.isfinite(noise) & (noise > 0))[masks > 0].all():
            raise UserError(f"{key}: {path} holds `noise` that is not above 0 in observed pixels; {remedy}")
        median = float(np.median(noise[masks > 0]))
        if not 1 / MEDIAN_NOISE_FACTOR <= median <= MEDIAN_NOISE_FACTOR:
            raise UserError(
                f"{key}: {path} holds `noise` of {median:.3g} in most pixels; it is the noise of a pixel over the "
                "survey's, 1 where that is sigma_e / sqrt(n_eff A): divide it by the survey's"
            )
        noise = np.where(masks > 0, noise, np.float32(1))
    return masks, noise


@lru_cache(maxsize=4)
def _arrays(path: Path, version: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Coverage and relative noise in a file, as they stand; read once for each `version` (time and size) of it."""
    array = np.load(path, allow_pickle=False)
    if isinstance(array, np.ndarray):
        return array, None
    with array as archive:
        return archive["coverage"], archive["noise"]


def _around(masks: np.ndarray, size: int, margin: int) -> np.ndarray:
    """The middle `size` pixels of maps (n, side, side) and `margin` around them, mirrored where there are fewer."""
    taken = min(masks.shape[1], size + 2 * margin)
    start, rest = (masks.shape[1] - taken) // 2, size + 2 * margin - taken
    masks = masks[:, start : start + taken, start : start + taken]
    around = (rest // 2, rest - rest // 2)
    return np.pad(masks, ((0, 0), around, around), "symmetric") if rest else masks

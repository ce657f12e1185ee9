"""The mean of convergence maps: what an inversion of shear leaves undetermined, and whether maps have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky.pixels import USED

if TYPE_CHECKING:
    from cosmokeras.params.config import Config
    from cosmokeras.params.survey import Mean
    from cosmokeras.surveys.sky import RealSky

ZERO = 1e-3  # a mean below this part of its noise was taken off: one in 1,000 maps has it by chance
EXACT = 1e-5  # of a single patch, of which people may ask a thousand times
WORDS: dict[Mean, str] = {
    "kept": "maps keep their mean, as simulations do",
    "removed_field": "the mean of the field that was inverted is removed",
    "removed_patch": "the mean of each patch is removed",
}


def mean_words(cfg: Config) -> str:
    """What is assumed of the mean of the maps, in words."""
    size = f" (a square of {cfg.field_deg:g} deg)" if cfg.mean == "removed_field" and cfg.field_deg else ""
    return WORDS[cfg.mean] + size


def check_mean(cfg: Config, sky: RealSky) -> None:
    """Refuse maps whose mean was taken off where simulated maps keep theirs: it would be read as a low density.

    Raises
    ------
    UserError : the mean of every patch, or that of all observed pixels, is 0 to within rounding
    """
    must_have_mean(cfg, sky.maps, sky.coverage, f"real.source={sky.name}")


def must_have_mean(cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str) -> None:
    """The same of maps (n, h, w, channels) with their coverage (n, h, w); `where` names them in the message."""
    # shear that is inverted patch by patch has lost its mean on both sides
    if cfg.kind.observed != "survey" or cfg.mean != "kept" or _inverted_by_itself(cfg):
        return
    seen = (coverage >= USED)[..., None]
    count = seen.sum(axis=(1, 2))
    maps = np.where(seen, maps, 0.0).astype(np.float64)
    scatter = maps.std(axis=(1, 2)) / np.sqrt(np.maximum(count, 1))
    each = np.abs(maps.sum(axis=(1, 2)) / np.maximum(count, 1)) / np.maximum(scatter, 1e-300)
    together = np.abs(maps.sum(axis=(0, 1, 2))) / np.maximum(count.sum(), 1)
    whole = together / np.maximum(maps.std(axis=(0, 1, 2)) / np.sqrt(max(count.sum(), 1)), 1e-300)
    if (each < (ZERO if each.size > 1 else EXACT)).all():
        _refuse(where, "each patch", "lensing.mean=removed_patch")
    if (whole < (ZERO if len(maps) > 1 else EXACT)).all():
        _refuse(where, "all patches together", "lensing.mean=removed_field and lensing.field_deg")


def _refuse(where: str, of: str, remedy: str) -> None:
    raise UserError(f"{where}: the mean of {of} is 0, so it was removed, but simulated maps keep theirs; set {remedy}")


def _inverted_by_itself(cfg: Config) -> bool:
    return cfg.survey.made_from == "shear" and cfg.survey.inversion == "patch"

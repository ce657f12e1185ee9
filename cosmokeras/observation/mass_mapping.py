"""Mass mapping, from noise-free to noisy convergence: a class for each `made_from` of a preset.

Each holds what its way is made of, and the mean power spectrum of its noise; `observation.ops` goes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cosmokeras.observation.flat import FlatPixels
from cosmokeras.observation.healpix import HealpixNoise
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


class MassMapping(Protocol):
    """A way to convergence."""

    noise_power: np.ndarray  # (size, size) in fft2 order, over that of white noise in flat pixels

    margin: int  # pixels around the maps whose coverage matters


def mass_mapping(cfg: Config) -> MassMapping:
    """That of the survey of `cfg`."""
    if cfg.survey.made_from == "healpix" and cfg.survey.lmax is not None:
        return SphericalKaiserSquires(cfg)
    classes: dict[str, Callable[[Config], MassMapping]] = {
        "healpix": HealpixNoise, "shear": FlatKaiserSquires, "flat": FlatPixels,
    }  # fmt: skip
    return classes[cfg.survey.made_from](cfg)

"""Mass mapping, from noise-free to noisy convergence: a class for each `made_from` of a preset.

TensorFlow operations on batches, (n, size, size, channels) float32, so that the input pipeline applies them afresh in
every epoch. Each also holds the mean power spectrum of its noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cosmokeras.observation.flat import WhiteNoise
from cosmokeras.observation.healpix import HealpixNoise
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


class MassMapping(Protocol):
    """Makes noisy convergence of noise-free convergence."""

    noise_power: np.ndarray  # (size, size) in fft2 order, over that of white noise in flat pixels

    margin: int  # pixels around the maps whose coverage matters

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """Noisy maps.

        `coverage` (n, size + 2 margin, size + 2 margin); `seed` two integers, of which the noise of a map is that of
        the row `first` + its place in the batch, see `observation.random_rows`; `depth`, of the shape of `coverage`:
        noise of each pixel over the survey's, None for 1 everywhere.
        """
        ...


def mass_mapping(cfg: Config, sigma: np.ndarray) -> MassMapping:
    """That of the survey of `cfg`; `sigma` (bins,) is the shape noise of a flat pixel."""
    if cfg.survey.made_from == "healpix" and cfg.survey.lmax is not None:
        return SphericalKaiserSquires(cfg, sigma)
    classes: dict[str, Callable[[Config, np.ndarray], MassMapping]] = {
        "healpix": HealpixNoise, "shear": FlatKaiserSquires, "flat": WhiteNoise,
    }  # fmt: skip
    return classes[cfg.survey.made_from](cfg, sigma)

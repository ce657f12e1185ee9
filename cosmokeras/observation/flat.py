"""Convergence in flat pixels with white noise (`made_from: flat`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.observation.operations import partial_pixel_noise
from cosmokeras.observation.random_rows import normal_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


class WhiteNoise:
    """Convergence in flat pixels with white noise: no transform between shear and convergence."""

    margin = 0

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        self.sigma = sigma
        self.noise_power = np.ones((cfg.data.size, cfg.data.size))

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        noise = normal_rows(seed, first, tf.shape(maps)[0], maps.shape[1:])
        return maps + noise * tf.constant(self.sigma, tf.float32) * partial_pixel_noise(coverage, depth)

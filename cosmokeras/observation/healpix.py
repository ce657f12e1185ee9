"""Convergence cut out of HEALPix maps with white noise in their pixels (`made_from: healpix` without an lmax).

The noise covariance of the flat pixels is that of the resampling, see `cosmokeras.sky.transfer`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.observation.operations import USED, outside_graphs
from cosmokeras.observation.random_rows import integer_rows, normal_rows
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.sky.transfer import SPAN, noise_amplitude, noise_boost, noise_geometry

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


HALF = SPAN // 2  # half width [pixels] of the noise kernel: the lags at which the noise covariance is measured


@cache
def _noise_kernel(nside: int, pixel_arcmin: float, size: int, sky: Any) -> np.ndarray:
    """Kernel (2 HALF + 1)^2 of the amplitudes of the noise of cut pixels."""
    lags = np.arange(-HALF, HALF + 1)
    return np.fft.ifft2(noise_amplitude(nside, pixel_arcmin, size, sky=sky)).real[np.ix_(lags, lags)]


def _sub_point_noise(coverage: tf.Tensor, boost: np.ndarray) -> tf.Tensor:
    """Relative noise of partly observed pixels, by the number of observed sub-points of the cutter."""
    import tensorflow as tf

    hits = tf.cast(tf.round(tf.maximum(coverage, USED) * (len(boost) - 1)), tf.int32)
    return tf.gather(tf.constant(boost, tf.float32), hits)[..., None]


class HealpixNoise:
    """Adds white noise of HEALPix pixels, resampled to flat pixels by the geometry of a random pointing."""

    margin = 0

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        nside, self.size = cfg.survey.healpix_nside, cfg.data.size
        self.sigma = sigma
        noise_kernel = _noise_kernel(nside, cfg.pixel_arcmin, self.size, cfg.survey.sky)
        self.noise_power = np.abs(np.fft.fft2(noise_kernel, s=(self.size, self.size))) ** 2
        self.resolution, self.sky = (nside, cfg.pixel_arcmin), cfg.survey.sky
        # the noise of a HEALPix pixel in units of that of a flat pixel's area
        self.unit = np.float32(cfg.pixel_arcmin * ARCMIN / healpix_side(nside))

    @cached_property
    def geometry(self) -> tuple[np.ndarray, np.ndarray]:
        """HEALPix pixels in each flat pixel of patches at many pointings, and their weights in its noise."""
        pixels, weights = noise_geometry(*self.resolution, self.size, self.sky)
        return pixels, weights * self.unit

    @cached_property
    def boost(self) -> np.ndarray:
        """Noise by the number of observed sub-points."""
        return noise_boost(*self.resolution, self.sky)

    @cached_property
    def geometry_tensors(self) -> Callable[[], list[tf.Tensor]]:
        """The geometry as tensors."""
        return outside_graphs(*self.geometry)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        pointing_seed, noise_seed = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        numbers, count = self.geometry[0], tf.shape(maps)[0]
        pointing = integer_rows(pointing_seed, first, count, (), len(numbers))
        pixels, weights = (tf.gather(one, pointing) for one in self.geometry_tensors())
        white = normal_rows(noise_seed, first, count, (int(numbers.max()) + 1, len(self.sigma)))
        white *= tf.constant(self.sigma, tf.float32)
        noise = tf.reduce_sum(weights[..., None] * tf.gather(white, pixels, batch_dims=1), axis=2)
        noise = tf.reshape(noise, tf.shape(maps)) * _sub_point_noise(coverage, self.boost)
        return maps + (noise if depth is None else noise * depth[..., None])

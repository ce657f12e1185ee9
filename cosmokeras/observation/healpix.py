"""Convergence cut out of HEALPix maps with white noise in their pixels (`made_from: healpix` without an lmax)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.observation.operations import USED, outside_graphs
from cosmokeras.observation.random_rows import integer_rows, normal_rows
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.sky.transfer import noise_amplitude, noise_boost, noise_geometry

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


HALF = 4  # half width [pixels] of the kernel that stands for the noise of cut pixels


@cache
def _noise_kernel(nside: int, pixel_arcmin: float, size: int, sky: Any) -> np.ndarray:
    """Kernel (2 HALF + 1)^2 of the amplitudes of the noise of cut pixels."""
    near = np.arange(-HALF, HALF + 1)
    return np.fft.ifft2(noise_amplitude(nside, pixel_arcmin, size, sky=sky)).real[np.ix_(near, near)]


def _sub_point_noise(coverage: tf.Tensor, boost: np.ndarray) -> tf.Tensor:
    """Noise by the number of observed sub-points of the cutter."""
    import tensorflow as tf

    hits = tf.cast(tf.round(tf.maximum(coverage, USED) * (len(boost) - 1)), tf.int32)
    return tf.gather(tf.constant(boost, tf.float32), hits)[..., None]


class HealpixNoise:
    """Maps of what the cutter shows; white noise in HEALPix pixels, cut at random places."""

    margin = 0

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        assert cfg.survey.nside is not None
        where, self.size = (cfg.survey.nside, cfg.pixel_arcmin), cfg.data.size
        self.sigma = sigma
        noise_kernel = _noise_kernel(*where, self.size, cfg.survey.sky)
        self.noise_power = np.abs(np.fft.fft2(noise_kernel, s=(self.size, self.size))) ** 2
        self.where, self.sky = where, cfg.survey.sky
        # the noise of a HEALPix pixel in units of that of a flat pixel's area
        self.unit = np.float32(cfg.pixel_arcmin * ARCMIN / healpix_side(cfg.survey.nside))

    @cached_property
    def geometry(self) -> tuple[np.ndarray, np.ndarray]:
        """HEALPix pixels in each flat pixel of many places, and their parts of its noise."""
        pixels, parts = noise_geometry(*self.where, self.size, self.sky)
        return pixels, parts * self.unit

    @cached_property
    def boost(self) -> np.ndarray:
        """Noise by the number of observed sub-points."""
        return noise_boost(*self.where, self.sky)

    @cached_property
    def tables(self) -> Callable[[], list[tf.Tensor]]:
        """The geometry as tensors."""
        return outside_graphs(*self.geometry)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        pick, draw = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        numbers, count = self.geometry[0], tf.shape(maps)[0]
        place = integer_rows(pick, first, count, (), len(numbers))
        pixels, parts = (tf.gather(table, place) for table in self.tables())
        white = normal_rows(draw, first, count, (int(numbers.max()) + 1, len(self.sigma)))
        white *= tf.constant(self.sigma, tf.float32)
        noise = tf.reduce_sum(parts[..., None] * tf.gather(white, pixels, batch_dims=1), axis=2)
        noise = tf.reshape(noise, tf.shape(maps)) * _sub_point_noise(coverage, self.boost)
        return maps + (noise if depth is None else noise * depth[..., None])

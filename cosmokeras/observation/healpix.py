"""Convergence cut out of HEALPix maps with white noise in their pixels (`made_from: healpix` without an lmax).

The noise covariance of the flat pixels is that of the resampling, see `cosmokeras.sky.transfer`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.kept import kept
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.sky.transfer import SPAN, noise_amplitude, noise_boost, noise_geometry

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


HALF = SPAN // 2  # half width [pixels] of the noise kernel: the lags at which the noise covariance is measured


@kept
def _noise_kernel(nside: int, pixel_arcmin: float, size: int, sky: Any) -> np.ndarray:
    """Kernel (2 HALF + 1)^2 of the amplitudes of the noise of cut pixels."""
    lags = np.arange(-HALF, HALF + 1)
    return np.fft.ifft2(noise_amplitude(nside, pixel_arcmin, size, sky=sky)).real[np.ix_(lags, lags)]


class HealpixNoise:
    """White noise of HEALPix pixels, resampled to flat pixels by the geometry of a random pointing."""

    margin = 0

    def __init__(self, cfg: Config) -> None:
        nside, self.size = cfg.survey.healpix_nside, cfg.data.size
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

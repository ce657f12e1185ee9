"""Patches of convergence by Kaiser & Squires (1993, ApJ 404, 441) on the sphere (`made_from: healpix` with an lmax)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation.operations import outside_graphs
from cosmokeras.observation.random_rows import integer_rows, normal_rows
from cosmokeras.sky.band_noise import band_covariance, band_power, band_variance
from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN
from cosmokeras.sky.pixels import ARCMIN, healpix_side, pixel_window

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


# Noise of the shear of a flat pixel that is observed in part, as a power of its coverage. Masking alone would be 1/2,
# but the cutter averages over the observed part only. Measured by `python -m study.masked_inversion --skies 6`: with
# 0.3 the variance behind holes is that of the sphere to 0.3 %, the power in bands to 2 % (with 0: 7 to 11 % too high,
# with 1/2: 2 to 4 % too low).
COVERAGE_EXPONENT = 0.3


class SphericalKaiserSquires:
    """Shear in HEALPix pixels, made into convergence by Kaiser-Squires on the sphere up to lmax, then cut.

    Shear is masked before the inversion, which is not local: next to star holes signal and noise are lower, and beyond
    lmax there is next to no power, holes or not. Patches are padded by their mirror images for the Fourier transforms,
    so that the periodic boundary stays outside.
    """

    margin = MARGIN

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        nside, lmax, pixel, sky = cfg.survey.healpix_nside, cfg.survey.lmax, cfg.pixel_arcmin, cfg.survey.sky
        if lmax is None:
            raise UserError(f"survey {cfg.survey.name}: lmax is missing; Kaiser-Squires on the sphere needs it")
        self.size, self.sigma, self.coverage_exponent = cfg.data.size, sigma, COVERAGE_EXPONENT
        self.wide = self.size + 2 * MARGIN
        k = 2 * np.pi * np.fft.fftfreq(self.wide, pixel * ARCMIN)
        spin2 = spin2_phase((self.wide, self.wide))
        self.to_shear = spin2 * pixel_window(np.hypot(k[:, None], k), healpix_side(nside))
        power = band_power(nside, lmax, pixel, self.wide, sky)
        spin2[0, 0] = 1.0  # the mean of a patch is a mode of the sky longer than the patch
        self.to_shear[0, 0] = 1.0
        self.to_kappa = np.conj(spin2) * np.sqrt(power)
        self.noise_power = _power_of_smaller_grid(power, self.size)
        self.resolution, self.sky = (nside, lmax, pixel), sky

    @cached_property
    def noise_modulation(self) -> np.ndarray:
        """Noise of each flat pixel over its mean, at many pointings, (pointings, size, size, 1): the moire pattern."""
        mean = band_covariance(*self.resolution, self.sky).max()  # at the point of tangency
        return np.sqrt(band_variance(*self.resolution, self.size, self.sky) / mean).astype(np.float32)[..., None]

    @cached_property
    def modulation_tensors(self) -> Callable[[], list[tf.Tensor]]:
        """The modulation as a tensor."""
        return outside_graphs(self.noise_modulation)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        pointing_seed, noise_seed = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        count = tf.shape(maps)[0]
        pointing = integer_rows(pointing_seed, first, count, (), len(self.noise_modulation))
        wide = self._mirrored(tf.transpose(maps, (0, 3, 1, 2)))
        seen = coverage[:, None]
        shear = tf.signal.ifft2d(tf.signal.fft2d(tf.complex(wide, 0.0)) * tf.constant(self.to_shear, tf.complex64))
        noise = normal_rows(noise_seed, first, count, (2, wide.shape[1], self.wide, self.wide))
        noise *= (tf.constant(self.sigma[:, None, None], tf.float32) * seen**self.coverage_exponent)[:, None]
        if depth is not None:
            noise *= depth[:, None, None]
        signal = self._kappa(shear * tf.complex(seen, 0.0))
        modulation = tf.gather(self.modulation_tensors()[0], pointing)
        return signal + self._kappa(tf.complex(noise[:, 0], noise[:, 1])) * modulation

    def _kappa(self, shear: tf.Tensor) -> tf.Tensor:
        """E mode of shear (n, channels, wide, wide), without the margin."""
        import tensorflow as tf

        kappa = tf.math.real(tf.signal.ifft2d(tf.signal.fft2d(shear) * tf.constant(self.to_kappa, tf.complex64)))
        inner = slice(MARGIN, MARGIN + self.size)
        return tf.transpose(kappa[:, :, inner, inner], (0, 2, 3, 1))

    def _mirrored(self, maps: tf.Tensor) -> tf.Tensor:
        """Continued by mirror images, (n, channels, wide, wide)."""
        import tensorflow as tf

        return tf.pad(maps, [[0, 0], [0, 0], [MARGIN, MARGIN], [MARGIN, MARGIN]], "SYMMETRIC")


def _power_of_smaller_grid(power: np.ndarray, n: int) -> np.ndarray:
    """Power of the n x n modes of a smaller patch, from that of a larger one, by way of the covariance."""
    lags = np.fft.fftfreq(n, 1 / n).astype(int)
    return np.maximum(np.fft.fft2(np.fft.ifft2(power).real[np.ix_(lags, lags)]).real, 0.0)

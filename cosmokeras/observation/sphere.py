"""Convergence by Kaiser-Squires on the sphere, cut out of HEALPix maps (`made_from: healpix` with an lmax)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.observation.operations import outside_graphs
from cosmokeras.observation.random_rows import integer_rows, normal_rows
from cosmokeras.sky.band_noise import band_covariance, band_power, band_variance
from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN
from cosmokeras.sky.pixels import ARCMIN, healpix_side, pixel_window

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


# Of a pixel seen in part, the part seen holds that part of the signal, and its root of the noise; but the cutter takes
# the mean over the part alone. With 0.3 for the root the noise behind holes is that of the sphere, as tests show.
PARTLY = 0.3


class SphericalKaiserSquires:
    """Shear in HEALPix pixels, made into convergence by Kaiser-Squires on the sphere up to lmax, then cut.

    What is not observed is missing before the inversion, which spreads the loss: next to star holes signal and noise
    are lower, and beyond lmax there is next to nothing, holes or not. Patches are continued by their mirror images for
    the Fourier transforms, so that what wraps around stays outside.
    """

    margin = MARGIN

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        nside, lmax, pixel, sky = cfg.survey.nside, cfg.survey.lmax, cfg.pixel_arcmin, cfg.survey.sky
        assert nside is not None and lmax is not None
        self.size, self.sigma = cfg.data.size, sigma
        self.wide = self.size + 2 * MARGIN
        k = 2 * np.pi * np.fft.fftfreq(self.wide, pixel * ARCMIN)
        spin2 = spin2_phase((self.wide, self.wide))
        self.to_shear = spin2 * pixel_window(np.hypot(k[:, None], k), healpix_side(nside))
        power = band_power(nside, lmax, pixel, self.wide, sky)
        spin2[0, 0] = 1.0  # the mean of a patch is a long wave of the sky
        self.to_shear[0, 0] = 1.0
        self.to_kappa = np.conj(spin2) * np.sqrt(power)
        self.noise_power = _fewer_modes(power, self.size)
        self.where, self.sky = (nside, lmax, pixel), sky

    @cached_property
    def stripes(self) -> np.ndarray:
        """Noise of each flat pixel at many places, (places, size, size, 1), over its mean."""
        mean = band_covariance(*self.where, self.sky).max()  # where a patch touches the sphere
        return np.sqrt(band_variance(*self.where, self.size, self.sky) / mean).astype(np.float32)[..., None]

    @cached_property
    def tables(self) -> Callable[[], list[tf.Tensor]]:
        """The stripes as tensors."""
        return outside_graphs(self.stripes)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        pick, draw = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        count = tf.shape(maps)[0]
        place = integer_rows(pick, first, count, (), len(self.stripes))
        wide = self._wide(tf.transpose(maps, (0, 3, 1, 2)))
        seen = coverage[:, None]
        shear = tf.signal.ifft2d(tf.signal.fft2d(tf.complex(wide, 0.0)) * tf.constant(self.to_shear, tf.complex64))
        noise = normal_rows(draw, first, count, (2, wide.shape[1], self.wide, self.wide))
        noise *= (tf.constant(self.sigma[:, None, None], tf.float32) * seen**PARTLY)[:, None]
        if depth is not None:
            noise *= depth[:, None, None]
        signal = self._kappa(shear * tf.complex(seen, 0.0))
        return signal + self._kappa(tf.complex(noise[:, 0], noise[:, 1])) * tf.gather(self.tables()[0], place)

    def _kappa(self, shear: tf.Tensor) -> tf.Tensor:
        """E mode of shear (n, channels, wide, wide), without the margin."""
        import tensorflow as tf

        kappa = tf.math.real(tf.signal.ifft2d(tf.signal.fft2d(shear) * tf.constant(self.to_kappa, tf.complex64)))
        inner = slice(MARGIN, MARGIN + self.size)
        return tf.transpose(kappa[:, :, inner, inner], (0, 2, 3, 1))

    def _wide(self, maps: tf.Tensor) -> tf.Tensor:
        """Continued by mirror images, (n, channels, wide, wide)."""
        import tensorflow as tf

        return tf.pad(maps, [[0, 0], [0, 0], [MARGIN, MARGIN], [MARGIN, MARGIN]], "SYMMETRIC")


def _fewer_modes(power: np.ndarray, n: int) -> np.ndarray:
    """Power of the n x n modes of a smaller patch, from that of a larger one, by way of the covariance."""
    lags = np.fft.fftfreq(n, 1 / n).astype(int)
    return np.maximum(np.fft.fft2(np.fft.ifft2(power).real[np.ix_(lags, lags)]).real, 0.0)

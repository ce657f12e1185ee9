"""Patches of convergence by Kaiser & Squires (1993, ApJ 404, 441) on the sphere (`made_from: healpix` with an lmax)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky.band_noise import band_covariance, band_power, band_variance
from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN
from cosmokeras.sky.pixels import ARCMIN, healpix_side, pixel_window

if TYPE_CHECKING:
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

    def __init__(self, cfg: Config) -> None:
        nside, lmax, pixel, sky = cfg.survey.healpix_nside, cfg.survey.lmax, cfg.pixel_arcmin, cfg.survey.sky
        if lmax is None:
            raise UserError(f"survey {cfg.survey.name}: lmax is missing; Kaiser-Squires on the sphere needs it")
        self.size, self.coverage_exponent = cfg.data.size, COVERAGE_EXPONENT
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


def _power_of_smaller_grid(power: np.ndarray, n: int) -> np.ndarray:
    """Power of the n x n modes of a smaller patch, from that of a larger one, by way of the covariance."""
    lags = np.fft.fftfreq(n, 1 / n).astype(int)
    return np.maximum(np.fft.fft2(np.fft.ifft2(power).real[np.ix_(lags, lags)]).real, 0.0)

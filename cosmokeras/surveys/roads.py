"""How a survey's noisy convergence comes about from a noise-free one: a class for each `made_from` of a preset.

TensorFlow operations on batches, (n, size, size, channels) float32, so that the input pipeline applies them afresh in
every epoch. Each road also tells the mean power of its noise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cosmokeras.draws import integer_rows, normal_rows
from cosmokeras.kaiser_squires import spin2_phase
from cosmokeras.pixels import ARCMIN, healpix_side, pixel_window
from cosmokeras.surveys.band_noise import band_covariance, band_power, band_variance
from cosmokeras.surveys.patches import MARGIN
from cosmokeras.surveys.transfer import noise_amplitude, noise_boost, noise_geometry

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.config import Config

HALF = 4  # half width [pixels] of the kernel that stands for the noise of cut pixels
# Of a pixel seen in part, the part seen holds that part of the signal, and its root of the noise; but the cutter takes
# the mean over the part alone. With 0.3 for the root the noise behind holes is that of the sphere, as tests show.
PARTLY = 0.3
USED = 0.5  # a pixel counts as observed when at least this part of it is


class Road(Protocol):
    """A road from noise-free to noisy convergence."""

    noise_power: np.ndarray  # (size, size) in fft2 order, over that of white noise in flat pixels

    margin: int  # pixels around the maps whose coverage matters

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """Noisy maps.

        `coverage` (n, size + 2 margin, size + 2 margin); `seed` two integers, of which the noise of a map is that of
        the row `first` + its place in the batch, see `cosmokeras.draws`; `depth`, of the shape of `coverage`: noise of
        each pixel over the survey's, None for 1 everywhere.
        """
        ...


def road(cfg: Config, sigma: np.ndarray) -> Road:
    """The road of the survey of `cfg`; `sigma` (bins,) is the shape noise of a flat pixel."""
    if cfg.survey.made_from == "healpix" and cfg.survey.lmax is not None:
        return SphereRoad(cfg, sigma)
    roads: dict[str, Callable[[Config, np.ndarray], Road]] = {
        "healpix": HealpixRoad, "shear": ShearRoad, "flat": FlatRoad,
    }  # fmt: skip
    return roads[cfg.survey.made_from](cfg, sigma)


@cache
def _noise_kernel(nside: int, pixel_arcmin: float, size: int, sky: Any) -> np.ndarray:
    """Kernel (2 HALF + 1)^2 of the amplitudes of the noise of cut pixels."""
    near = np.arange(-HALF, HALF + 1)
    return np.fft.ifft2(noise_amplitude(nside, pixel_arcmin, size, sky=sky)).real[np.ix_(near, near)]


def filter_complex(maps: tf.Tensor, transfer: np.ndarray) -> tf.Tensor:
    """Maps (n, ny, nx, channels), times a transfer (ny, nx) in Fourier space; complex64."""
    import tensorflow as tf

    first = tf.transpose(tf.cast(maps, tf.complex64), (0, 3, 1, 2))
    first = tf.signal.ifft2d(tf.signal.fft2d(first) * tf.constant(transfer, tf.complex64))
    return tf.transpose(first, (0, 2, 3, 1))


def _flat_boost(coverage: tf.Tensor, depth: tf.Tensor | None) -> tf.Tensor:
    """Noise of a pixel that was observed in part grows as 1 / sqrt(coverage), and is `depth` times the survey's."""
    import tensorflow as tf

    boost = tf.math.rsqrt(tf.maximum(coverage, USED))[..., None]
    return boost if depth is None else boost * depth[..., None]


def _steps_boost(coverage: tf.Tensor, boost: np.ndarray) -> tf.Tensor:
    """Noise by the number of observed sub-points of the cutter."""
    import tensorflow as tf

    hits = tf.cast(tf.round(tf.maximum(coverage, USED) * (len(boost) - 1)), tf.int32)
    return tf.gather(tf.constant(boost, tf.float32), hits)[..., None]


class HealpixRoad:
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
        return _outside_graphs(*self.geometry)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `Road`."""
        import tensorflow as tf

        pick, draw = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        numbers, count = self.geometry[0], tf.shape(maps)[0]
        place = integer_rows(pick, first, count, (), len(numbers))
        pixels, parts = (tf.gather(table, place) for table in self.tables())
        white = normal_rows(draw, first, count, (int(numbers.max()) + 1, len(self.sigma)))
        white *= tf.constant(self.sigma, tf.float32)
        noise = tf.reduce_sum(parts[..., None] * tf.gather(white, pixels, batch_dims=1), axis=2)
        noise = tf.reshape(noise, tf.shape(maps)) * _steps_boost(coverage, self.boost)
        return maps + (noise if depth is None else noise * depth[..., None])


class SphereRoad:
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
        return _outside_graphs(self.stripes)

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `Road`."""
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


class ShearRoad:
    """Shear in flat pixels, with shape noise and mask, and back by Kaiser-Squires.

    Each patch is inverted by itself, or out of a field that goes on around it: by its mirror images, `margin` pixels
    wide, so that what wraps around stays outside. Of such a patch the mean is a long wave of the field.
    """

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        self.size, self.sigma = cfg.data.size, sigma
        self.margin = MARGIN if cfg.survey.inversion == "field" else 0
        self.wide = self.size + 2 * self.margin
        self.to_shear = spin2_phase((self.wide, self.wide))
        if self.margin:
            self.to_shear[0, 0] = 1.0
        self.noise_power = np.ones((self.size, self.size))

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `Road`."""
        import tensorflow as tf

        around = [[0, 0], [self.margin, self.margin], [self.margin, self.margin], [0, 0]]
        shear = filter_complex(tf.pad(maps, around, "SYMMETRIC"), self.to_shear)
        noise = normal_rows(seed, first, tf.shape(maps)[0], (2, self.wide, self.wide, len(self.sigma)))
        noise *= (tf.constant(self.sigma, tf.float32) * _flat_boost(coverage, depth))[:, None]
        used = tf.cast(coverage >= USED, tf.complex64)[..., None]
        shear = (shear + tf.complex(noise[:, 0], noise[:, 1])) * used
        kappa = tf.math.real(filter_complex(shear, np.conj(self.to_shear)))
        inner = slice(self.margin, self.margin + self.size)
        return kappa[:, inner, inner]


class FlatRoad:
    """Convergence in flat pixels with white noise: no transform between shear and convergence."""

    margin = 0

    def __init__(self, cfg: Config, sigma: np.ndarray) -> None:
        self.sigma = sigma
        self.noise_power = np.ones((cfg.data.size, cfg.data.size))

    def __call__(
        self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0,
        depth: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """See `Road`."""
        import tensorflow as tf

        noise = normal_rows(seed, first, tf.shape(maps)[0], maps.shape[1:])
        return maps + noise * tf.constant(self.sigma, tf.float32) * _flat_boost(coverage, depth)


def _outside_graphs(*arrays: np.ndarray) -> Callable[[], list[tf.Tensor]]:
    """Arrays as tensors outside of any graph, made once: as constants they would be copied into each graph."""
    kept: list[Any] = []

    def tensors() -> list[tf.Tensor]:
        import tensorflow as tf

        if not kept:
            with tf.init_scope():
                kept.extend(tf.constant(one) for one in arrays)
        return kept

    return tensors

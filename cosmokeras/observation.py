"""What a survey does to a map: pixel averages, shape noise, mask, Kaiser-Squires, smoothing, scaling.

The steps are TensorFlow operations, so that the input pipeline applies them afresh in every epoch; `observe` and the
real maps go through the same code. Noise depends on the seed alone, on every device.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.config import Config, survey_masks
from cosmokeras.errors import UserError
from cosmokeras.kaiser_squires import spin2_phase
from cosmokeras.pixels import ARCMIN, healpix_side
from cosmokeras.surveys.transfer import cutting_transfers, noise_boost, noise_geometry

if TYPE_CHECKING:
    import tensorflow as tf

HALF = 4  # half width [pixels] of the kernels that stand for pixel windows
USED = 0.5  # a pixel counts as observed when at least this part of it is


def noise_sigma(cfg: Config) -> np.ndarray:
    """Shape noise per pixel and bin, sigma_e / sqrt(n_eff A_pix), shape (bins,)."""
    return cfg.survey.sigma_e / np.sqrt(cfg.survey.n_eff * cfg.pixel_arcmin**2)


def transfer_kernels(cfg: Config) -> tuple[np.ndarray, np.ndarray]:
    """Real-space kernels, (2 HALF + 1)^2, that pixels apply to the signal and, on average, to unit white noise.

    For patches cut from a HEALPix map these are the cutter's own (`cosmokeras.surveys.transfer`); on a flat grid,
    shear or convergence, the signal is averaged over a pixel, and the noise is white.
    """
    healpix = cfg.survey.made_from == "healpix"
    return _kernels((cfg.survey.nside, cfg.pixel_arcmin, cfg.data.size, cfg.survey.sky) if healpix else None)


@cache
def _kernels(cut: tuple[Any, ...] | None) -> tuple[np.ndarray, np.ndarray]:
    """Kernels for a HEALPix map cut in this way; None: for averages over the pixels of a flat grid."""
    if cut is not None:
        nside, pixel_arcmin, size, sky = cut
        signal, noise = cutting_transfers(nside, pixel_arcmin, size, sky=sky)
    else:
        window = np.sinc(np.fft.fftfreq(64))  # of a pixel, along one axis
        signal, noise = np.outer(window, window), np.ones((64, 64))
    return _kernel(signal, steepness=3.0), _kernel(noise, steepness=0.0)


def _kernel(transfer: np.ndarray, steepness: float) -> np.ndarray:
    """The small kernel closest to a transfer (n, n) in fft2 order.

    Modes count by |k|^-steepness: the lensing signal falls steeply, and its large scales must come through exactly.
    """
    n = len(transfer)
    k = np.fft.fftfreq(n)
    lags = np.arange(-HALF, HALF + 1)
    # separable cosines and sines of the kernel's lags, all modes at once
    waves = np.exp(-2j * np.pi * np.outer(k, lags))
    design = np.einsum("ya,xb->yxab", waves, waves).reshape(n * n, -1)
    weight = (np.hypot(k[:, None], k[None]) + 0.5 / n).ravel() ** (-steepness / 2)
    both = np.concatenate([design.real, design.imag]) * np.tile(weight, 2)[:, None]
    wanted = np.concatenate([transfer.ravel() * weight, np.zeros(n * n)])
    kernel = np.linalg.solve(both.T @ both, both.T @ wanted)
    return kernel.reshape(len(lags), len(lags))


class Observer:
    """Turns noise-free maps into observed ones, and finishes real maps by the same last steps.

    Built from the parameters alone; holds constants only, so it may be used in several pipelines at once.
    """

    def __init__(self, cfg: Config) -> None:
        self.observed = cfg.kind.observed
        self.size = cfg.data.size
        self.channels = cfg.channels
        self.masks = survey_masks(cfg)
        if self.observed == "survey":
            self.made_from = cfg.survey.made_from
            self.signal_kernel, self.noise_kernel = transfer_kernels(cfg)
            self.sigma = noise_sigma(cfg)
            k = 2 * np.pi * np.fft.fftfreq(self.size, cfg.pixel_arcmin)
            sigma = cfg.smoothing_arcmin
            if self.made_from == "healpix":
                self._set_geometry(cfg)
            self.beam = np.exp(-0.5 * sigma**2 * (k[:, None] ** 2 + k[None, :] ** 2)) if sigma > 0 else None
            self.spin2 = spin2_phase((self.size, self.size))
            self.scale = 1 / self._expected_noise()

    def _set_geometry(self, cfg: Config) -> None:
        """How the noise of HEALPix pixels gets into flat ones, at many places of the survey."""
        where = (cfg.survey.nside, cfg.pixel_arcmin)
        self.pixels, parts = noise_geometry(*where, self.size, cfg.survey.sky)
        # the noise of a HEALPix pixel in units of that of a flat pixel's area
        self.parts = parts * np.float32(cfg.pixel_arcmin * ARCMIN / healpix_side(cfg.survey.nside))
        self.boost = noise_boost(*where, cfg.survey.sky)
        self.tables: tuple[tf.Tensor, tf.Tensor] | None = None

    def _expected_noise(self) -> np.ndarray:
        """Standard deviation of the noise in an observed, fully covered map, per channel: the unit of the output."""
        power = np.abs(np.fft.fft2(self.noise_kernel, s=(self.size, self.size))) ** 2
        if self.beam is not None:
            power = power * self.beam**2
        return self.sigma * np.sqrt(power.mean())

    def __call__(self, maps: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Observe a batch, (n, size, size, channels) float32; `seed` is two integers (int64)."""
        import tensorflow as tf

        if self.observed != "survey":
            return self.finish(maps, tf.ones(tf.shape(maps)[:3]))
        coverage, maps = self.survey(maps, seed)
        return self.finish(maps, coverage)

    def survey(self, maps: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A survey's coverage (n, size, size) and noisy maps (n, size, size, channels), before the last steps."""
        import tensorflow as tf

        pick, draw = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        which = tf.random.stateless_uniform([tf.shape(maps)[0]], pick, 0, len(self.masks), tf.int32, alg="philox")
        coverage = tf.gather(tf.constant(self.masks), which)
        roads = {"healpix": self._observe_healpix, "shear": self._observe_shear, "flat": self._observe_flat}
        return coverage, roads[self.made_from](maps, coverage, draw)

    def finish(self, maps: tf.Tensor, coverage: tf.Tensor) -> tf.Tensor:
        """Last steps, which simulated and real maps share: mask, smooth, mask, scale.

        Maps are scaled up by the root of the observed part of their area: the power of a masked map goes with that
        part, and a network that is not told it would take a full map for one with more signal.
        """
        import tensorflow as tf

        if self.observed == "plain":
            return maps
        if self.observed == "standardised":
            return self._standardise(maps)
        used = tf.cast(coverage >= USED, tf.float32)[..., None]
        maps = maps * used
        if self.beam is not None:
            maps = self._filter(maps, self.beam) * used
        part = tf.reduce_mean(used, axis=(1, 2, 3), keepdims=True)
        return maps * tf.constant(self.scale, tf.float32) * tf.math.rsqrt(tf.maximum(part, 1 / self.size**2))

    def _standardise(self, maps: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        # float32 squares of a faint field underflow gently; its own largest value keeps them in range
        maps = maps / tf.reduce_max(tf.abs(maps), axis=(1, 2), keepdims=True)
        return maps / tf.math.reduce_std(maps, axis=(1, 2), keepdims=True)

    def _averaged(self, maps: tf.Tensor) -> tf.Tensor:
        """The signal as the survey's pixels show it."""
        import tensorflow as tf

        pad = [[0, 0], [HALF, HALF], [HALF, HALF], [0, 0]]
        return _convolve(tf.pad(maps, pad, "SYMMETRIC"), self.signal_kernel)

    def _observe_healpix(self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The signal after the mean transfer of the cutter; noise drawn in HEALPix pixels and cut at random places."""
        import tensorflow as tf

        signal = self._averaged(maps)
        pick, draw = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        place = tf.random.stateless_uniform([tf.shape(maps)[0]], pick, 0, len(self.pixels), tf.int32, alg="philox")
        pixels, parts = (tf.gather(table, place) for table in self._tables())
        shape = [tf.shape(maps)[0], int(self.pixels.max()) + 1, self.channels]
        white = tf.random.stateless_normal(shape, draw, alg="philox") * tf.constant(self.sigma, tf.float32)
        noise = tf.reduce_sum(parts[..., None] * tf.gather(white, pixels, batch_dims=1), axis=2)
        hits = tf.cast(tf.round(tf.maximum(coverage, USED) * (len(self.boost) - 1)), tf.int32)
        boost = tf.gather(tf.constant(self.boost, tf.float32), hits)[..., None]
        return signal + tf.reshape(noise, tf.shape(signal)) * boost

    def _tables(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The geometry as tensors outside of any graph: as constants its 50 MB would be copied into each of them."""
        import tensorflow as tf

        if self.tables is None:
            with tf.init_scope():
                self.tables = (tf.constant(self.pixels), tf.constant(self.parts))
        return self.tables

    def _observe_shear(self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Shear of the map, averaged in pixels, with shape noise and mask, and back by Kaiser-Squires."""
        import tensorflow as tf

        signal = self._averaged(maps)
        shear = self._filter_complex(tf.cast(signal, tf.complex64), self.spin2)
        shape = [2, tf.shape(maps)[0], self.size, self.size, self.channels]
        noise = tf.random.stateless_normal(shape, seed, alg="philox")
        noise = noise * tf.constant(self.sigma, tf.float32) * _noise_boost(coverage)
        used = tf.cast(coverage >= USED, tf.complex64)[..., None]
        shear = (shear + tf.complex(noise[0], noise[1])) * used
        return tf.math.real(self._filter_complex(shear, np.conj(self.spin2)))

    def _observe_flat(self, maps: tf.Tensor, coverage: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Convergence averaged in flat pixels, with white noise: no transform between shear and convergence."""
        import tensorflow as tf

        noise = tf.random.stateless_normal(tf.shape(maps), seed, alg="philox")
        return self._averaged(maps) + noise * tf.constant(self.sigma, tf.float32) * _noise_boost(coverage)

    def _filter(self, maps: tf.Tensor, transfer: np.ndarray) -> tf.Tensor:
        import tensorflow as tf

        return tf.math.real(self._filter_complex(tf.cast(maps, tf.complex64), transfer))

    def _filter_complex(self, maps: tf.Tensor, transfer: np.ndarray) -> tf.Tensor:
        import tensorflow as tf

        first = tf.transpose(maps, (0, 3, 1, 2))
        first = tf.signal.ifft2d(tf.signal.fft2d(first) * tf.constant(transfer, tf.complex64))
        return tf.transpose(first, (0, 2, 3, 1))


def _convolve(maps: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    import tensorflow as tf

    channels = maps.shape[-1]
    filters = np.repeat(kernel[:, :, None, None], channels, axis=2)
    return tf.nn.depthwise_conv2d(maps, tf.constant(filters, tf.float32), (1, 1, 1, 1), "VALID")


def _noise_boost(coverage: tf.Tensor) -> tf.Tensor:
    """Noise of a pixel that was observed in part grows as 1 / sqrt(coverage)."""
    import tensorflow as tf

    return tf.math.rsqrt(tf.maximum(coverage, USED))[..., None]


def observe(cfg: Config, maps: np.ndarray, seed: int, batch: int = 256) -> np.ndarray:
    """What the network sees of noise-free maps: noise, mask, smoothing, scaling.

    Parameters
    ----------
    maps : (n, size, size, channels) noise-free maps in physical units
    seed : of noise and mask choice

    Returns
    -------
    (n, size, size, channels) float32; `lensing`: in units of the noise of a fully covered pixel, one fixed scale per
    bin; `grf`: each map in units of its own standard deviation; `2lpt`: the density contrast as it is
    """
    maps = checked(cfg, maps)
    import tensorflow as tf

    observer = Observer(cfg)
    numbers = np.arange(len(maps)) // batch  # each batch has noise of its own
    return in_batches(
        lambda part, i: observer(part, tf.stack([tf.constant(seed, tf.int64), i[0]])), (maps, numbers), batch
    )


def in_batches(function: Any, arrays: tuple[np.ndarray, ...], batch: int) -> np.ndarray:
    """Apply a TensorFlow function to arrays of equal length, batch by batch."""
    import tensorflow as tf

    parts = range(0, len(arrays[0]), batch)
    return np.concatenate([function(*(tf.constant(a[i : i + batch]) for a in arrays)).numpy() for i in parts])


def checked(cfg: Config, maps: np.ndarray) -> np.ndarray:
    """Maps as float32 of the right shape, free of NaN."""
    maps = np.asarray(maps, np.float32)
    want = (cfg.data.size, cfg.data.size, cfg.channels)
    if maps.ndim != 4 or maps.shape[1:] != want:
        raise UserError(f"maps of shape {maps.shape}: must be (n, {want[0]}, {want[1]}, {want[2]})")
    bad = ~np.isfinite(maps).all(axis=(1, 2, 3))
    if bad.any():
        raise UserError(
            f"maps: NaN or infinite pixels in map {int(np.flatnonzero(bad)[0])} ({int(bad.sum())} maps in all)"
        )
    return maps

"""The forward model of a survey: shape noise, mask, mass mapping, smoothing, scaling.

The steps are TensorFlow operations, so that the input pipeline applies them afresh in every epoch; `observe` and the
real maps go through the same code. Noise depends on the seed alone, on every device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.observation.masks import survey_depth, survey_masks
from cosmokeras.observation.mass_mapping import mass_mapping
from cosmokeras.observation.operations import USED, filter_complex
from cosmokeras.observation.random_rows import integer_rows
from cosmokeras.params import checked
from cosmokeras.params.config import Config

if TYPE_CHECKING:
    import tensorflow as tf


def noise_sigma(cfg: Config) -> np.ndarray:
    """Shape noise per pixel and bin, sigma_e / sqrt(n_eff A_pix), shape (bins,)."""
    return cfg.survey.sigma_e / np.sqrt(cfg.survey.n_eff * cfg.pixel_arcmin**2)


def pixel_noise(cfg: Config) -> np.ndarray:
    """Noise of an observed, fully covered pixel before smoothing, per bin: less than white where pixels share noise."""
    sigma = noise_sigma(cfg)
    return sigma * np.sqrt(mass_mapping(cfg, sigma).noise_power.mean())


class Observer:
    """Turns noise-free maps into observed ones, and finishes real maps by the same last steps.

    Built from the parameters alone; holds constants only, so it may be used in several pipelines at once.
    """

    def __init__(self, cfg: Config) -> None:
        self.observed = cfg.kind.observed
        self.size = cfg.data.size
        self.channels = cfg.channels
        if self.observed == "survey":
            self.sigma = noise_sigma(cfg)
            self.mass_mapping = mass_mapping(cfg, self.sigma)
            self.masks = survey_masks(cfg, self.mass_mapping.margin)
            self.depth = survey_depth(cfg, self.mass_mapping.margin)
            self.removed = cfg.mean == "removed_patch"
            k = 2 * np.pi * np.fft.fftfreq(self.size, cfg.pixel_arcmin)
            sigma = cfg.smoothing_arcmin
            self.beam = np.exp(-0.5 * sigma**2 * (k[:, None] ** 2 + k[None, :] ** 2)) if sigma > 0 else None
            self.scale = 1 / self._expected_noise()

    def _expected_noise(self) -> np.ndarray:
        """Standard deviation of the noise in an observed, fully covered map, per channel: the unit of the output."""
        power = self.mass_mapping.noise_power
        if self.beam is not None:
            power = power * self.beam**2
        return self.sigma * np.sqrt(power.mean())

    def __call__(self, maps: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0) -> tf.Tensor:
        """Observe a batch, (n, size, size, channels) float32; `seed` is two integers (int64).

        Mask and noise of a map are those of the row `first` + its place in the batch, see `observation.random_rows`.
        """
        import tensorflow as tf

        if self.observed != "survey":
            return self.finish(maps, tf.ones(tf.shape(maps)[:3]))
        coverage, maps = self.survey(maps, seed, first)
        return self.finish(maps, coverage)

    def survey(self, maps: tf.Tensor, seed: tf.Tensor, first: tf.Tensor | int = 0) -> tuple[tf.Tensor, tf.Tensor]:
        """A survey's coverage (n, size, size) and noisy maps (n, size, size, channels), before the last steps."""
        import tensorflow as tf

        mask_seed, noise_seed = tf.unstack(tf.random.split(seed, 2, alg="philox"))
        which = integer_rows(mask_seed, first, tf.shape(maps)[0], (), len(self.masks))
        coverage = tf.gather(tf.constant(self.masks), which)
        depth = None if self.depth is None else tf.gather(tf.constant(self.depth), which)
        inner = slice(self.mass_mapping.margin, self.mass_mapping.margin + self.size)
        return coverage[:, inner, inner], self.mass_mapping(maps, coverage, noise_seed, first, depth)

    def finish(self, maps: tf.Tensor, coverage: tf.Tensor) -> tf.Tensor:
        """Last steps, which simulated and real maps share: mask, mean, smooth, mask, scale.

        The mean of the observed pixels goes where the survey's inversion of each patch left it undetermined.
        Maps are scaled up by the root of the observed part of their area: the power of a masked map goes with that
        part, and a network without the scaling would take a full map for one with more signal.
        """
        import tensorflow as tf

        if self.observed == "plain":
            return maps
        if self.observed == "standardised":
            return self._standardise(maps)
        used = tf.cast(coverage >= USED, tf.float32)[..., None]
        maps = maps * used
        if self.removed:
            seen = tf.maximum(tf.reduce_sum(used, axis=(1, 2), keepdims=True), 1.0)
            maps = (maps - tf.reduce_sum(maps, axis=(1, 2), keepdims=True) / seen) * used
        if self.beam is not None:
            maps = tf.math.real(filter_complex(maps, self.beam)) * used
        fraction = tf.reduce_mean(used, axis=(1, 2, 3), keepdims=True)
        return maps * tf.constant(self.scale, tf.float32) * tf.math.rsqrt(tf.maximum(fraction, 1 / self.size**2))

    def _standardise(self, maps: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        # float32 squares of a faint field underflow gently; its own largest value keeps them in range
        maps = maps / tf.reduce_max(tf.abs(maps), axis=(1, 2), keepdims=True)
        return maps / tf.math.reduce_std(maps, axis=(1, 2), keepdims=True)


def observe(cfg: Config, maps: np.ndarray, seed: int, batch: int = 256) -> np.ndarray:
    """What the network sees of noise-free maps: noise, mask, smoothing, scaling.

    Parameters
    ----------
    maps : (n, size, size, channels) noise-free maps in physical units
    seed : of noise and mask choice, 0 or more
    batch : maps that are observed at once; without influence on the result

    Returns
    -------
    (n, size, size, channels) float32; `lensing`: in units of the noise of a fully covered pixel, one fixed scale per
    bin; `grf`: each map in units of its own standard deviation; `2lpt`: the density contrast as it is
    """
    maps = checked.maps(cfg, maps, varied=checked.checked_config(cfg).kind.observed == "standardised")
    seed, batch = arguments.whole("seed", seed, most=arguments.LARGEST), arguments.whole("batch", batch, 1)
    return observed_by(Observer(cfg), maps, seed, batch)


def observed_by(observer: Observer, maps: np.ndarray, seed: int, batch: int = 256) -> np.ndarray:
    """Maps (n, size, size, channels) as an observer shows them, with the noise of `seed`; `batch` of them at once."""
    pair = np.array([seed, 0], np.int64)
    return in_batches(lambda part, i: observer(part, pair, i[0]), (maps, np.arange(len(maps))), batch)


def in_batches(function: Any, arrays: tuple[np.ndarray, ...], batch: int) -> np.ndarray:
    """Apply a TensorFlow function to arrays of equal length, batch by batch."""
    import tensorflow as tf

    parts = range(0, len(arrays[0]), batch)
    return np.concatenate([function(*(tf.constant(a[i : i + batch]) for a in arrays)).numpy() for i in parts])

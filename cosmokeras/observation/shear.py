"""Convergence of a catalogue's shear in flat pixels, by Kaiser & Squires (1993) on the plane (`made_from: shear`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.observation.operations import USED, filter_complex, partial_pixel_noise
from cosmokeras.observation.random_rows import normal_rows
from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN

if TYPE_CHECKING:
    import tensorflow as tf

    from cosmokeras.params.config import Config


class FlatKaiserSquires:
    """Shear in flat pixels, with shape noise and mask, and back by Kaiser-Squires.

    Each patch is inverted by itself, or as part of a field that continues beyond it: padded by its mirror images,
    `margin` pixels wide, so that the periodic boundary stays outside. The mean of such a patch is a mode of the field
    longer than the patch.
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
        """See `mass_mapping.MassMapping`."""
        import tensorflow as tf

        around = [[0, 0], [self.margin, self.margin], [self.margin, self.margin], [0, 0]]
        shear = filter_complex(tf.pad(maps, around, "SYMMETRIC"), self.to_shear)
        noise = normal_rows(seed, first, tf.shape(maps)[0], (2, self.wide, self.wide, len(self.sigma)))
        noise *= (tf.constant(self.sigma, tf.float32) * partial_pixel_noise(coverage, depth))[:, None]
        used = tf.cast(coverage >= USED, tf.complex64)[..., None]
        shear = (shear + tf.complex(noise[:, 0], noise[:, 1])) * used
        kappa = tf.math.real(filter_complex(shear, np.conj(self.to_shear)))
        inner = slice(self.margin, self.margin + self.size)
        return kappa[:, inner, inner]

"""Convergence of a catalogue's shear in flat pixels, by Kaiser & Squires (1993) on the plane (`made_from: shear`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


class FlatKaiserSquires:
    """Shear in flat pixels, with shape noise and mask, and back by Kaiser-Squires.

    Each patch is inverted by itself, or as part of a field that continues beyond it: padded by its mirror images,
    `margin` pixels wide, so that the periodic boundary stays outside. The mean of such a patch is a mode of the field
    longer than the patch.
    """

    def __init__(self, cfg: Config) -> None:
        self.size = cfg.data.size
        self.margin = MARGIN if cfg.survey.inversion == "field" else 0
        self.wide = self.size + 2 * self.margin
        self.to_shear = spin2_phase((self.wide, self.wide))
        if self.margin:
            self.to_shear[0, 0] = 1.0
        self.noise_power = np.ones((self.size, self.size))

"""What the forward model of a survey is made of: shape noise, masks, mass mapping, smoothing, scaling.

Arrays alone; `observation.ops` does with them what a survey does to a map.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.observation.masks import survey_depth, survey_masks
from cosmokeras.observation.mass_mapping import mass_mapping
from cosmokeras.params.config import Config


def noise_sigma(cfg: Config) -> np.ndarray:
    """Shape noise per pixel and bin, sigma_e / sqrt(n_eff A_pix), shape (bins,)."""
    return cfg.survey.sigma_e / np.sqrt(cfg.survey.n_eff * cfg.pixel_arcmin**2)


def pixel_noise(cfg: Config) -> np.ndarray:
    """Noise of an observed, fully covered pixel before smoothing, per bin: less than white where pixels share noise."""
    sigma = noise_sigma(cfg)
    return sigma * np.sqrt(mass_mapping(cfg).noise_power.mean())


class Observer:
    """Constants of a survey, from the parameters alone.

    `observed` is what is done to a map: by a `survey`, `standardised` or nothing (`plain`). A removed mean goes where
    the survey's inversion of each patch left it undetermined.
    """

    def __init__(self, cfg: Config) -> None:
        self.observed = cfg.kind.observed
        self.size = cfg.data.size
        self.channels = cfg.channels
        if self.observed == "survey":
            self.sigma = noise_sigma(cfg)
            self.mass_mapping = mass_mapping(cfg)
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

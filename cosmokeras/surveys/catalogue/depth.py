"""Depth of a catalogue as training masks take it: coverage, and noise of each pixel over the survey's.

A pixel's noise is that of its own galaxies, turned at random: with weights w and ellipticities e, in units of shear,
sigma^2 = sum w^2 |e|^2 / (2 (sum w)^2) per component, the mean over all rotations. Divided by the survey's
sigma_e / sqrt(n_eff A) it is 1 where the survey is as deep as its preset says.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation.masks import MEDIAN_NOISE_FACTOR


def relative_noise(noise: np.ndarray, expected: np.ndarray, name: str) -> np.ndarray:
    """Noise of pixels over that of the preset, the rms of all bins; 1 where nothing was observed.

    Parameters
    ----------
    noise : (bins, ...) of the shear per component, inf without galaxies
    expected : (bins,) that of the preset for such pixels
    name : of the preset, for messages

    Raises
    ------
    UserError : most pixels are three times as noisy as the preset says, or a third
    """
    ratio = noise / expected.reshape(-1, *[1] * (noise.ndim - 1))
    together = np.sqrt(np.mean(ratio**2, axis=0))
    seen = np.isfinite(together) & (together > 0)
    median = float(np.median(together[seen])) if seen.any() else np.inf
    if not 1 / MEDIAN_NOISE_FACTOR <= median <= MEDIAN_NOISE_FACTOR:
        raise UserError(
            f"shear catalogue: the noise of most pixels is {median:.3g} times that of lensing.survey={name}; it must "
            f"be within a factor of {MEDIAN_NOISE_FACTOR:g}: check n_eff and sigma_e, which "
            "`python -m cosmokeras.surveys.catalogue.preset` measures"
        )
    return np.where(seen, together, 1.0)

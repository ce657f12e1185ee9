"""Effective number density and shape noise of a catalogue, by two definitions, which must not be mixed.

heymans   n_eff = (sum w)^2 / (A sum w^2); sigma_e^2 = sum w^2 |e|^2 / (2 sum w^2), measurement noise included (Heymans
          et al. 2012, MNRAS 427, 146).
chang     sigma_e is the scatter of intrinsic shapes alone, sigma_e^2 = sum w^2 (|e|^2 - 2 sigma_m^2) / (2 sum w^2), and
          n_eff the number of galaxies without measurement noise that a mean shear is as noisy with, n_eff = sigma_e^2
          (sum w)^2 / (A sum w^2 (sigma_e^2 + sigma_m^2)) (Chang et al. 2013, MNRAS 434, 2121, with the weights of Gatti
          et al. 2021, MNRAS 504, 4312, eq. 10).

Ellipticities are in units of the shear: over response and 1 + m. Either pair gives the same noise sigma_e / sqrt(n_eff
A) of a pixel; a value of one with a value of the other does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.catalogue.calibration import Calibration
from cosmokeras.surveys.catalogue.moments import Moments


class Density(NamedTuple):
    """Of each bin: `n_eff` [1 / arcmin^2] and `sigma_e` per component, (bins,) each."""

    n_eff: np.ndarray
    sigma_e: np.ndarray


def heymans(moments: Moments, calibration: Calibration, area: float) -> Density:
    """Density and shape noise with measurement noise; `area` [arcmin^2]."""
    n_eff = moments["w"] ** 2 / moments["w2"] / area
    return Density(n_eff, np.sqrt(0.5 * moments["w2ee"] / moments["w2"]) * calibration.scale)


def chang(moments: Moments, calibration: Calibration, area: float) -> Density:
    """Density and shape noise of intrinsic shapes; `area` [arcmin^2]. Needs the column `sigma_m`."""
    if "w2mm" not in moments:
        raise UserError("shear catalogue: the definition of Chang et al. needs the column columns.sigma_m")
    scale2 = calibration.scale**2
    measured = moments["w2mm"] / moments["w2"] * scale2
    variance = 0.5 * moments["w2ee"] / moments["w2"] * scale2 - measured
    if not (variance > 0).all():
        raise UserError("shear catalogue: sigma_m is larger than the scatter of e; check columns.sigma_m")
    n_eff = moments["w"] ** 2 / moments["w2"] * variance / (variance + measured) / area
    return Density(n_eff, np.sqrt(variance))

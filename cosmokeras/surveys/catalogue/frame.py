"""What E and B modes say of a catalogue: is there signal, are there systematics, are the signs of e1 and e2 right?

Lensing makes E modes alone, and noise as much E as B. With the wrong relative sign of e1 and e2 the signal is spread
over both (its spin of 2 is turned round), so the mirrored map tells a wrong sign of a preset from a right one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky.spherical_ks import kaiser_squires_sphere
from cosmokeras.surveys.catalogue.healpix_shear import ShearField

SURE = 5.0  # standard deviations of E over B at which a mirrored map holds the signal, and
APART = 3.0  # those by which it must do so better than the map. COSMOS: 6.5 and 1.8, with the wrong sign 1.8 and 6.5


class Modes(NamedTuple):
    """E and B modes (bins, npix) float32 of a catalogue, 0 outside the footprint, and the numbers of the null tests."""

    e: np.ndarray
    b: np.ndarray
    null_tests: dict[str, float]


def modes(field: ShearField, lmax: int) -> Modes:
    """Kaiser-Squires of all bins, of their mirror image and of rotated galaxies; a mirrored catalogue is refused.

    For each bin N: bin_N_e_excess_sigma and bin_N_b_excess_sigma, the variance of E and of B over that of rotated
    galaxies in standard deviations of these (two for each rotation, so 20 % uncertain with the usual four rotations);
    bin_N_e_minus_b_sigma, the difference of both; bin_N_mirrored_sigma, that of the map with the other sign of g2,
    about 0 where the signs are right; bin_N_mean_sigma, the mean shear in units of its error; bin_N_psf_alpha and its
    bin_N_psf_alpha_error, if there are columns of the PSF; bin_N_depth_sigma, the correlation of kappa and noise. Holes
    and edges of the footprint leak E into B, so that a strong signal gives B an excess, too.
    """
    mask = field.mask()
    e_modes, b_modes, found = [], [], {}
    for i in range(len(field.shear)):
        name = f"bin_{i + 1}"
        g1, g2 = (field.full(one) for one in field.shear[i])
        e, b = (np.where(mask, one, 0.0) for one in kaiser_squires_sphere(g1, g2, lmax))
        noise = np.array([_variances(field, turned[i], lmax, mask) for turned in field.rotated])
        spread = max(float(noise.std(ddof=1)), 1e-30)
        # all without iterations, whose errors of 0.1 % are as large as the scatter of a sky's variance
        here = _variances(field, field.shear[i], lmax, mask)
        mirrored = _variances(field, field.shear[i] * np.array([[1.0], [-1.0]]), lmax, mask)
        found[f"{name}_e_excess_sigma"] = (here[0] - noise.mean()) / spread
        found[f"{name}_b_excess_sigma"] = (here[1] - noise.mean()) / spread
        found[f"{name}_e_minus_b_sigma"] = (here[0] - here[1]) / (np.sqrt(2) * spread)
        found[f"{name}_mirrored_sigma"] = (mirrored[0] - mirrored[1]) / (np.sqrt(2) * spread)
        found |= of_bin(field, i, name)
        found[f"{name}_depth_sigma"] = _depth(e, field, i, mask, lmax)
        e_modes.append(e.astype(np.float32))
        b_modes.append(b.astype(np.float32))
    _must_not_be_mirrored(found, len(e_modes))
    return Modes(np.stack(e_modes), np.stack(b_modes), {name: float(value) for name, value in found.items()})


def _variances(field: ShearField, turned: np.ndarray, lmax: int, mask: np.ndarray) -> list[float]:
    """Variance of E and of B of a shear (2, n); of rotated galaxies both are alike."""
    g1, g2 = (field.full(one) for one in turned)
    return [float(one[mask].var()) for one in kaiser_squires_sphere(g1, g2, lmax, iterations=0)]


def of_bin(field: ShearField, i: int, name: str) -> dict[str, float]:
    """Mean shear and leakage of the PSF."""
    moments, found = field.moments, {}
    error = np.sqrt(0.5 * moments["w2ee"][i]) / moments["w"][i] * field.calibration.scale[i]
    total = field.weight[i].sum()
    mean = (field.shear[i] * field.weight[i]).sum(axis=1) / total
    found[f"{name}_mean_sigma"] = float(np.abs(mean).max() / error)
    if field.calibration.alpha is not None and field.calibration.alpha_error is not None:
        found[f"{name}_psf_alpha"] = float(field.calibration.alpha[i])
        found[f"{name}_psf_alpha_error"] = float(field.calibration.alpha_error[i])
    return found


def _depth(e: np.ndarray, field: ShearField, i: int, mask: np.ndarray, lmax: int) -> float:
    """Correlation of the E mode with the noise of the pixels, times the root of the modes that there are."""
    noise = field.full(np.where(np.isfinite(field.noise[i]), field.noise[i], 0.0))[mask]
    if noise.std() < 1e-6 * noise.mean():
        return 0.0
    modes_seen = min(mask.sum(), (lmax + 1) ** 2 * mask.mean())
    return float(np.corrcoef(e[mask], noise)[0, 1] * np.sqrt(modes_seen))


def _must_not_be_mirrored(found: dict[str, float], bins: int) -> None:
    """The same for bins taken together."""
    root = np.sqrt(bins)
    right = sum(found[f"bin_{i + 1}_e_minus_b_sigma"] for i in range(bins)) / root
    mirrored = sum(found[f"bin_{i + 1}_mirrored_sigma"] for i in range(bins)) / root
    refuse_mirrored(right, mirrored)


def refuse_mirrored(right: float, mirrored: float) -> None:
    """Refuse signs with which the signal is in the mirrored map; both are E over B in standard deviations."""
    if mirrored > SURE and mirrored - right > APART:
        raise UserError(
            f"shear catalogue: E modes exceed B modes by {right:.1f} sigma, but with the other sign of e2 by "
            f"{mirrored:.1f}; turn round the second of catalogue.signs in the preset"
        )

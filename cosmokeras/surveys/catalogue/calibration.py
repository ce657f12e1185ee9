"""From ellipticities to shear, by the calibration of each method.

All are of one form, for mean ellipticities E of any set of galaxies of a bin, with numbers of the bin as a whole:

    g_i = [(E_i - a_i - alpha P_i) / d_i - C_i] / (1 + m)

with the additive bias a and PSF leakage alpha in units of the ellipticity (P: mean ellipticity of the point-spread
function), the response d, the mean C of additive biases that a catalogue gives for each galaxy, and the multiplicative
bias m. Responses and biases are means over the bin, and not over a pixel, where they would be noisy (as for the mass
maps of Jeffrey et al. 2021, MNRAS 505, 4626). They are right on average: where a response changes with depth, shear of
shallow pixels is off by as much (4 % in the mock catalogues of the tests). What each method takes for them:

none      d = 1, m = 0.
metacal   d_i = <R_ii> + <R_S,ii>: the mean response of the shapes and that of the selection, which is the difference of
          the mean e_i of galaxies selected on images sheared by +step and by -step in component i, over 2 step (Sheldon
          & Huff 2017, ApJ 841, 24; Gatti et al. 2021, MNRAS 504, 4312). Off-diagonal responses are left out, as there.
metadetect d_i: the difference of mean e_i of the galaxies that are detected, measured and selected on images sheared by
          +step and by -step, each kind in a table of its own, over 2 step (Sheldon et al. 2020, ApJ 902, 138).
lensfit   d = 1, m and a = c of each bin (Giblin et al. 2021, A&A 645, A105: c is the weighted mean ellipticity of the
          bin; Kannawadi et al. 2019, A&A 624, A92: m from image simulations).
regauss   d = 2 R with the responsivity R = 1 - <e_rms^2>, of distortions with rms e_rms per component; m = <m> and C
          the means over galaxies (Mandelbaum et al. 2018, PASJ 70, S25; Li et al. 2022, PASJ 74, 421).
anacal    d_i = <w de_i/dg_i + e_i dw/dg_i> / <w>: the response of the weighted ellipticity (Li & Mandelbaum 2023, MNRAS
          521, 4904; Li et al. 2024, arXiv:2306.16683).

Means are weighted. With `subtract_mean` a is the mean of e - alpha P over the bin: there is no mean shear on a sky
large enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import SHEARED, Anacal, Catalogue, Lensfit, Metacal, Metadetect, Regauss
from cosmokeras.surveys.catalogue.moments import Moments

LEAST_RESPONSE = 0.05  # of a method that measures shear at all


@dataclass(frozen=True)
class Calibration:
    """Numbers of each bin: `response` d (bins, 2), `additive` a (bins, 2), `leakage` alpha (bins,), `m` (bins,).

    `selection` is the part of d that the selection has, (bins, 2); `alpha`, `alpha_error` (bins,) the PSF leakage that
    is measured, if there are columns for it, whether or not it is taken off; the error is of shape noise alone, and a
    PSF that varies smoothly correlates with the shear of a sky by chance, too.
    """

    response: np.ndarray
    additive: np.ndarray
    leakage: np.ndarray
    m: np.ndarray
    selection: np.ndarray | None = None
    alpha: np.ndarray | None = None
    alpha_error: np.ndarray | None = None

    def shear(self, e: np.ndarray, psf: np.ndarray | None = None, c: np.ndarray | None = None) -> np.ndarray:
        """Shear of mean ellipticities (bins, 2, ...); `psf` and `c` are means of the same galaxies, of that shape."""
        more = (slice(None), slice(None), *[None] * (e.ndim - 2))
        out = e - self.additive[more]
        if psf is not None and self.leakage.any():
            out = out - self.leakage[:, None][more] * psf
        out = out / self.response[more]
        if c is not None:
            out = out - c
        return np.asarray(out / (1 + self.m[:, None][more]))

    def of_bin(self, number: int) -> Calibration:
        """That of one bin, counted from 0."""
        one = slice(number, number + 1)
        return Calibration(self.response[one], self.additive[one], self.leakage[one], self.m[one])

    @property
    def scale(self) -> np.ndarray:
        """Shear over ellipticity, (bins,): the mean of the two components."""
        return np.asarray(1 / (self.response.mean(axis=1) * (1 + self.m)))

    def words(self) -> dict[str, Any]:
        """For the provenance."""
        found: dict[str, np.ndarray | None] = {"response": self.response, "additive": self.additive, "m": self.m}
        found |= {"psf_leakage": self.leakage, "selection_response": self.selection}
        found |= {"alpha": self.alpha, "alpha_error": self.alpha_error}
        return {name: np.round(one, 7).tolist() for name, one in found.items() if one is not None}


def calibration(layout: Catalogue, moments: Moments) -> Calibration:
    """What the method of the preset makes of the sums of a whole catalogue."""
    moments.check()
    method, bins = layout.calibration, moments.bins
    response, m, additive = np.ones((bins, 2)), np.zeros(bins), np.zeros((bins, 2))
    selection = None
    if isinstance(method, Metacal):
        response = moments.pair("wr")
        if method.selected:
            selection = _response_to_shear(layout, moments, method.step)
            response = response + selection
    elif isinstance(method, Metadetect):
        response = _response_to_shear(layout, moments, method.step)
    elif isinstance(method, Anacal):
        response = moments.pair("wr") + (moments.pair("dwe") if "dwe1" in moments else 0.0)
    elif isinstance(method, Regauss):
        response = np.repeat(2 * (1 - moments.mean("wrms2"))[:, None], 2, axis=1)
        m = moments.mean("wm") if "wm" in moments else m
    elif isinstance(method, Lensfit):
        m = np.array(method.m)
    if (response < LEAST_RESPONSE).any() or (1 + m < LEAST_RESPONSE).any():
        listed = ", ".join(f"{one:.3g}" for one in response.mean(axis=1) * (1 + m))
        raise UserError(f"shear catalogue: responses of the bins are {listed}; check the columns of calibration")
    alpha, alpha_error = _psf_leakage(moments) if "wpp" in moments else (None, None)
    leakage = np.zeros(bins)
    if layout.psf_leakage == "measured" and alpha is not None:
        leakage = alpha
    elif layout.psf_leakage is not None:
        leakage = np.array(layout.psf_leakage, float)
    if isinstance(method, Lensfit) and method.c is not None:
        additive = np.array(method.c)
    elif isinstance(method, Lensfit) or method.subtract_mean:
        additive = moments.pair("we") - (leakage[:, None] * moments.pair("wp") if "wp1" in moments else 0.0)
    return Calibration(response, additive, leakage, m, selection, alpha, alpha_error)


def _response_to_shear(layout: Catalogue, moments: Moments, step: float) -> np.ndarray:
    """(<e_i> under +step - <e_i> under -step) / (2 step), (bins, 2), where means are of what each shear selects.

    The artificial shear has the signs of the catalogue, e_i those of the sky.
    """
    means = {key: moments[f"we_{key}"] / moments[f"w_{key}"] for key in SHEARED}
    both = [(means[f"{i}p"] - means[f"{i}m"]) / (2 * step) for i in "12"]
    return np.stack(both, axis=1) * np.array(layout.signs)


def _psf_leakage(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Slope of e over e_psf with an intercept, both components together, and its error, (bins,) each."""
    e, p = moments.pair("we"), moments.pair("wp")
    spread = moments.mean("wpp") - (p**2).sum(axis=1)
    if not (spread > 1e-10 * moments.mean("wpp")).all():
        raise UserError("shear catalogue: the ellipticity of the PSF does not vary; check columns.psf_e1 and psf_e2")
    alpha = (moments.mean("wep") - (e * p).sum(axis=1)) / spread
    shape = 0.5 * moments["w2ee"] / moments["w"] ** 2  # variance of a mean ellipticity per component
    return alpha, np.sqrt(shape / spread)

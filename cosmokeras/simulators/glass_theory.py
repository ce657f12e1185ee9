"""Theory that full-sky maps of GLASS need: the background cosmology and Limber spectra, both of CCL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.params.survey import Survey
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.bispectrum import LinearMatter
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.lognormal_shift import MATCHED, matched_shifts
from cosmokeras.theory.third_moment import lognormal_moments, third_moment

if TYPE_CHECKING:
    import pyccl as ccl


@dataclass(frozen=True)
class Background:
    """The flat background of a CCL cosmology under the names that GLASS asks for; distances in Mpc."""

    theory: ccl.Cosmology
    Omega_m0: float
    hubble_distance: float

    def comoving_distance(self, z: float | np.ndarray) -> np.ndarray:
        """Comoving distance to `z` [Mpc]."""
        return self.theory.comoving_radial_distance(1 / (1 + np.asarray(z, float)))

    def transverse_comoving_distance(self, z: Any, z2: Any = None) -> np.ndarray:
        """Comoving distance to `z`, or from `z` to `z2` [Mpc]; the same as the radial one, as space is flat."""
        return self.comoving_distance(z) if z2 is None else self.comoving_distance(z2) - self.comoving_distance(z)

    def inv_comoving_distance(self, chi: float | np.ndarray) -> np.ndarray:
        """Redshift at the comoving distance `chi` [Mpc]."""
        return 1 / self.theory.scale_factor_of_chi(np.asarray(chi, float)) - 1

    def H_over_H0(self, z: float | np.ndarray) -> np.ndarray:
        """Expansion rate in units of today's."""
        return self.theory.h_over_h0(1 / (1 + np.asarray(z, float)))


def background(cosmology: dict[str, float]) -> Background:
    """Background for GLASS of a cosmology of FIDUCIAL's keys; the CCL object goes along as `.theory`."""
    import pyccl as ccl

    hubble_distance = ccl.physical_constants.CLIGHT_HMPC / cosmology["h"]  # c / H0 [Mpc]
    return Background(ccl_cosmology(cosmology), cosmology["omega_m"], hubble_distance)


def shell_spectra(flat: Background, shells: list[Any], lmax: int, nodes: int = 24) -> list[np.ndarray]:
    """Angular spectra of the mean overdensity in each shell, 0 <= ell <= lmax, in GLASS' order without the crosses.

    Limber: C_ell = int dchi w(chi)^2 / chi^2 P((ell + 1/2) / chi, chi), w(chi) = w(z) H(z) / c with unit integral,
    P of halofit. Limber takes shells that do not overlap as independent; only so do they sum up to the Limber spectrum
    of the convergence, which is better than 1 % for the wide lensing kernel at ell > 20 (Kilbinger et al. 2017, MNRAS
    472, 2126) though not for a single shell. The monopole is set to 0.
    """
    power = flat.theory.get_nonlin_power()
    x, gauss = np.polynomial.legendre.leggauss(nodes)
    ell = np.arange(lmax + 1)
    spectra: list[np.ndarray] = []
    for number, shell in enumerate(shells):
        near, far = flat.comoving_distance(shell.za[[0, -1]])
        chi = 0.5 * (near + far) + 0.5 * (far - near) * x
        z = flat.inv_comoving_distance(chi)
        window = np.interp(z, shell.za, shell.wa) / np.trapezoid(shell.wa, shell.za)
        window *= flat.H_over_H0(z) / flat.hubble_distance
        weights = 0.5 * (far - near) * gauss * (window / chi) ** 2
        cl = sum(w * power((ell + 0.5) / c, 1 / (1 + one)) for w, c, one in zip(weights, chi, z, strict=True))
        cl[0] = 0.0
        spectra += [cl] + [np.array([])] * number  # GLASS' order: (i, i), (i, i - 1), ... (i, 0)
    return spectra


def bihalofit_shifts(flat: Background, shells: list[Any], pixel_arcmin: float, nodes: int = 4) -> dict[float, float]:
    """Lognormal shifts by effective redshift of shells that are uniform in redshift, of BiHalofit's third moments."""
    theory, h = flat.theory, flat.theory["h"]
    x, gauss = np.polynomial.legendre.leggauss(nodes)
    edges = flat.comoving_distance(np.concatenate([shell.za[[0, -1]] for shell in shells])).reshape(-1, 2) * h
    chi = edges.mean(axis=1, keepdims=True) + np.diff(edges, axis=1) / 2 * x
    dchi = np.diff(edges, axis=1) / 2 * gauss
    z = flat.inv_comoving_distance(chi.ravel() / h)
    inside = flat.H_over_H0(z).reshape(chi.shape) * dchi
    inside /= inside.sum(axis=1, keepdims=True)
    k = np.geomspace(1e-4, 50.0, 800)
    linear = theory.linear_matter_power(k * h, 1.0) * h**3
    a = 1 / (1 + z)
    growth, omega_m = theory.growth_factor(a), theory.omega_x(a, "matter")
    matter = LinearMatter(k, linear, theory["n_s"], theory["sigma8"], z, growth, omega_m)
    wave = np.geomspace(1e-5, 1e3, 1500)
    non_linear = np.array([theory.nonlin_matter_power(wave * h, one) for one in a]) * h**3
    at = {float(one): np.log(row) for one, row in zip(z, non_linear, strict=True)}

    def power(k: np.ndarray, z: np.ndarray) -> np.ndarray:
        rows = zip(k, np.ravel(z), strict=True)
        return np.exp([np.interp(np.log(row), np.log(wave), at[float(one)]) for row, one in rows])

    radius = chi.ravel() * MATCHED * pixel_arcmin * ARCMIN
    moments = (third_moment(matter, power, radius), *lognormal_moments(power, radius, z))
    third, pairs, triples = (one.reshape(chi.shape) for one in moments)
    shifts = matched_shifts((third, pairs, triples), inside, dchi)
    return {shell.zeff: float(shift) for shell, shift in zip(shells, shifts, strict=True)}


def theory_cl(cosmology: dict[str, float], survey: Survey, ell: np.ndarray) -> np.ndarray:
    """Spectra of convergence by CCL (Limber, halofit), shape (bins, bins, len(ell)), without a pixel window; ell >= 2.

    CCL's lensing tracer is that of shear. Its spectra hold (ell + 2)! / (ell - 2)! / (ell + 1/2)^4 (Kilbinger et al.
    2017, MNRAS 472, 2126), which sums of shells, as our skies are made, do not have: 1.6 % below 1 at ell = 12, 0.3 %
    at 30. It is divided out.
    """
    import pyccl as ccl

    ell = np.asarray(ell, float)
    if (ell < 2).any():
        msg = f"shear has multipoles from 2 on, got ell = {ell.min():g}"
        raise ValueError(msg)
    theory = ccl_cosmology(cosmology)
    z = np.linspace(0.0, survey.z_max, 1501)
    tracers = [ccl.WeakLensingTracer(theory, dndz=(z, one)) for one in survey.n_z(z)]
    shear = np.array([[ccl.angular_cl(theory, one, two, ell) for two in tracers] for one in tracers])
    return shear / ((ell + 2) * (ell + 1) * ell * (ell - 1) / (ell + 0.5) ** 4)

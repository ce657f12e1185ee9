"""Shells of lognormal matter on the whole periodic grid, and what CCL says about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyccl
from scipy import fft
from tqdm import tqdm

from cosmokeras.params.config import Config
from cosmokeras.params.neutrinos import omega_nu
from cosmokeras.simulators import lensing, realisations
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.limber import PIVOT
from cosmokeras.theory.third_moment import triangles

BANDS = np.array([100.0, 220, 400, 700, 1100, 1500, 2000])


def ccl_angular_cl(cfg: Config, theta: float | Sequence[float], ell: np.ndarray) -> np.ndarray:
    """C_ell of *convergence* from CCL alone, (bins, bins, n_ell), at one row of free parameters, nuisances included.

    CCL's lensing tracer is that of shear: its spectra hold (ell + 2)! / (ell - 2)! / (ell + 1/2)^4 (Kilbinger et al.
    2017, MNRAS 472, 2126), 0.27 % below 1 at ell = 30, which convergence on a flat sky does not have; it is divided
    out. CCL's default adaptive quadrature is up to 0.7 % off at isolated ell (e.g. Omega_m 0.2775, bins 1 and 3, ell
    57.7), its spline method is not.
    """
    values = cfg.cosmology(np.atleast_1d(theta))
    cosmo = cosmology_of_ccl(cfg, values)
    z = np.linspace(0, cfg.survey.z_max, 1501)
    moved = [np.interp(z - dz, z, n, left=0.0) for dz, n in zip(values["delta_z"], cfg.survey.n_z(z), strict=True)]
    alignment = values["a_ia"] * ((1 + z) / (1 + PIVOT)) ** values["eta_ia"]
    more = {"ia_bias": (z, alignment)} if values["a_ia"] else {}
    tracers = [pyccl.WeakLensingTracer(cosmo, dndz=(z, n), n_samples=1024, **more) for n in moved]
    power = cosmo.get_nonlin_power()
    if values["baryons"]:
        if values["baryons"] != 1:
            raise ValueError("CCL knows this model of baryons at full strength only")
        power = pyccl.BaryonsSchneider15().include_baryonic_effects(cosmo, power)
    options = {"p_of_k_a": power, "limber_integration_method": "spline"}
    shear = np.array([[pyccl.angular_cl(cosmo, a, b, ell, **options) for a in tracers] for b in tracers])
    calibration = np.outer(1 + values["m_bias"], 1 + values["m_bias"])[:, :, None]
    return calibration * shear / ((ell + 2) * (ell + 1) * ell * (ell - 1) / (ell + 0.5) ** 4)


def cosmology_of_ccl(cfg: Config, values: dict[str, Any]) -> pyccl.Cosmology:
    """CCL's cosmology with the non-linear power, the neutrinos and HMCode's baryons of the parameters."""
    hmcode = cfg.theory.nonlinear == "hmcode2020"
    if not hmcode and not values["m_nu"]:
        return ccl_cosmology(values)
    camb: dict[str, Any] = {"kmax": 30.0}
    if hmcode:
        camb["halofit_version"] = "mead2020" if values["log_t_agn"] is None else "mead2020_feedback"
    if values["log_t_agn"] is not None:
        camb["HMCode_logT_AGN"] = values["log_t_agn"]
    rest = {name: values[name] for name in ("h", "n_s", "sigma8", "w0", "m_nu")}
    return pyccl.Cosmology(
        Omega_c=values["omega_m"] - values["omega_b"] - omega_nu(values["m_nu"], values["h"]),
        Omega_b=values["omega_b"],
        mass_split="equal",
        transfer_function="boltzmann_camb",
        matter_power_spectrum="camb" if hmcode else "halofit",
        extra_parameters={"camb": camb},
        **rest,
    )


class Case:
    """Shells of one cosmology on the whole periodic grid, and what CCL says about them."""

    def __init__(self, cfg: Config, theta: Sequence[float]) -> None:
        self.cfg, self.theta = cfg, np.array(theta)
        self.pixel = cfg.pixel_arcmin * ARCMIN
        self.grid = lensing.prepare(cfg)
        self.n = self.grid.n
        self.ell = wavenumbers(self.n, self.pixel)
        self.planes = lensing.shells(cfg, self.grid, self.theta)
        ell = np.geomspace(30, 3100, 150)
        cl, log_ell = ccl_angular_cl(cfg, theta, ell), np.log(self.ell.clip(30))
        self.ccl = self.bands(np.array([[np.interp(log_ell, np.log(ell), pair) for pair in row] for row in cl]))

    def bands(self, power: np.ndarray) -> np.ndarray:
        """Means over the modes of each band, (..., bands), of something on the grid of rfft2."""
        # every mode of rfft2 stands for two, but those of the first and last column for one
        weight = np.full(self.ell.shape, 2.0)
        weight[:, [0, -1]] = 1.0
        inside = [(self.ell >= low) & (self.ell < high) for low, high in itertools.pairwise(BANDS)]
        return np.stack([(power * weight)[..., i].sum(-1) / weight[i].sum() for i in inside], axis=-1)

    def measured(self, maps: np.ndarray) -> np.ndarray:
        """Spectra of maps (bins, n, n), (bins, bins, bands)."""
        modes = fft.rfft2(maps) * (self.pixel / self.n)
        return self.bands((modes[:, None] * modes[None].conj()).real)

    def expected(self) -> np.ndarray:
        """Exact mean spectra of the maps: the correlation of exp(g - var/2) - 1 is exp(that of g) - 1."""
        shell_power = fft.rfft2(self.correlation()).real * self.pixel**2
        w = self.planes.weights
        return self.bands(np.einsum("as,bs,syx->abyx", w, w, shell_power))

    def correlation(self) -> np.ndarray:
        """Exact correlation of the density of each shell on the grid, (shells, n, n)."""
        power = self.planes.amplitudes.astype(float) ** 2
        power[..., [0, -1]] /= 2  # of what is drawn there, irfft2 keeps half
        xi = fft.irfft2(power / self.n**2, s=(self.n, self.n))
        return np.expm1(xi) * self.planes.shift[:, None, None] ** 2

    def smoothed_skewness(self, smoothing_arcmin: float) -> np.ndarray:
        """Exact skewness of each bin, (bins,), of maps smoothed by a Gaussian of that standard deviation.

        Of three points whose separations are distributed as the Gaussian says, and of the lognormal's correlation of
        three points (`theory.third_moment.lognormal_moments`).
        """
        side = smoothing_arcmin * ARCMIN
        window, modes = np.exp(-((self.ell * side) ** 2) / 2), fft.rfft2(self.correlation())
        gauss, smooth = (fft.irfft2(one, s=(self.n, self.n)) for one in (window, modes * window))
        second = np.einsum("yx,syx->s", gauss, smooth)
        pairs = np.einsum("yx,syx->s", gauss, smooth**2)
        along = np.full(self.n // 2 + 1, 2.0)
        along[[0, -1]] = 1.0
        wave = 2 * np.pi * np.arange(self.n // 2 + 1) / (self.n * self.pixel)
        sides, share = triangles()
        lags = np.linspace(0.0, sides.max(), 400)
        xi = (modes.real.sum(axis=1) * along) @ np.cos(np.outer(wave, lags * side)) / self.n**2
        triples = np.array([np.prod(np.interp(sides, lags, one), axis=0) @ share for one in xi])
        third = 3 * pairs / self.planes.shift + triples / self.planes.shift**3
        return (self.planes.weights**3 @ third) / (self.planes.weights**2 @ second) ** 1.5

    def skewness(self) -> np.ndarray:
        """Exact skewness of the pixels of each bin, (bins,): shells are independent, and their moments add up."""
        shift, contrast = self.planes.shift, np.expm1(self.planes.variance)
        second = shift**2 * contrast
        third = shift**3 * (contrast**3 + 3 * contrast**2)
        return (self.planes.weights**3 @ third) / (self.planes.weights**2 @ second) ** 1.5

    def of_maps(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean spectra of simulated maps of the whole grid, and their standard errors."""
        whole = self.cfg.model_copy(update={"data": self.cfg.data.model_copy(update={"size": self.n})})
        spectra = []
        for start in tqdm(range(0, count, 20), desc=f"maps at {self.theta.round(2)}"):
            draw = realisations(0, 9, start)
            maps = lensing.maps(whole, self.grid, self.theta, draw, min(20, count - start))
            spectra += [self.measured(np.moveaxis(one, -1, 0)) for one in maps]
        return np.mean(spectra, axis=0), np.std(spectra, axis=0) / np.sqrt(count)

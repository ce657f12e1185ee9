"""Priors, background and linear growth, BBKS, and CCL's matter power spectrum as a table over the prior box."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.stats import qmc
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cosmokeras.code import code_fingerprint
from cosmokeras.config import Config, fingerprint
from cosmokeras.files import atomic, work_folder

if TYPE_CHECKING:
    import pyccl


def sample_prior(cfg: Config, n: int, seed: int) -> np.ndarray:
    """Draw `n` cosmologies from the prior box, shape (n, p) float64, columns `cfg.parameter_names`.

    A scrambled Sobol sequence (scipy.stats.qmc): every draw is uniform in the box, and together they fill it evenly.
    """
    sampler = qmc.Sobol(d=len(cfg.parameter_names), scramble=True, rng=np.random.default_rng(seed))
    # powers of two keep the sequence balanced; the rest is thrown away
    unit = sampler.random_base2(max(int(np.ceil(np.log2(max(n, 1)))), 0))[:n]
    low, high = cfg.bounds.T
    return low + (high - low) * unit


def bbks_transfer(q: np.ndarray) -> np.ndarray:
    """Transfer function of cold dark matter, T(q) with q = k / (Omega_m h), k in h/Mpc.

    Bardeen, Bond, Kaiser & Szalay 1986, ApJ 304, 15, eq. (G3).
    """
    q = np.asarray(q, dtype=float)
    x = 2.34 * q
    small = x < 1e-6
    log_term = np.where(small, 1.0 - x / 2, np.log1p(x) / np.where(small, 1.0, x))
    return log_term * (1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4) ** -0.25


def bbks_power(k: np.ndarray, omega_m: float, h: float, n_s: float) -> np.ndarray:
    """Spectrum k^n_s T(k / (Omega_m h))^2 with unit amplitude; k in h/Mpc, 0 at k = 0."""
    k = np.asarray(k, dtype=float)
    return np.where(k > 0, np.where(k > 0, k, 1.0) ** n_s, 0.0) * bbks_transfer(k / (omega_m * h)) ** 2


def ccl_cosmology(values: dict[str, float], transfer: str = "boltzmann_camb") -> pyccl.Cosmology:
    """Flat wCDM of CCL (Chisari et al. 2019, ApJS 242, 2) with massless neutrinos and halofit.

    Halofit is that of Takahashi et al. 2012 (ApJ 761, 152).
    """
    import pyccl

    return pyccl.Cosmology(
        Omega_c=values["omega_m"] - values["omega_b"],
        Omega_b=values["omega_b"],
        h=values["h"],
        n_s=values["n_s"],
        sigma8=values["sigma8"],
        w0=values["w0"],
        m_nu=0.0,
        transfer_function=transfer,
        matter_power_spectrum="halofit",
    )


@dataclass(frozen=True)
class Background:
    """Distances of one cosmology: `z` increasing from 0, `chi` comoving [Mpc/h]; both (n,)."""

    z: np.ndarray
    chi: np.ndarray
    omega_m: float

    def z_of(self, chi: np.ndarray) -> np.ndarray:
        """Redshift at comoving distance `chi` [Mpc/h]."""
        return np.interp(chi, self.chi, self.z)


# Nodes of the table: k in h/Mpc, denser where baryons wiggle.
_K = np.unique(np.concatenate([np.geomspace(1e-4, 0.02, 25), np.geomspace(0.02, 0.5, 90), np.geomspace(0.5, 100, 40)]))


@dataclass(frozen=True)
class TheoryTable:
    """CCL's distances and non-linear P(k, z) over the prior box, as polynomials in the free parameters.

    `bounds` (p, 2) is the box, `powers` (terms, p) the Chebyshev degrees; `log_power` (terms, n_k, n_z) gives
    ln P [(Mpc/h)^3] at nodes in k [h/Mpc] and z; `log_distance` (terms, n_z - 1) gives ln(chi / z) [Mpc/h] at z > 0.
    """

    k: np.ndarray
    z: np.ndarray
    bounds: np.ndarray
    powers: np.ndarray
    log_power: np.ndarray
    log_distance: np.ndarray

    def power(self, theta: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """P(k, z) [(Mpc/h)^3] of one row of free parameters; k in h/Mpc; arguments broadcast.

        Beyond the last node in k the spectrum goes on as a power law.
        """
        log_k = np.log(self.k)
        spline = RectBivariateSpline(log_k, self.z, np.tensordot(self._terms(theta), self.log_power, 1))

        def power(k: np.ndarray, z: np.ndarray) -> np.ndarray:
            x, z = np.broadcast_arrays(np.log(k), z)
            log_p = spline.ev(np.clip(x, log_k[0], log_k[-1]), z)
            beyond = x > log_k[-1]
            if beyond.any():
                far = z[beyond]
                slope = (spline.ev(log_k[-1], far) - spline.ev(log_k[-2], far)) / (log_k[-1] - log_k[-2])
                log_p[beyond] += slope * (x[beyond] - log_k[-1])
            return np.exp(log_p)

        return power

    def background(self, theta: np.ndarray, omega_m: float) -> Background:
        """Distances of one row of free parameters out to the last node in z."""
        nearby = np.log(2997.92458)  # chi / z is c / H0 at z = 0
        spline = CubicSpline(self.z, np.concatenate([[nearby], self._terms(theta) @ self.log_distance]))
        z = np.linspace(0.0, self.z[-1], 2001)
        return Background(z, z * np.exp(spline(z)), omega_m)

    def _terms(self, theta: np.ndarray) -> np.ndarray:
        return _chebyshev(np.atleast_2d(theta), self.bounds, self.powers)[0]


def _chebyshev(theta: np.ndarray, bounds: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Products of Chebyshev polynomials, (n, terms); logarithmic in theta where that is smoother (positive ranges)."""
    columns = []
    for x, (low, high) in zip(theta.T, bounds, strict=True):
        if low > 0:
            x, low, high = np.log(x), np.log(low), np.log(high)
        columns.append(np.clip(2 * (x - low) / (high - low) - 1, -1.0, 1.0))
    angle = np.arccos(np.array(columns))  # (p, n)
    return np.prod(np.cos(powers.T[:, None, :] * angle[:, :, None]), axis=0)


def _nodes(bounds: np.ndarray, terms: int) -> np.ndarray:
    """Cosmologies to call CCL at, (n, p): the Chebyshev density keeps a polynomial fit stable at the edges."""
    dim = len(bounds)
    if dim == 1:
        unit = (np.arange(terms + 4)[:, None] + 0.5) / (terms + 4)
    else:
        unit = qmc.Sobol(dim, rng=0).random(2 * terms)
    x = (1 - np.cos(np.pi * unit)) / 2
    columns = []
    for one, (low, high) in zip(x.T, bounds, strict=True):
        columns.append(low * (high / low) ** one if low > 0 else low + (high - low) * one)
    return np.array(columns).T


def build_theory_table(cfg: Config, progress: bool = False) -> TheoryTable:
    """Call CCL at nodes over the prior box and fit by Chebyshev polynomials of bounded total degree."""
    dim = len(cfg.parameter_names)
    degree = {1: 11, 2: 8, 3: 6}.get(dim, 5)
    powers = np.array([p for p in itertools.product(range(degree + 1), repeat=dim) if sum(p) <= degree])
    theta = _nodes(cfg.bounds, len(powers))
    z = np.concatenate([np.arange(0, 1.0, 0.05), np.arange(1.0, cfg.survey.z_max + 0.1, 0.1)])
    log_power = np.empty((len(theta), len(_K), len(z)))
    log_distance = np.empty((len(theta), len(z) - 1))
    for i, row in enumerate(tqdm(theta, desc="theory (CCL)", unit="cosmology", disable=not progress)):
        values = cfg.cosmology(row)
        cosmo, h = ccl_cosmology(values), values["h"]
        log_distance[i] = np.log(cosmo.comoving_radial_distance(1 / (1 + z[1:])) * h / z[1:])
        for j, one in enumerate(z):
            log_power[i, :, j] = np.log(cosmo.nonlin_matter_power(_K * h, 1 / (1 + one)) * h**3)
    design = _chebyshev(theta, cfg.bounds, powers)
    with threadpool_limits(1):  # sums in one order, on any number of cores
        power = np.linalg.lstsq(design, log_power.reshape(len(theta), -1), rcond=None)[0]
        distance = np.linalg.lstsq(design, log_distance, rcond=None)[0]
    return TheoryTable(_K, z, cfg.bounds, powers, power.reshape(len(powers), len(_K), len(z)), distance)


def theory_table(cfg: Config, progress: bool = False) -> TheoryTable:
    """The table for this prior box, from the work folder when it was built before."""
    prior, z_max = cfg.prior.model_dump(), cfg.survey.z_max
    key = fingerprint({"code": code_fingerprint("cosmology.py"), "prior": prior, "z_max": z_max})
    path = work_folder("theory", key) / "table.npz"
    names = ("z", "powers", "log_power", "log_distance")
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return TheoryTable(k=_K, bounds=cfg.bounds, **{name: stored[name] for name in names})
    table = build_theory_table(cfg, progress)
    with atomic(path) as handle:
        np.savez(handle, **{name: getattr(table, name) for name in names})
    return table

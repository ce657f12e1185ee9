"""What lensing maps must be: exact moments of their lognormal shells, and spectra of CCL called directly."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pyccl
from scipy import fft

from cosmokeras.config import Config
from cosmokeras.cosmology import ccl_cosmology
from cosmokeras.registry import COSMOLOGY
from cosmokeras.simulators.lensing import Shells
from cosmokeras.theory import PIVOT


def spectra(planes: Shells, pixel: float) -> np.ndarray:
    """Exact mean spectra of maps on the whole periodic grid, (bins, bins, n, n // 2 + 1); `pixel` in radians.

    The correlation of exp(g - var / 2) - 1 is exp(that of g) - 1.
    """
    power = planes.amplitudes.astype(float) ** 2
    power[..., [0, -1]] /= 2  # of what is drawn there, irfft2 keeps half
    n = power.shape[1]
    xi = fft.irfft2(power / n**2, s=(n, n))
    shell = fft.rfft2(np.expm1(xi)).real * (pixel * planes.shift[:, None, None]) ** 2
    return np.einsum("as,bs,syx->abyx", planes.weights, planes.weights, shell, optimize=True)


def skewness(planes: Shells, shifted: bool = True) -> np.ndarray:
    """Exact skewness of the pixels of each bin, (bins,): shells are independent, and their moments add up.

    With `shifted` False that of shells of the same variance whose shift is 1.
    """
    contrast = np.expm1(planes.variance)
    second = planes.shift**2 * contrast
    third = second**3 + 3 * second**2
    if shifted:
        third = planes.shift**3 * (contrast**3 + 3 * contrast**2)
    return (planes.weights**3 @ third) / (planes.weights**2 @ second) ** 1.5


def bands(power: np.ndarray, ell: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means over the modes of each band, (..., bands), of something on the grid of rfft2."""
    # every mode of rfft2 stands for two, but those of the first and last column for one
    weight = np.full(ell.shape, 2.0)
    weight[:, [0, -1]] = 1.0
    inside = [(ell >= low) & (ell < high) for low, high in itertools.pairwise(edges)]
    return np.stack([power[..., i] @ weight[i] / weight[i].sum() for i in inside], axis=-1)


def band_centres(ell: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean multipole of the modes of each band."""
    return bands(ell, ell, edges)


@cache
def _ccl(values: tuple[float, ...]) -> tuple[pyccl.Cosmology, pyccl.Pk2D]:
    cosmo = ccl_cosmology(dict(zip(COSMOLOGY, values, strict=True)))
    return cosmo, cosmo.get_nonlin_power()


def ccl_angular_cl(cfg: Config, theta: np.ndarray, ell: np.ndarray) -> np.ndarray:
    """C_ell of convergence from CCL alone, (bins, bins, n_ell), at one row of free parameters, nuisances included.

    CCL's lensing tracer is that of shear: its spectra hold (ell + 2)! / (ell - 2)! / (ell + 1/2)^4 (Kilbinger et al.
    2017, MNRAS 472, 2126), which convergence on a flat sky does not have; it is divided out. Spline integration is
    asked for, as CCL's adaptive quadrature is up to 0.7 % off at isolated ell.
    """
    values = cfg.cosmology(theta)
    cosmo, power = _ccl(tuple(values[name] for name in COSMOLOGY))
    if values["baryons"]:
        # CCL knows this model at full strength only
        power = pyccl.BaryonsSchneider15().include_baryonic_effects(cosmo, power)
    z = np.linspace(0, cfg.survey.z_max, 1501)
    moved = [np.interp(z - dz, z, n, left=0.0) for dz, n in zip(values["delta_z"], cfg.survey.n_z(z), strict=True)]
    alignment = values["a_ia"] * ((1 + z) / (1 + PIVOT)) ** values["eta_ia"]
    more = {"ia_bias": (z, alignment)} if values["a_ia"] else {}
    tracers = [pyccl.WeakLensingTracer(cosmo, dndz=(z, n), n_samples=1024, **more) for n in moved]
    out = np.empty((len(tracers), len(tracers), len(ell)))
    for a, b in zip(*np.triu_indices(len(tracers)), strict=True):
        shear = pyccl.angular_cl(cosmo, tracers[a], tracers[b], ell, p_of_k_a=power, limber_integration_method="spline")
        out[a, b] = out[b, a] = shear
    calibration = np.outer(1 + values["m_bias"], 1 + values["m_bias"])[:, :, None]
    return calibration * out / ((ell + 2) * (ell + 1) * ell * (ell - 1) / (ell + 0.5) ** 4)


def ccl_bands(cfg: Config, theta: np.ndarray, ell: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The same, averaged over the modes of bands, (bins, bins, bands)."""
    nodes = np.geomspace(30, 1.01 * ell.max(), 150)
    curves, at = ccl_angular_cl(cfg, theta, nodes), np.log(ell.clip(nodes[0]))
    return bands(np.array([[np.interp(at, np.log(nodes), pair) for pair in row] for row in curves]), ell, edges)

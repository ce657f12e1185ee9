"""Numerics of perturbation theory in cubes: linear spectra and fields, skewness in top hats, growth wave by wave.

Measurements of others are read from COSMOKERAS_REAL_DATA or ../shared/real beside the repository, where they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import fft

from cosmokeras.params.registry import COSMOLOGY
from cosmokeras.simulators import lpt, mesh
from cosmokeras.theory.table import TheoryTable, theory_table
from study.setting import ROOT, config

REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or ROOT.parent / "shared/real")
# Quijote's fiducial cosmology (Villaescusa-Navarro et al. 2020, ApJS 250, 2)
FIDUCIAL = {"omega_m": 0.3175, "sigma8": 0.834, "h": 0.6711, "omega_b": 0.049, "n_s": 0.9624, "w0": -1.0}
LEADING = {1: 4.0, 2: 34 / 7}  # of the skewness parameter, by order of the displacements
STEP = 1.01  # between radii of a numerical derivative
Power = Callable[[np.ndarray], np.ndarray]


def table_of(values: dict[str, float]) -> TheoryTable:
    """The theory table of one cosmology: CCL is called once."""
    prior = {f"prior.{name}": values[name] for name in COSMOLOGY if name in values} | {
        "prior.sigma8": list(COSMOLOGY["sigma8"])
    }
    return theory_table(config({"data.kind": "2lpt", **prior}))


def linear_power(values: dict[str, float]) -> Power:
    """Linear power of matter at z = 0 [(Mpc/h)^3] as a function of k [h/Mpc]; 0 at k = 0."""
    table = table_of(values)

    def evaluate(k: np.ndarray) -> np.ndarray:
        out = np.zeros(np.shape(k))
        out[k > 0] = table.linear_at(values, k[k > 0])
        return out

    return evaluate


def halofit_power(values: dict[str, float]) -> Power:
    """Non-linear power at z = 0 by halofit (Takahashi et al. 2012, ApJ 761, 152) [(Mpc/h)^3]."""
    power = table_of(values).power(values)
    return lambda k: power(k, np.zeros_like(k))


def cubes(power: Power, n: int, box: float, count: int, seed: int) -> Iterator[np.ndarray]:
    """Linear fields (n, n, n) of a spectrum in cubes of side `box` [Mpc/h]."""
    number = mesh.squared_modes(n)
    k = 2 * np.pi / box * np.sqrt(np.arange(number.max() + 1))
    amplitude = (np.sqrt(power(k) / box**3) * n**3).astype(np.float32)[number]
    for i in range(count):
        yield fft.irfftn(lpt.gaussian_modes(np.random.default_rng([seed, i]), amplitude), s=(n, n, n))


def top_hat(k: np.ndarray, radius: float) -> np.ndarray:
    """Fourier transform of a ball."""
    x = np.maximum(k * radius, 1e-3)
    return 3 * (np.sin(x) - x * np.cos(x)) / x**3


def leading_skewness(power: Power, n: int, box: float, radii: Sequence[float], order: int) -> np.ndarray:
    """S3 = 34/7 + dln sigma^2 / dlnR, 4 instead of 34/7 for Zel'dovich's approximation (Bernardeau 1994, A&A 291, 697).

    The variance is summed over the waves of the cube, as in the cubes themselves.
    """
    number = mesh.squared_modes(n)
    k = 2 * np.pi / box * np.sqrt(np.arange(number.max() + 1))
    twice = np.full(number.shape, 2.0)
    twice[..., 0] = twice[..., -1] = 1.0
    weight = np.bincount(number.ravel(), twice.ravel()) * power(k)
    ends = [[np.sum(weight * top_hat(k, r) ** 2) for r in (radius / STEP, radius * STEP)] for radius in radii]
    return LEADING[order] + np.array([np.log(high / low) for low, high in ends]) / np.log(STEP**2)


def skewness(field: np.ndarray, box: float, radii: Sequence[float], order: int) -> np.ndarray:
    """S3 = <delta^3> / <delta^2>^2 of the evolved density in top hats of `radii` [Mpc/h].

    Of the linear field and its negative together: the chance skewness of the Gaussian field itself, ten times the
    scatter of what it grows into, cancels.
    """
    number = mesh.squared_modes(len(field))
    k = 2 * np.pi / box * np.sqrt(np.arange(number.max() + 1))
    moments = np.zeros((len(radii), 2))
    for sign in (1, -1):
        modes = fft.rfftn(lpt.density(sign * field, box, order=order))
        for i, radius in enumerate(radii):
            ball = top_hat(k, radius).astype(field.dtype)[number]
            smooth = fft.irfftn(modes * ball, s=field.shape)
            moments[i] += np.mean(smooth**3, dtype=float) / 2, np.mean(smooth**2, dtype=float) / 2
    return moments[:, 0] / moments[:, 1] ** 2


def growth(
    power: Power, n: int, box: float, count: int, seed: int, omega_m: float, order: int = 2
) -> tuple[mesh.Spectrum, np.ndarray]:
    """Evolved over linear power of the same fields, at z = 0: free of the chance in the fields.

    Returns
    -------
    the linear spectrum of the last field, with its bins, and the ratio of each cube (count, bins)
    """
    ratios = []
    for field in cubes(power, n, box, count, seed):
        start = mesh.power_spectrum(field, box)
        evolved = lpt.density(field, box, order=order, omega_m_z=omega_m)
        ratios.append(mesh.power_spectrum(evolved, box).power / start.power)
    return start, np.array(ratios)


def quijote_spectrum(number: int) -> tuple[dict[str, float], np.ndarray, np.ndarray] | None:
    """Parameters, k [h/Mpc] and P [(Mpc/h)^3] at z = 0 of a simulation of Quijote's latin hypercube, if it is there."""
    folder = REAL / "quijote"
    if not (folder / f"Pk_LH_{number}.txt").exists():
        return None
    row = np.loadtxt(folder / "latin_hypercube_params.txt")[number]
    values = dict(zip(("omega_m", "omega_b", "h", "n_s", "sigma8"), map(float, row), strict=True)) | {"w0": -1.0}
    return values, *np.loadtxt(folder / f"Pk_LH_{number}.txt").T


def departure(k: np.ndarray, ratio: np.ndarray, by: float = 0.1) -> float:
    """Wavenumber [h/Mpc] beyond which the mean of five neighbouring bins first differs from 1 by `by`, from 0.04 on.

    Below it a box has too few waves to say. The last k where it never does.
    """
    smooth = np.convolve(ratio, np.full(5, 0.2), mode="same")
    off = (k > 0.04) & (np.abs(smooth - 1) > by)
    return float(k[np.argmax(off)] if off.any() else k[-1])

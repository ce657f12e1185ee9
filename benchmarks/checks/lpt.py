"""Second-order perturbation theory against leading-order statistics, nbodykit and Quijote's N-body simulations.

The measurements of others are read from COSMOKERAS_REAL_DATA or ../shared/real beside the repository; what needs them
is left out, saying so, where they are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyccl
from scipy import fft

from benchmarks.checks import bar
from cosmokeras.cosmology import ccl_cosmology
from cosmokeras.simulators import lpt, mesh

REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or Path(__file__).parents[3] / "shared/real")
# Quijote's fiducial cosmology (Villaescusa-Navarro et al. 2020, ApJS 250, 2), scaled to where leading order holds
SMALL = {"omega_m": 0.3175, "sigma8": 0.25, "h": 0.6711, "omega_b": 0.049, "n_s": 0.9624, "w0": -1.0}
RADII = (25.0, 35.0)  # of top hats [Mpc/h]
BAND = (0.02, 0.07)  # of the comparison with Quijote [h/Mpc]


def check() -> tuple[dict, bool]:
    """All of it: about two minutes on one core."""
    found, good = {}, True
    for name, one in (("small", small_fluctuations), ("nbodykit", nbodykit), ("quijote", quijote)):
        found[name], passed = one()
        good &= passed
    return found, good


def cubes(power: Callable[[np.ndarray], np.ndarray], n: int, box: float, count: int, seed: int) -> Iterator[np.ndarray]:
    """Linear fields of a spectrum."""
    k = 2 * np.pi / box * np.sqrt(np.arange(mesh.squared_modes(n).max() + 1))
    amplitude = (np.sqrt(power(k) / box**3) * n**3).astype(np.float32)[mesh.squared_modes(n)]
    for i in range(count):
        yield fft.irfftn(lpt.gaussian_modes(np.random.default_rng([seed, i]), amplitude), s=(n, n, n))


def linear_power(cosmo: pyccl.Cosmology, k: np.ndarray) -> np.ndarray:
    """CCL's linear power of matter today [(Mpc/h)^3], k in h/Mpc; 0 at k = 0."""
    h, some = cosmo["h"], k > 0
    out = np.zeros(k.shape)
    out[some] = cosmo.linear_matter_power(k[some] * h, 1.0) * h**3
    return out


def top_hat(k: np.ndarray, radius: float) -> np.ndarray:
    """Fourier transform of a ball."""
    x = np.maximum(k * radius, 1e-3)
    return 3 * (np.sin(x) - x * np.cos(x)) / x**3


def small_fluctuations() -> tuple[dict, bool]:
    """Power and skewness at sigma8 = 0.25 in four boxes of 1500 Mpc/h, 128^3.

    S3 = 34/7 + dln sigma^2 / dlnR, 4 instead of 34/7 for Zel'dovich's approximation (Bernardeau 1994, A&A 291, 697). Of
    each field and its negative together: the chance skewness of the Gaussian field itself cancels.
    """
    n, box = 128, 1500.0
    power = partial(linear_power, ccl_cosmology(SMALL))
    k = 2 * np.pi / box * np.sqrt(mesh.squared_modes(n))
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = weight[..., -1] = 1.0
    weight *= power(k)
    variance = {r: np.sum(weight * top_hat(k, r) ** 2) for at in RADII for r in (at / 1.01, at * 1.01)}
    slope = [np.log(variance[r * 1.01] / variance[r / 1.01]) / np.log(1.01**2) for r in RADII]

    s3, large = {1: [], 2: []}, []
    for field in cubes(power, n, box, 4, 1):
        for order, skewness in s3.items():
            moments = np.zeros((len(RADII), 2))
            for sign in (1, -1):
                modes = fft.rfftn(lpt.density(sign * field, box, order=order))
                if (order, sign) == (2, 1):
                    inside = (k > 0) & (k < 0.05)
                    large.append(np.sum(np.abs(modes[inside]) ** 2) / np.sum(np.abs(fft.rfftn(field)[inside]) ** 2))
                for i, radius in enumerate(RADII):
                    smooth = fft.irfftn(modes * top_hat(k, radius), s=field.shape)
                    moments[i] += np.mean(smooth**3) / 2, np.mean(smooth**2) / 2
            skewness.append(moments[:, 0] / moments[:, 1] ** 2)
    good = [bar("2lpt sigma8 0.25: power / linear, k < 0.05 h/Mpc", np.mean(large), 0.98, 1.02)]
    found = {"power_ratio": round(float(np.mean(large)), 4)}
    for i, radius in enumerate(RADII):
        for order, leading in ((2, 34 / 7), (1, 4.0)):
            ratio = np.mean(s3[order], axis=0)[i] / (leading + slope[i])
            name = f"2lpt order {order}: S3 / leading order, R = {radius:g} Mpc/h"
            good.append(bar(name, ratio, 0.9, 1.1))
            found[f"s3_ratio_order{order}_r{radius:g}"] = round(float(ratio), 4)
        confused = np.mean(s3[2], axis=0)[i] / (4 + slope[i])
        good.append(bar(f"2lpt order 2: S3 / that of Zel'dovich, R = {radius:g} Mpc/h", confused, 1.2, 2.0))
    return found, all(good)


def nbodykit() -> tuple[dict, bool]:
    """Largest deviation from nbodykit's spectra below half the Nyquist frequency, four ways of measuring."""
    folder = REAL / "abacus"
    if not (folder / "test_pos.npz").exists():
        print(f"skip nbodykit: no spectra in {folder}; set COSMOKERAS_REAL_DATA")
        return {}, True
    n, box = 72, 1000.0
    with np.load(folder / "test_pos.npz") as stored:
        positions = stored["pos"]
    found, good = {}, []
    for scheme in ("cic", "tsc"):
        delta = mesh.assign(positions.astype(float), n, box, scheme)
        for compensated in (False, True):
            name = f"{scheme.upper()}{'_compensated' if compensated else ''}"
            with np.load(folder / f"nbody_{name}.npz") as stored:
                theirs, modes = stored["power_ell"][0].real, stored["modes"].sum(axis=1)
            theirs[0] *= modes[0] / (modes[0] - 1)  # they count k = 0, which has no power
            mine = mesh.power_spectrum(delta, box, scheme if compensated else None, shot_noise=True)
            below = mine.k[: len(theirs)] < np.pi * n / box / 2
            worst = float(np.abs(mine.power[: len(theirs)] / theirs - 1)[below].max())
            good.append(bar(f"nbodykit {name}: largest deviation", worst, 0, 0.005))
            found[name] = float(f"{worst:.2g}")
    return found, all(good)


def quijote() -> tuple[dict, bool]:
    """Power of three simulations of Quijote's latin hypercube, of 1000 Mpc/h each, at z = 0.

    A simulation is one realisation: the number of its waves alone makes the average over the band uncertain by 1.9 %.
    Second order itself is some per cent low. Simulations 0 and 1 miss the bar of 5 % for both reasons. Halofit
    (Takahashi et al. 2012, ApJ 761, 152), which is not low, is printed beside it: how far that differs is chance and
    its own error. Simulations 0 and 1 scatter alike about theory, as if they had the same initial phases: their
    quotient is nearly free of chance.
    """
    folder = REAL / "quijote"
    if not (folder / "latin_hypercube_params.txt").exists():
        print(f"skip Quijote: no spectra in {folder}; set COSMOKERAS_REAL_DATA")
        return {}, True
    table = np.loadtxt(folder / "latin_hypercube_params.txt")
    names = ("omega_m", "omega_b", "h", "n_s", "sigma8")
    found, good = {}, []
    for i in range(3):
        values = dict(zip(names, table[i], strict=True)) | {"w0": -1.0}
        one = _against_quijote(f"quijote {i}", values, *np.loadtxt(folder / f"Pk_LH_{i}.txt").T)
        halofit, chance = one["halofit_ratio"], one["sampling_error"]
        known = (
            f"second order is {1 - one['ratio'] / halofit:.1%} below halofit, and this one realisation is "
            f"{1 / halofit - 1:+.1%} off halofit where chance alone gives {chance:.1%}"
        )
        good.append(bar(f"quijote {i}: 2lpt / N-body", one["ratio"], 0.95, 1.05, known if i < 2 else ""))
        found[f"lh_{i}"] = {key: round(value, 4) for key, value in one.items()}
    change = found["lh_1"]["ratio"] / found["lh_0"]["ratio"]
    good.append(bar("quijote 1 / quijote 0: 2lpt / N-body", change, 0.95, 1.05))
    return found, all(good)


def _against_quijote(name: str, values: dict[str, float], k: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """2LPT from cubes of 1000 Mpc/h with the pipeline's 128^3 particles and with 256^3.

    Growth is measured wave by wave, evolved over linear power of the same field, and multiplied into the linear theory:
    four cubes are as good as hundreds. Averages over the band are weighted by the number of waves.
    """
    box = 1000.0
    cosmo = ccl_cosmology(values)
    linear = linear_power(cosmo, k)
    halofit = cosmo.nonlin_matter_power(k * cosmo["h"], 1.0) * cosmo["h"] ** 3
    band = (k > BAND[0]) & (k < BAND[1])
    one: dict[str, float] = {}
    for n, suffix in ((256, "_256"), (128, "")):
        growth = []
        for field in cubes(partial(linear_power, cosmo), n, box, 4, 2):
            start = mesh.power_spectrum(field, box)
            evolved = lpt.density(field, box, omega_m_z=values["omega_m"])
            growth.append(mesh.power_spectrum(evolved, box).power / start.power)
        mine = linear * np.interp(k, start.k, np.mean(growth, axis=0))
        waves = np.interp(k, start.k, start.modes)
        one[f"ratio{suffix}"] = float(np.average((mine / theirs)[band], weights=waves[band]))
        one[f"plain_mean{suffix}"] = float(np.mean((mine / theirs)[band]))
        one[f"k_10_percent{suffix}"] = _departure(k, mine / theirs)
        print(
            f"     {name}, {n}^3: 2lpt / N-body {one[f'ratio{suffix}']:.3f}, by plain mean over the bins "
            f"{one[f'plain_mean{suffix}']:.3f}; 10 % off from k = {one[f'k_10_percent{suffix}']:.3f} h/Mpc on"
        )
    one["halofit_ratio"] = float(np.average((halofit / theirs)[band], weights=waves[band]))
    one["linear_ratio"] = float(np.average((linear / theirs)[band], weights=waves[band]))
    one["sampling_error"] = float(np.sqrt(2 / waves[band].sum()))
    print(f"     {name}: halofit / N-body {one['halofit_ratio']:.3f}, linear / N-body {one['linear_ratio']:.3f}")
    return one


def _departure(k: np.ndarray, ratio: np.ndarray) -> float:
    """Wavenumber [h/Mpc] beyond which the mean of five neighbouring bins first differs by more than 10 %, from 0.04 on.

    Below it a box has too few waves to say.
    """
    smooth = np.convolve(ratio, np.full(5, 0.2), mode="same")
    off = (k > 0.04) & (np.abs(smooth - 1) > 0.1)
    return float(k[np.argmax(off)])

"""Second-order perturbation theory against leading-order statistics, nbodykit and Quijote's N-body simulations.

The measurements of others are read from COSMOKERAS_REAL_DATA or ../shared/real beside the repository; what needs them
is left out, saying so, where they are missing.
"""

from __future__ import annotations

import numpy as np

from cosmokeras.simulators import lpt, mesh
from study.perturbation import (
    FIDUCIAL,
    REAL,
    cubes,
    departure,
    growth,
    halofit_power,
    leading_skewness,
    linear_power,
    quijote_spectrum,
    skewness,
)
from study.requirements import required

SMALL = FIDUCIAL | {"sigma8": 0.25}  # where leading order holds
RADII = (25.0, 35.0)  # of top hats [Mpc/h]
BAND = (0.02, 0.07)  # of the comparison with Quijote [h/Mpc]


def check() -> tuple[dict, bool]:
    """All of it: about two minutes on one core."""
    found, good = {}, True
    for name, one in (("small", small_fluctuations), ("nbodykit", nbodykit), ("quijote", quijote)):
        found[name], passed = one()
        good &= passed
    return found, good


def small_fluctuations() -> tuple[dict, bool]:
    """Power and skewness at sigma8 = 0.25 in four boxes of 1500 Mpc/h, 128^3.

    S3 = 34/7 + dln sigma^2 / dlnR, 4 instead of 34/7 for Zel'dovich's approximation (Bernardeau 1994, A&A 291, 697).
    """
    n, box, seed = 128, 1500.0, 1
    power = linear_power(SMALL)
    s3 = {
        order: np.mean([skewness(one, box, RADII, order) for one in cubes(power, n, box, 4, seed)], axis=0)
        for order in (1, 2)
    }
    wanted = {order: leading_skewness(power, n, box, RADII, order) for order in (1, 2)}
    large = []
    for field in cubes(power, n, box, 4, seed):
        start, grown = (mesh.power_spectrum(one, box) for one in (field, lpt.density(field, box)))
        inside = start.k < 0.05
        large.append(np.sum((grown.modes * grown.power)[inside]) / np.sum((start.modes * start.power)[inside]))
    good = [required("2lpt sigma8 0.25: power / linear, k < 0.05 h/Mpc", np.mean(large), 0.98, 1.02)]
    found = {"power_ratio": round(float(np.mean(large)), 4)}
    for i, radius in enumerate(RADII):
        for order in (2, 1):
            ratio = s3[order][i] / wanted[order][i]
            name = f"2lpt order {order}: S3 / leading order, R = {radius:g} Mpc/h"
            good.append(required(name, ratio, 0.9, 1.1))
            found[f"s3_ratio_order{order}_r{radius:g}"] = round(float(ratio), 4)
        confused = s3[2][i] / wanted[1][i]
        good.append(required(f"2lpt order 2: S3 / that of Zel'dovich, R = {radius:g} Mpc/h", confused, 1.2, 2.0))
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
            good.append(required(f"nbodykit {name}: largest deviation", worst, 0, 0.005))
            found[name] = float(f"{worst:.2g}")
    return found, all(good)


def quijote() -> tuple[dict, bool]:
    """Power of three simulations of Quijote's latin hypercube, of 1000 Mpc/h each, at z = 0.

    A simulation is one realisation: the number of its waves alone makes the average over the band uncertain by 1.9 %.
    Second order itself is some per cent low. Simulations 0 and 1 miss the required 5 % for both reasons. Halofit
    (Takahashi et al. 2012, ApJ 761, 152), which is not low, is printed beside it: how far that differs is chance and
    its own error. Simulations 0 and 1 scatter alike about theory, as if they had the same initial phases: their
    quotient is nearly free of chance.
    """
    found, good = {}, []
    for i in range(3):
        stored = quijote_spectrum(i)
        if stored is None:
            print(f"skip Quijote: no spectra in {REAL / 'quijote'}; set COSMOKERAS_REAL_DATA")
            return {}, True
        values, k, theirs = stored
        one = _against_quijote(f"quijote {i}", values, k, theirs)
        halofit, chance = one["halofit_ratio"], one["sampling_error"]
        known = (
            f"second order is {1 - one['ratio'] / halofit:.1%} below halofit, and this one realisation is "
            f"{1 / halofit - 1:+.1%} off halofit where chance alone gives {chance:.1%}"
        )
        good.append(required(f"quijote {i}: 2lpt / N-body", one["ratio"], 0.95, 1.05, known if i < 2 else ""))
        found[f"lh_{i}"] = {key: round(value, 4) for key, value in one.items()}
    change = found["lh_1"]["ratio"] / found["lh_0"]["ratio"]
    good.append(required("quijote 1 / quijote 0: 2lpt / N-body", change, 0.95, 1.05))
    return found, all(good)


def _against_quijote(name: str, values: dict[str, float], k: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """2LPT from cubes of 1000 Mpc/h with the pipeline's 128^3 particles and with 256^3.

    Growth is measured wave by wave, evolved over linear power of the same field, and multiplied into the linear theory:
    four cubes are as good as hundreds. Averages over the band are weighted by the number of waves.
    """
    box, power = 1000.0, linear_power(values)
    linear, halofit = power(k), halofit_power(values)(k)
    band = (k > BAND[0]) & (k < BAND[1])
    one: dict[str, float] = {}
    for n, suffix in ((256, "_256"), (128, "")):
        start, grown = growth(power, n, box, 4, 2, values["omega_m"])
        mine = linear * np.interp(k, start.k, grown.mean(axis=0))
        waves = np.interp(k, start.k, start.modes)
        one[f"ratio{suffix}"] = float(np.average((mine / theirs)[band], weights=waves[band]))
        one[f"plain_mean{suffix}"] = float(np.mean((mine / theirs)[band]))
        one[f"k_10_percent{suffix}"] = departure(k, mine / theirs)
        print(
            f"     {name}, {n}^3: 2lpt / N-body {one[f'ratio{suffix}']:.3f}, by plain mean over the bins "
            f"{one[f'plain_mean{suffix}']:.3f}; 10 % off from k = {one[f'k_10_percent{suffix}']:.3f} h/Mpc on"
        )
    one["halofit_ratio"] = float(np.average((halofit / theirs)[band], weights=waves[band]))
    one["linear_ratio"] = float(np.average((linear / theirs)[band], weights=waves[band]))
    one["sampling_error"] = float(np.sqrt(2 / waves[band].sum()))
    print(f"     {name}: halofit / N-body {one['halofit_ratio']:.3f}, linear / N-body {one['linear_ratio']:.3f}")
    return one

"""Galaxies that were never observed, of known shear, in the conventions of each calibration of `params.catalogue`.

Shapes come in pairs that are turned by 90 degrees to each other at one place, as in image simulations (Massey et al.
2007, MNRAS 376, 13), so that shape noise cancels in means and a bias of 0.1 % shows with a million galaxies. Galaxies
are denser in one half of the sky than in the other, and measured with less noise; the point-spread function leaks, into
what is published but not into selections and weights, so that its alpha is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmokeras.params.catalogue import Catalogue
from cosmokeras.sky.spherical_ks import shear_sphere

METHODS = ("none", "metacal", "lensfit", "regauss", "anacal")
M, C = (-0.03, 0.05), ((2e-3, -1e-3), (-1e-3, 3e-3))  # biases of the two bins
LEAK = (0.15, -0.12)  # alpha of the PSF
SHAPE, STEP = 0.25, 0.01  # intrinsic scatter per component, artificial shear
CUT = 1.0  # metacal: how strongly elongated galaxies are lost
BINS = 2
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sky:
    """True shear (bins, 2, npix) and convergence (bins, npix), NSIDE `nside`, and the density (npix,) of galaxies."""

    nside: int
    shear: np.ndarray
    kappa: np.ndarray
    density: np.ndarray


def sky(nside: int, rng: np.random.Generator, rms: float = 0.03, lmax: int | None = None) -> Sky:
    """A Gaussian sky of convergence of the scatter `rms` and a footprint of an eighth of the sphere."""
    import healpy

    lmax = 2 * nside if lmax is None else lmax
    ell = np.arange(lmax + 1)
    kappa, shear = [], []
    for _ in range(BINS):
        size = healpy.Alm.getsize(lmax)
        alm = rng.normal(size=size) + 1j * rng.normal(size=size)
        alm[: lmax + 1] = alm[: lmax + 1].real * np.sqrt(2)
        alm = healpy.almxfl(alm, np.where(ell > 1, (ell + 10.0) ** -0.75, 0.0))
        one = healpy.alm2map(alm, nside, lmax=lmax)
        one *= rms / one.std()
        kappa.append(one)
        shear.append(shear_sphere(one, lmax))
    ra, dec = healpy.pix2ang(nside, np.arange(12 * nside**2), lonlat=True)
    inside = (ra > 10) & (ra < 100) & (np.abs(dec) < 30)
    return Sky(nside, np.array(shear), np.array(kappa), np.where(inside, np.where(ra < 55, 1.5, 0.5), 0.0))


def columns(method: str, truth: Sky, number: int, rng: np.random.Generator) -> Columns:
    """Columns of a catalogue of about `number` galaxies in two bins, as surveys of this method publish them."""
    import healpy

    half = number // 2
    pixel = rng.choice(truth.density.size, half, p=truth.density / truth.density.sum())
    fine = 64  # places in a pixel
    nested = healpy.ring2nest(truth.nside, pixel) * fine**2 + rng.integers(fine**2, size=half)
    ra, dec = healpy.pix2ang(truth.nside * fine, nested, nest=True, lonlat=True)
    number_of_bin = rng.integers(BINS, size=half)
    shallow = truth.density[pixel] < 1
    sigma_m = np.where(shallow, 0.25, 0.1) * rng.uniform(0.8, 1.2, half)
    shape = SHAPE * rng.normal(size=(2, half)) + sigma_m * rng.normal(size=(2, half))
    psf = np.stack([0.04 * np.sin(np.radians(40 * ra)), 0.03 * np.cos(np.radians(45 * dec))])
    psf = psf + 0.02 * rng.normal(size=(2, half))
    shear = truth.shear[number_of_bin, :, pixel].T
    leak = np.array(LEAK)[number_of_bin] * psf
    common = {
        "RA": ra, "DEC": dec, "BIN": number_of_bin + 1.0, "WEIGHT": 1 / (SHAPE**2 + sigma_m**2), "SIGMA": sigma_m,
        "PSF1": psf[0], "PSF2": psf[1],
    }  # fmt: skip
    make = {"none": _none, "metacal": _metacal, "lensfit": _lensfit, "regauss": _regauss, "anacal": _anacal}[method]
    # what the method draws for itself is the same for both of a pair
    own = rng.spawn(1)[0]
    state = own.bit_generator.state
    pair = []
    for sign in (1, -1):
        own.bit_generator.state = state
        pair.append(make(shear, sign * shape, leak, common, own))
    first, second = ({**common, **one} for one in pair)
    return {name: np.stack([first[name], second[name]], axis=1).ravel() for name in first}


def _named(e: np.ndarray, **more: np.ndarray) -> Columns:
    return {"E1": e[0], "E2": e[1], **more}


def _none(shear: np.ndarray, shape: np.ndarray, leak: np.ndarray, common: Columns, rng: np.random.Generator) -> Columns:
    return _named(shear + shape + leak)


def _lensfit(
    shear: np.ndarray, shape: np.ndarray, leak: np.ndarray, common: Columns, rng: np.random.Generator
) -> Columns:
    number = common["BIN"].astype(int) - 1
    return _named((1 + np.array(M)[number]) * shear + shape + leak + np.array(C)[number].T)


def _metacal(
    shear: np.ndarray, shape: np.ndarray, leak: np.ndarray, common: Columns, rng: np.random.Generator
) -> Columns:
    """Round galaxies are found more easily: a selection that reacts to shear."""
    response = rng.uniform(0.6, 0.8, (2, shape.shape[1]))
    e = response * shear + shape
    chance = rng.random(shape.shape[1])

    def found(shape_seen: np.ndarray) -> np.ndarray:
        return np.where(chance < np.exp(-CUT * (shape_seen**2).sum(axis=0)), common["BIN"], -1.0)

    more = {}
    for key, i, sign in (("1P", 0, 1), ("1M", 0, -1), ("2P", 1, 1), ("2M", 1, -1)):
        moved = e.copy()
        moved[i] += sign * STEP * response[i]
        more[f"BIN_{key}"] = found(moved)
    return _named(e + leak, R11=response[0], R22=response[1], BIN=found(e), **more)


def _regauss(
    shear: np.ndarray, shape: np.ndarray, leak: np.ndarray, common: Columns, rng: np.random.Generator
) -> Columns:
    size = shape.shape[1]
    e_rms, m, c = rng.uniform(0.34, 0.42, size), rng.normal(-0.1, 0.03, size), rng.normal(2e-3, 1e-3, (2, size))
    responsivity = 1 - np.mean(e_rms**2)
    e = 2 * responsivity * ((1 + m) * shear + c) + shape + leak
    return _named(e, RMS=e_rms, M=m, C1=c[0], C2=c[1])


def _anacal(
    shear: np.ndarray, shape: np.ndarray, leak: np.ndarray, common: Columns, rng: np.random.Generator
) -> Columns:
    """Weights fall with the ellipticity, and so react to shear."""
    response = rng.uniform(0.3, 0.5, (2, shape.shape[1]))
    e = response * shear + shape
    weight = np.exp(-(e**2).sum(axis=0))
    slope = -2 * weight * e * response
    return _named(e + leak, R11=response[0], R22=response[1], WEIGHT=weight, W1=slope[0], W2=slope[1])


def detected(columns: Columns) -> dict[str, Columns]:
    """Tables of metadetect, from a catalogue of `metacal`: what each artificial shear selects, measured under it."""
    tables = {}
    for key in ("", "1p", "1m", "2p", "2m"):
        moved = {name: columns[name].copy() for name in ("RA", "DEC", "E1", "E2", "WEIGHT", "SIGMA", "PSF1", "PSF2")}
        moved["BIN"] = columns[f"BIN_{key.upper()}" if key else "BIN"]
        if key:
            moved[f"E{key[0]}"] += STEP * (1 if key[1] == "p" else -1) * columns[f"R{key[0]}{key[0]}"]
        found = moved["BIN"] > 0
        tables[key or "noshear"] = {name: one[found] for name, one in moved.items()}
    return tables


def layout(method: str, **change: Any) -> Catalogue:
    """The block `catalogue` of a preset for such columns; `change` replaces fields."""
    calibration: dict[str, Any] = {"method": method}
    if method == "metacal":
        selected = {key: f"BIN_{key.upper()}" for key in ("1p", "1m", "2p", "2m")}
        calibration |= {"r11": "R11", "r22": "R22", "selected": selected, "step": STEP, "subtract_mean": False}
    elif method == "metadetect":
        calibration |= {"sheared": {key: key for key in ("1p", "1m", "2p", "2m")}, "step": STEP, "subtract_mean": False}
    elif method == "lensfit":
        calibration |= {"m": M, "c": C}
    elif method == "regauss":
        calibration |= {"e_rms": "RMS", "m": "M", "c1": "C1", "c2": "C2"}
    elif method == "anacal":
        calibration |= {"r11": "R11", "r22": "R22", "w1": "W1", "w2": "W2"}
    names = {"ra": "RA", "dec": "DEC", "e1": "E1", "e2": "E2", "weight": "WEIGHT", "sigma_m": "SIGMA"}
    fields = {
        "columns": {**names, "psf_e1": "PSF1", "psf_e2": "PSF2"}, "signs": (1, 1), "psf_leakage": LEAK,
        "bins": {"column": "BIN", "values": (1, 2), "unused": (-1,)}, "calibration": calibration,
    }  # fmt: skip
    return Catalogue.model_validate(fields | change)


def ratio(found: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    """Slope of measured over true shear, (2, n) each, by the weights (n,) of the pixels."""
    return float((weight * found * truth).sum() / (weight * truth**2).sum())

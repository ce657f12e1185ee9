"""Shifts at which lognormal shells of matter have the third moment of BiHalofit, tabulated over the prior box.

A lognormal field has one free number, its shift, and so one smoothing at which its third moment is right. It is that
of a Gaussian of MATCHED pixels: 7.25 arcmin for pixels of 5 arcmin. Between 5 and 10 arcmin the third moment of kappa
is then right to a tenth; see `python -m benchmarks.validate skewness`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.files import work_folder
from cosmokeras.common.interpolation import log_bracket
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.params.registry import COSMOLOGY
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.bispectrum import linear_matter
from cosmokeras.theory.polynomials import Fit, Polynomials, fit_polynomials, read_fits, write_fits
from cosmokeras.theory.table import TheoryTable, theory_table, without_baryons
from cosmokeras.theory.third_moment import lognormal_moments, third_moments

MATCHED = 1.45  # standard deviation of the Gaussian [pixels]
# Distances, in units of that of z_max, at which moments are tabulated, and total degree of the polynomials by number of
# coordinates: shifts are within 2 % of what they would be without a table, see the tests.
DISTANCES = np.geomspace(1e-3, 1.0, 40)
DEGREE = {0: 0, 1: 9, 2: 7, 3: 5, 4: 4, 5: 4, 6: 4}

REPORTED = 0.1  # a reduction of third moments by more than this part is reported
NEAR, HALFWAY = 0.1, 0.5  # part of the way to the most distant bin's sources between which matter lenses most


@dataclass(frozen=True)
class ShiftTable:
    """Logarithms of moments of a sheet of matter at DISTANCES, as a function of the free ones among COSMOLOGY.

    They are T, the third moment, and P and Q of a lognormal field of the same power (`lognormal_moments`), one after
    the other.
    """

    log_moments: Polynomials
    names: tuple[str, ...]

    def shifts(self, values: dict[str, Any], chi: np.ndarray, inside: np.ndarray, dchi: np.ndarray) -> np.ndarray:
        """Lognormal shifts (shells,) of a cosmology's parameters by name.

        Parameters
        ----------
        chi : (shells, nodes) distances inside each shell, in units of that of z_max
        inside : (shells, nodes), part of the shell's weight at each of them
        dchi : (nodes,), part of the shell's thickness [Mpc/h] at each of them

        Baryons change the third moment as they change that of a lognormal field: the shift is that without them.
        """
        found = self.log_moments(np.array([values[name] for name in self.names])).reshape(3, -1)
        lower, fraction = log_bracket(chi, DISTANCES)
        third, pairs, triples = np.exp(found[:, lower] * (1 - fraction) + found[:, lower + 1] * fraction)
        return matched_shifts((third, pairs, triples), inside, dchi)


def matched_shifts(moments: tuple[np.ndarray, ...], inside: np.ndarray, dchi: np.ndarray) -> np.ndarray:
    """Lognormal shifts (shells,) of moments T, P, Q at distances inside each shell, (shells, nodes) each.

    A shell is made of sheets of like correlations, so that P of the shell is the square of a sum over its square root,
    and Q the cube of one over its cube root. The shift s solves 3 P / s + Q / s^3 = T.
    """
    third = np.sum(inside**3 / dchi**2 * moments[0], axis=1)
    pairs = np.sum(inside**2 / dchi * np.sqrt(moments[1]), axis=1) ** 2
    triples = np.sum(inside**2 / dchi * np.cbrt(moments[2]), axis=1) ** 3
    # the only real root of a cubic in 1 / s that has no square term
    root = np.sqrt(pairs / triples)
    inverse: np.ndarray = 2 * root * np.sinh(np.arcsinh(third / (2 * triples * root**3)) / 3)
    return 1 / inverse


def shift_table(cfg: Config, progress: bool = False) -> ShiftTable:
    """The table for this prior box, depth and pixel, from the work folder when it was built before."""
    prior = {name: getattr(cfg.prior, name) for name in COSMOLOGY}
    key = {"prior": prior, "z_max": cfg.survey.z_max, "pixel": cfg.pixel_arcmin}
    key |= {"nonlinear": cfg.theory.nonlinear}
    code = code_fingerprint("cosmokeras.theory.lognormal_shift")
    path = work_folder("theory", fingerprint({"code": code, **key})) / "shifts.npz"
    stored = read_fits(path, ("moments",))
    if stored is None:
        fit, held = _fitted(cfg, progress)
        write_fits(path, {"moments": fit}, held=held)
    else:
        fit, held = stored[0][0], stored[1]["held"]
    if progress and held[0] > REPORTED:
        worst = ", ".join(f"{name}={value:.3g}" for name, value in zip(fit[1], held[1:], strict=True))
        tqdm.write(
            "lensing.third_moment=bihalofit: part of the prior is outside the simulations that the formula was fitted "
            f"to; third moments are reduced, by up to {held[0]:.0%} ({worst})"
        )
    return ShiftTable(*fit)


def _fitted(cfg: Config, progress: bool) -> tuple[Fit, np.ndarray]:
    """Polynomials; and by which part third moments that lensing sees are held at most, and where in the prior box."""
    table = theory_table(cfg, progress)
    held: list[np.ndarray] = []
    sources = float(cfg.survey.n_z_inside()[1].max())

    def log_moments(values: dict[str, Any]) -> np.ndarray:
        third, free, pairs, triples = sheet_moments(table, values, cfg.pixel_arcmin)
        back = table.background(values)
        way = DISTANCES * back.chi[-1] / np.interp(sources, back.z, back.chi)
        seen = (way > NEAR) & (way < HALFWAY)
        part = (1 - third / free)[seen].max()
        held.append(np.array([part, *(values[name] for name in COSMOLOGY if name in cfg.parameter_names)]))
        return np.log([third, pairs, triples]).ravel()

    fit = fit_polynomials(cfg, tuple(COSMOLOGY), _plain, log_moments, progress, DEGREE)
    return fit, max(held, key=lambda row: float(row[0]))


def sheet_moments(table: TheoryTable, values: dict[str, Any], pixel_arcmin: float) -> np.ndarray:
    """Moments of matter at DISTANCES, (4, distances), smoothed by a Gaussian of MATCHED pixels, without baryons.

    The third one, held and as BiHalofit has it (`third_moments`), and P and Q of a lognormal field.
    """
    values = without_baryons(values)
    back = table.background(values)
    chi = DISTANCES * back.chi[-1]
    z, radius = back.z_of(chi), chi * MATCHED * pixel_arcmin * ARCMIN
    power = table.power(values)
    third = third_moments(linear_matter(table, values, z), power, radius)
    return np.array([*third, *lognormal_moments(power, radius, z)])


def _plain(values: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    return np.array([values[name] for name in names])

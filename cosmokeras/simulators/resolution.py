"""Whether shells of matter resolve the lensing kernel in front of a survey's sources, and the sources themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.params.survey import Survey
from cosmokeras.theory import limber
from cosmokeras.theory.table import EXPANSION, Background, TheoryTable

# C_ell of the sum over shells is off from the Limber integral by 1.3 to 1.6 % with five shells in front of the sources,
# by 3.4 to 4.6 % with three; where alignments of A_IA = 1 sit in a bin two shells wide by 0.9 to 1.8 %, in one a shell
# wide by 1.8 to 6.4 % (100 < ell < 1500, `python -m study.shell_resolution`).
SHELLS_BEFORE = 5
SHELLS_WITHIN = 2


def check_resolution(
    cfg: Config, table: TheoryTable, thickness: float | None = None, key: str = "lensing.shell_mpc_h="
) -> None:
    """Refuse a bin whose sources are too near, or with alignments too close together, for lensing.shell_mpc_h.

    Or for another `thickness` [Mpc/h], whose words are the `key`.
    At the corners of the prior that distances depend on. The width of a bin is 1 / int p^2 dchi of its distribution p
    in comoving distance: that of a box, 3.5 sigma of a Gaussian.
    """
    survey, shell = cfg.survey, cfg.lensing.shell_mpc_h if thickness is None else thickness
    near: list[tuple[float, str]] = []
    wide: list[tuple[float, str]] = []
    for theta in _corners(cfg):
        values = cfg.cosmology(theta)
        back = table.background(values)
        distance = np.interp(survey.n_z_inside(values["delta_z"])[1], back.z, back.chi)
        near.append(_least(cfg, theta, distance))
        if cfg.prior.a_ia != 0:
            wide.append(_least(cfg, theta, _widths(survey, back, values)))
    key = f"{key}{shell:g}"
    distance, where = min(near)
    if shell > distance / SHELLS_BEFORE:
        most = _floor(distance / SHELLS_BEFORE)
        raise UserError(f"{key}: sources of {where} are {distance:.0f} Mpc/h away; at most {most} is allowed")
    width, where = min(wide, default=(np.inf, ""))
    if shell > width / SHELLS_WITHIN:
        most = _floor(width / SHELLS_WITHIN)
        raise UserError(
            f"{key}: n(z) of {where} is {width:.3g} Mpc/h wide; with alignments (prior.a_ia) at most {most} is allowed"
        )


def _floor(thickness: float) -> str:
    """A thickness of shells [Mpc/h] in words, rounded down."""
    return f"{np.floor(thickness):g}" if thickness >= 5 else f"{thickness:.2g}, less than the 5 that params.yaml takes,"


def _least(cfg: Config, theta: np.ndarray, distances: np.ndarray) -> tuple[float, str]:
    """The smallest of the distances (bins,) [Mpc/h], and of which bin, where in the prior."""
    coordinates = [f"{name} {x:g}" for name, x in zip(cfg.parameter_names, theta, strict=True) if name in EXPANSION]
    at = f" at {', '.join(coordinates)}" if coordinates else ""
    return float(distances.min()), f"bin {distances.argmin() + 1} of {cfg.survey.name}{at}"


def _widths(survey: Survey, back: Background, values: dict[str, Any]) -> np.ndarray:
    """Widths of the bins [Mpc/h], (bins,)."""
    chi = limber.limber_nodes(survey, back, values | {"a_ia": 1.0})
    z = back.z_of(chi)
    density = survey.n_z(z, values["delta_z"]) / np.interp(z, back.z, np.gradient(back.chi, back.z))
    return 1 / np.trapezoid(density**2, chi)


def _corners(cfg: Config) -> Iterator[np.ndarray]:
    """Rows of free parameters: both ends of those that distances depend on, of all shifts of n(z) together."""
    kinds = [name.rpartition("_")[0] if name.startswith("delta_z_") else name for name in cfg.parameter_names]
    free = [name for name in (*EXPANSION, "delta_z") if name in kinds]
    for ends in itertools.product((0, 1), repeat=len(free)):
        which = [dict(zip(free, ends, strict=True)).get(kind, 0) for kind in kinds]
        yield cfg.bounds[np.arange(len(kinds)), which]

"""Convergence maps against CCL at three cosmologies: spectra, alignments, skewness, photo-z shift and shear bias.

Tests use the same comparison on fewer maps.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.project import load_params
from study.requirements import required
from study.setting import of_all_multipoles
from study.shells import Case

PARAMS = Path(__file__).parents[2] / "params.yaml"
OMEGA_M = (0.15, 0.3, 0.45)
MAPS = 600  # of the whole periodic grid, for each cosmology


def check() -> tuple[dict[str, Any], bool]:
    """All of it, about four minutes."""
    found, good = {}, []
    for omega_m, a_ia in itertools.product(OMEGA_M, (0.0, 1.0)):
        case = Case(of_all_multipoles(load_params(PARAMS, {"prior.a_ia": a_ia})), [omega_m])
        exact = np.abs(case.expected() / case.ccl - 1).max()
        mean, error = case.of_maps(MAPS)
        pull = np.abs((mean - case.expected()) / error).max()
        name = f"lensing Omega_m {omega_m}, A_IA {a_ia:g}"
        good.append(required(f"{name}: exact mean C_ell / CCL - 1, worst of all pairs and bands", exact, 0, 0.02))
        good.append(required(f"{name}: C_ell of {MAPS} maps about that mean, worst of 60 [sigma]", pull, 0, 4.5))
        found[f"omega_m_{omega_m}_a_ia_{a_ia:g}"] = {
            "exact": round(float(exact), 5),
            "maps_sigma": round(float(pull), 2),
            "maps_ratio_above_400": round(float(np.abs((mean / case.expected())[..., 2:] - 1).max()), 4),
        }
    plain = Case(of_all_multipoles(load_params(PARAMS)), [0.3])
    for thickness in (50.0, 25.0):
        fine = Case(load_params(PARAMS, {"lensing.shell_mpc_h": thickness}), [0.3])
        ratio = np.abs(fine.skewness() / plain.skewness() - 1).max()
        good.append(required(f"lensing: skewness, shells of 100 over {thickness:g} Mpc/h, worst bin", ratio, 0, 0.1))
        found[f"skewness_{thickness:g}"] = round(float(ratio), 5)
    for key, value in (("delta_z", 0.05), ("delta_z", -0.05), ("m_bias", 0.05)):
        changed = Case(load_params(PARAMS, {f"prior.{key}": value}), [0.3])
        off = np.abs(changed.expected() / plain.expected() / (changed.ccl / plain.ccl) - 1).max()
        good.append(required(f"lensing: change by {key} = {value} over CCL's", off, 0, 0.01))
        found[f"{key}_{value}"] = round(float(off), 5)
    return found, all(good)

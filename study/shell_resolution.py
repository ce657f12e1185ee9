"""How thick shells of matter may be: C_ell of the sum over shells against the Limber integral.

Measures `SHELLS_BEFORE` and `SHELLS_WITHIN` of `cosmokeras.simulators.resolution`: worst ratio minus 1 at 100 < ell <
1500, first for so many shells in front of the sources of one bin, then for a bin with alignments (A_IA = 1) that is so
many shells wide, each over bins whose place between the edges of shells differs.

    python -m study.shell_resolution
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common import cli
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.redshifts.terms import Bin
from cosmokeras.simulators import lensing
from cosmokeras.theory import limber
from cosmokeras.theory.table import theory_table

ROOT = Path(__file__).parents[1]
THETA = np.array([0.3])
BEFORE, WITHIN = (2, 3, 4, 5, 8), (0.5, 1, 2, 3, 4)
WIDTH = 2 * np.sqrt(np.pi)  # of a Gaussian in its sigma: 1 / int p^2 dx


def case(mean: float, sigma: float, overrides: dict[str, Any]) -> Config:
    """A survey of one bin with a Gaussian n(z), averaged in flat pixels."""
    cfg = load_params(ROOT / "params.yaml", {"lensing.survey": "hsc_y3_fair", "real.source": "mock", **overrides})
    term = {"kind": "gaussian", "weight": 1.0, "mean": mean, "sigma": sigma}
    bins = [Bin.model_validate({"n_eff": 1.0, "sigma_e": 0.3, "n_z": [term]})]
    return cfg.model_copy(update={"survey": cfg.survey.model_copy(update={"bins": bins})})


def worst(cfg: Config, grid: lensing.Grid, thickness: float) -> float:
    """Largest |sum over shells of this thickness / Limber integral - 1|."""
    # thinner ones than params.yaml takes, and thicker ones than the simulator accepts, are wanted here
    thick = cfg.model_copy(update={"lensing": cfg.lensing.model_copy(update={"shell_mpc_h": thickness})})
    weights, c_ell, _ = lensing.shell_spectra(thick, grid, THETA)
    some = (grid.ell > 100) & (grid.ell < 1500)
    exact = limber.spectra(cfg, THETA[None], grid.ell[some], most=1.0)[0, 0, 0]
    return float(np.abs((weights[0] ** 2 @ c_ell)[some] / exact - 1).max())


def main() -> None:
    """Print both tables."""
    cli.Parser("study.shell_resolution", __doc__).parse_args()
    thin = {"lensing.shell_mpc_h": 20.0, "lensing.mask": "none"}
    plain = case(1.0, 0.1, thin)
    grid, back = lensing.prepare(plain, pixels="centres"), theory_table(plain).background(plain.cosmology(THETA))
    print("shells in front of the sources: worst |sum / Limber - 1| of C_ell [%], sources at z = 0.1, 0.13 ... 0.25")
    for count in BEFORE:
        found = []
        for mean in np.arange(0.1, 0.26, 0.03):
            distance = float(np.interp(mean, back.z, back.chi))
            found.append(worst(case(mean, 0.02, thin), grid, distance / count))
        print(f"  {count}: " + " ".join(f"{100 * one:.1f}" for one in found), flush=True)
    print("shells within a bin with alignments, A_IA = 1: the same, sources at z = 0.9, 0.95 ... 1.1")
    for count in WITHIN:
        found = []
        for mean in np.arange(0.9, 1.11, 0.05):
            chi = np.interp([mean - 0.01, mean + 0.01], back.z, back.chi)
            found.append(worst(case(mean, 0.01, thin | {"prior.a_ia": 1.0}), grid, WIDTH * np.diff(chi)[0] / 2 / count))
        print(f"  {count}: " + " ".join(f"{100 * one:.1f}" for one in found), flush=True)


if __name__ == "__main__":
    cli.entry(main)

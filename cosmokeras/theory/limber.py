"""Angular spectra of convergence by Limber integrals (LoVerde & Afshordi 2008, PRD 78, 123506), alignments included."""

from __future__ import annotations

from typing import Any

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.survey import Survey
from cosmokeras.theory.table import HUBBLE_DISTANCE, Background, theory_table

HUBBLE = 1 / HUBBLE_DISTANCE  # H0 / c [h/Mpc]
# C_1 rho_crit with C_1 = 5e-14 Mpc^3 / (h^2 M_sun) (Bridle & King 2007, NJP 9, 444) and CCL's rho_crit, 2.7754e11 h^2
# M_sun / Mpc^3
C1_RHO = 5e-14 * 2.77536627e11
NODES = 400  # of the Limber integral in chi
MIN_STEPS = 30  # between us and the sources of a bin; where there are fewer they are made finer
MAX_BEYOND_TABLE = 0.01  # part of C_ell that may come from wavenumbers beyond the tabulated ones
PIVOT = 0.62  # redshift of unit factor in the evolution of alignments (Secco, Samuroff et al. 2022, PRD 105, 023515)


def lensing_kernel(survey: Survey, back: Background, chi: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Lensing efficiency q_b(chi) [h/Mpc], shape (bins, len(chi)), so that kappa_b = int q_b delta dchi.

    q_b = 3/2 Omega_m (H0/c)^2 (chi / a) int dz n_b(z) (1 - chi / chi(z))_+  (Bartelmann & Schneider 2001, Phys. Rep.
    340, 291, eqs. 6.20-6.21). `shift` of n(z): one for each bin.
    """
    weights = survey.n_z_weights(back.z, shift)
    # int_z^inf n dz' and int_z^inf n / chi dz', from the far end towards us

    def tail(values: np.ndarray) -> np.ndarray:
        return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]

    g = tail(weights) - back.chi * tail(weights / np.maximum(back.chi, back.chi[1]))
    q = 1.5 * back.omega_m * HUBBLE**2 * back.chi * (1 + back.z) * g
    return np.array([np.interp(chi, back.chi, row, right=0.0) for row in q])


def alignment_kernel(survey: Survey, back: Background, chi: np.ndarray, values: dict[str, Any]) -> np.ndarray:
    """Kernel of intrinsic alignments [h/Mpc], shape (bins, len(chi)), to be added to `lensing_kernel`.

    The non-linear alignment model: -A_IA ((1 + z) / (1 + z0))^eta_IA C_1 rho_crit Omega_m / D(z) n_b(z) dz/dchi
    (Bridle & King 2007, NJP 9, 444; Joachimi et al. 2011, A&A 527, A26, eq. 6).
    """
    z = back.z_of(chi)
    amplitude = -values["a_ia"] * ((1 + z) / (1 + PIVOT)) ** values["eta_ia"]
    amplitude *= C1_RHO * back.omega_m / np.interp(z, back.z, back.growth)
    slope = np.interp(z, back.z, np.gradient(back.chi, back.z, edge_order=2))
    return amplitude / slope * survey.n_z(z, values["delta_z"])


def kernel(survey: Survey, back: Background, chi: np.ndarray, values: dict[str, Any]) -> np.ndarray:
    """All that turns density into the shapes of a bin's galaxies [h/Mpc], (bins, len(chi)).

    (1 + m_b) (lensing + intrinsic alignments), at the shifted n(z). `values` are all parameters of a cosmology.
    """
    q = lensing_kernel(survey, back, chi, values["delta_z"])
    if values["a_ia"]:
        q = q + alignment_kernel(survey, back, chi, values)
    return (1 + values["m_bias"])[:, None] * q


def limber_nodes(survey: Survey, back: Background, values: dict[str, Any]) -> np.ndarray:
    """Comoving distances [Mpc/h], (n,) ascending from above 0, between which the Limber integrand is smooth.

    NODES equal steps; finer ones in front of near sources and, for alignments, within a narrow n(z).
    """
    chi = np.linspace(0, back.chi[-1], NODES + 1)
    more = []
    nearest = np.interp(survey.n_z_inside(values["delta_z"])[1].min(), back.z, back.chi)
    if nearest < MIN_STEPS * chi[1]:
        more.append(np.linspace(0, 3 * nearest, 6 * MIN_STEPS + 1))
    if values["a_ia"]:
        z = survey.n_z_nodes(back.z_of(chi), values["delta_z"])
        more.append(np.interp(z, back.z, back.chi))
    if more:
        chi = np.unique(np.concatenate([chi, *more]))
    return chi[1:]


def angular_cl(cfg: Config, theta: np.ndarray, ell: np.ndarray) -> np.ndarray:
    """Convergence spectra C_ell, shape (n, bins, bins, len(ell)), dimensionless, in the Limber approximation.

    C_ell^{ab} = int dchi q_a q_b P(k = (ell + 1/2) / chi, z) / chi^2  (LoVerde & Afshordi 2008, PRD 78, 123506), with
    the nuisance parameters of theta in the kernels q and in P. Rows of theta, (n, p) or (p,), must lie in the prior
    box, over which P is tabulated; multipoles that need more than a hundredth of wavenumbers beyond the tabulated
    ones, about 1000 h/Mpc, are refused.
    """
    theta, ell = checked.cosmologies(cfg, theta), arguments.axis("ell", ell)
    if cfg.kind.observed != "survey":
        raise UserError(f"data.kind={cfg.data.kind}: its maps are not those of a survey's sky; use theory.power")
    return spectra(cfg, theta, ell)


def spectra(cfg: Config, theta: np.ndarray, ell: np.ndarray, most: float = MAX_BEYOND_TABLE) -> np.ndarray:
    """`angular_cl` of arguments that are checked; `most`: part of C_ell that may come from beyond the table."""
    table = theory_table(cfg)
    out = []
    for row in theta:
        values = cfg.cosmology(row)
        back = table.background(values)
        chi = limber_nodes(cfg.survey, back, values)
        step = np.diff(chi, prepend=0.0, append=chi[-1])
        q = kernel(cfg.survey, back, chi, values)
        k = (ell[:, None] + 0.5) / chi
        p = table.power(values)(k, back.z_of(chi)) / chi**2 * (step[1:] + step[:-1]) / 2
        last = int(ell.argmax())
        highest = table.linear(values)[0][-1]
        beyond = k[last] > highest  # where P is that of the last tabulated wavenumber
        part = (q**2 * p[last] * beyond).sum(axis=1) / (q**2 * p[last]).sum(axis=1)
        if part.max() > most:
            number = int(part.argmax()) + 1
            raise UserError(
                f"ell={ell[last]:g}: {part.max():.0%} of C_ell of bin {number} comes from wavenumbers beyond the "
                f"tabulated ones, {highest:.3g} h/Mpc; take lower multipoles"
            )
        out.append(np.einsum("ac,bc,lc->abl", q, q, p))
    return np.array(out)

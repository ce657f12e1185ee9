"""What the spectra of the maps should be: BBKS for `grf`, Limber integrals over CCL's power for `lensing`."""

from __future__ import annotations

import numpy as np

from cosmokeras.config import Config
from cosmokeras.cosmology import Background, bbks_power, theory_table
from cosmokeras.surveys.presets import Survey

HUBBLE = 1 / 2997.92458  # H0 / c [h/Mpc]


def power(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Spectrum of `grf` maps, shape (n, len(k)) [(Mpc/h)^2], of unit amplitude; k in h/Mpc."""
    rows = [cfg.cosmology(row) for row in np.atleast_2d(theta)]
    return np.array([bbks_power(k, row["omega_m"], row["h"], row["n_s"]) for row in rows])


def lensing_kernel(survey: Survey, back: Background, chi: np.ndarray) -> np.ndarray:
    """Lensing efficiency q_b(chi) [h/Mpc], shape (bins, len(chi)), so that kappa_b = int q_b delta dchi.

    q_b = 3/2 Omega_m (H0/c)^2 (chi / a) int dz n_b(z) (1 - chi / chi(z))_+  (Bartelmann & Schneider 2001, Phys. Rep.
    340, 291, eqs. 6.20-6.21).
    """
    n_z = survey.n_z(back.z)
    # int_z^inf n dz' and int_z^inf n / chi dz', from the far end towards us
    dz = np.diff(back.z)
    over_chi = n_z / np.maximum(back.chi, back.chi[1])

    def tail(values: np.ndarray) -> np.ndarray:
        steps = (values[:, 1:] + values[:, :-1]) / 2 * dz
        return np.concatenate([np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], np.zeros((len(values), 1))], axis=1)

    g = tail(n_z) - back.chi * tail(over_chi)
    q = 1.5 * back.omega_m * HUBBLE**2 * back.chi * (1 + back.z) * g
    return np.array([np.interp(chi, back.chi, row, right=0.0) for row in q])


def angular_cl(cfg: Config, theta: np.ndarray, ell: np.ndarray) -> np.ndarray:
    """Convergence spectra C_ell, shape (n, bins, bins, len(ell)), dimensionless, in the Limber approximation.

    C_ell^{ab} = int dchi q_a q_b P(k = (ell + 1/2) / chi, z) / chi^2  (LoVerde & Afshordi 2008, PRD 78, 123506).
    """
    ell = np.asarray(ell, dtype=float)
    table = theory_table(cfg)
    out = []
    for row in np.atleast_2d(theta):
        back = table.background(row, cfg.cosmology(row)["omega_m"])
        chi = np.linspace(0, back.chi[-1], 400)[1:]
        q = lensing_kernel(cfg.survey, back, chi)
        k = (ell[:, None] + 0.5) / chi
        p = table.power(row)(k, back.z_of(chi)) / chi**2
        out.append(np.einsum("ac,bc,lc->abl", q, q, p) * (chi[1] - chi[0]))
    return np.array(out)

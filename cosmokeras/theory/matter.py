"""Spectra of matter, for each kind of maps that has one: BBKS for `grf`, linear theory for `2lpt`."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.theory.bbks import bbks_power
from cosmokeras.theory.table import theory_table


def power(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Spectrum of `grf` maps [(Mpc/h)^2], unit amplitude, or linear 3-D power of `2lpt` at its redshift [(Mpc/h)^3].

    Shape (n, len(k)), for theta (n, p) or (p,) inside the prior box; k (n_k,) in h/Mpc.
    """
    theta, k = checked.cosmologies(cfg, theta), arguments.axis("k", k)
    if cfg.kind.matter is None:
        raise UserError(f"data.kind={cfg.data.kind}: has no power spectrum of matter; use theory.angular_cl")
    return {"bbks": bbks, "linear": linear}[cfg.kind.matter](cfg, theta, k)


def bbks(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Spectra (n, len(k)) [(Mpc/h)^2] for theta (n, p), of unit amplitude; k in h/Mpc (Bardeen et al. 1986)."""
    rows = [cfg.cosmology(row) for row in theta]
    return np.array([bbks_power(k, row["omega_m"], row["h"], row["n_s"]) for row in rows])


def linear(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Linear power of matter at the redshift of `2lpt` maps [(Mpc/h)^3], (n, len(k)), for rows of free parameters."""
    table, rows = theory_table(cfg), [cfg.cosmology(row) for row in theta]
    return np.array([table.linear_at(row, k) * table.grown(row, cfg.lpt.redshift)[0] ** 2 for row in rows])

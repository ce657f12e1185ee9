"""Shells of matter seen on the sky: lensing weights and angular spectra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmokeras.params.config import Config
from cosmokeras.theory import limber
from cosmokeras.theory.table import Background, TheoryTable


@dataclass(frozen=True)
class ShellNodes:
    """Distances `chi` (shells, 4) [Mpc/h] in shells, steps `dchi` (4,), and parts `inside` (shells, 4) of their weight.

    A shell is projected with the geometric part chi / a of the lensing kernel, which varies across the nearest shells;
    the rest of the kernel is smooth.
    """

    back: Background
    chi: np.ndarray
    dchi: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, back: Background, start: np.ndarray, thickness: float) -> ShellNodes:
        """Of shells that begin at `start` (shells,) and are as thick as `thickness` [Mpc/h]."""
        x, w = np.polynomial.legendre.leggauss(4)
        chi = start[:, None] + thickness * (x + 1) / 2
        dchi = thickness * w / 2
        inside = chi * (1 + back.z_of(chi)) * dchi
        return cls(back, chi, dchi, inside / inside.sum(axis=1, keepdims=True))


def project_shells(
    cfg: Config, table: TheoryTable, values: dict[str, Any], nodes: ShellNodes, ell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lensing weights (bins, shells) and C_ell of the density contrast (shells, n_ell) of comoving shells.

    Parameters
    ----------
    values : all parameters of the cosmology by name
    ell : (n_ell, 1) multipoles, or (n_ell, shells) where they differ by shell
    """
    back, chi, dchi = nodes.back, nodes.chi, nodes.dchi
    kernel = limber.kernel(cfg.survey, back, chi.ravel(), values).reshape(-1, *chi.shape)
    k = (ell[..., None] + 0.5) / chi
    power = table.power(values)(k, back.z_of(chi))
    return kernel @ dchi, np.einsum("lsc,sc->sl", power, nodes.inside**2 / dchi / chi**2)

"""Tomographic convergence maps: multi-plane lensing through lognormal shells of matter.

Each comoving shell is a two-dimensional lognormal density (Coles & Jones 1991, MNRAS 248, 1; shift 1) whose spectrum is
the Limber projection of CCL's non-linear power. The shells are shared by all source bins, so that the bins are
correlated as they should be. Maps are made on a periodic grid twice as wide and cut out: they do not wrap around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from cosmokeras.config import Config
from cosmokeras.cosmology import TheoryTable, theory_table
from cosmokeras.pixels import ARCMIN
from cosmokeras.simulators.fields import gaussian_field, wavenumbers
from cosmokeras.theory import lensing_kernel

# Shells that add less than this part to every C_ell are left out (the far tail of n(z)).
NEGLIGIBLE = 1e-4


def prepare(cfg: Config, progress: bool = False) -> TheoryTable:
    """The theory table over the prior box."""
    return theory_table(cfg, progress)


@dataclass(frozen=True)
class Shells:
    """One cosmology's shells.

    `weights` (bins, shells) turns density contrasts into convergence, `amplitudes` (shells, n, n // 2 + 1) are those of
    the Gaussian fields' modes, `means` (shells,) half their variances.
    """

    weights: np.ndarray
    amplitudes: np.ndarray
    means: np.ndarray


def shells(cfg: Config, table: TheoryTable, theta: np.ndarray, n: int) -> Shells:
    """Weights and lognormal spectra of the shells of one cosmology on an n x n periodic grid."""
    pixel = cfg.pixel_arcmin * ARCMIN
    back = table.background(theta, cfg.cosmology(theta)["omega_m"])
    count = int(np.ceil(back.chi[-1] / cfg.lensing.shell_mpc_h))
    edges = np.linspace(0.0, back.chi[-1], count + 1)
    x, w = np.polynomial.legendre.leggauss(4)
    chi = edges[:-1, None] + (edges[1] - edges[0]) * (x + 1) / 2  # (shells, 4)
    dchi = (edges[1] - edges[0]) * w / 2
    kernel = lensing_kernel(cfg.survey, back, chi.ravel()).reshape(-1, *chi.shape)
    weights = kernel @ dchi  # (bins, shells)

    # The shell is projected with the geometric part chi / a of the lensing kernel, which varies across the nearest
    # shells; the rest of the kernel is smooth.
    z = back.z_of(chi)
    inside = chi * (1 + z) * dchi
    inside /= inside.sum(axis=1, keepdims=True)
    ell_grid = wavenumbers(n, pixel)
    ell = np.geomspace(ell_grid[0, 1], ell_grid.max(), 120)
    k = (ell[:, None, None] + 0.5) / chi
    power = table.power(theta)(k, z)
    c_ell = np.einsum("lsc,sc->sl", power, inside**2 / dchi / chi**2)  # (shells, n_ell)

    part = weights[:, :, None] ** 2 * c_ell
    keep = (part / part.sum(axis=1, keepdims=True)).max(axis=(0, 2)) > NEGLIGIBLE
    log_ell = np.log(np.maximum(ell_grid, ell_grid[0, 1]))
    on_grid = np.exp([np.interp(log_ell, np.log(ell), np.log(row)) for row in c_ell[keep]])
    on_grid[:, 0, 0] = 0.0
    # correlation of the density on the grid, of the Gaussian field, and back to mode variances
    xi = fft.irfft2(on_grid, s=(n, n), workers=1) / pixel**2
    # no lognormal field has a correlation below -1; the smallest k = 0 mode that makes it positive stands for the
    # waves longer than the grid
    xi -= np.minimum(xi.min(axis=(1, 2), keepdims=True), 0.0)
    gaussian = fft.rfft2(np.log1p(xi), workers=1).real
    gaussian = np.maximum(gaussian, 0.0)
    variance = fft.irfft2(gaussian, s=(n, n), workers=1)[:, 0, 0]
    amplitudes = np.sqrt(gaussian * n**2).astype(np.float32)
    return Shells(weights[:, keep].astype(np.float32), amplitudes, (variance / 2).astype(np.float32))


def maps(cfg: Config, table: TheoryTable, theta: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Noise-free convergence, (len(rngs), size, size, bins) float32, of one cosmology."""
    size = cfg.data.size
    planes = shells(cfg, table, theta, 2 * size)
    return np.stack([_convergence(planes, size, rng) for rng in rngs])


def _convergence(planes: Shells, size: int, rng: np.random.Generator) -> np.ndarray:
    kappa = np.zeros((planes.weights.shape[0], size * size), np.float32)
    for weight, amplitude, mean in zip(planes.weights.T, planes.amplitudes, planes.means, strict=True):
        patch = gaussian_field(rng, amplitude)[:size, :size]
        density = np.expm1(patch - mean)
        kappa += weight[:, None] * density.ravel()
    return np.moveaxis(kappa.reshape(-1, size, size), 0, -1)

"""Skewness of smoothed convergence by Limber's approximation, of BiHalofit's third moments."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory import limber
from cosmokeras.theory.bispectrum import linear_matter
from cosmokeras.theory.table import has_baryons, theory_table, without_baryons
from cosmokeras.theory.third_moment import second_moment, third_moment

NODES = 80  # of the Limber integral in chi: Gauss-Legendre on each side of DIVIDED
DIVIDED = 0.1  # of the distance of z_max; the sheets nearer than that need nodes of their own


def kappa_skewness(cfg: Config, theta: np.ndarray, smoothing_arcmin: np.ndarray) -> np.ndarray:
    """Skewness <kappa^3> / <kappa^2>^(3/2) of each bin's convergence, (n, bins, m), fitted to N-body simulations.

    <kappa^2> = int dchi q^2 / chi^2 int ell dell / 2 pi P W^2 and <kappa^3> = int dchi q^3 / chi^4 int d^2l1 d^2l2 /
    (2 pi)^4 B W1 W2 W3 (e.g. Kilbinger & Schneider 2005, A&A 442, 69), with the P of `theory.nonlinear` and B
    of BiHalofit (Takahashi et al. 2020, ApJ 895, 113; good to 10 to 20 %). W is the Gaussian of each of
    `smoothing_arcmin` (m,), standard deviation [arcmin], above 0: no pixel, no lmax. Rows of theta, (n, p) or (p,),
    must lie in the prior box.
    Alignments, shear bias and redshift shifts are in the kernels q; baryons change the third moment as they change the
    square of the second.
    """
    theta = checked.cosmologies(cfg, theta)
    smoothing = arguments.axis("smoothing_arcmin", smoothing_arcmin, 0.0, above=True)
    if cfg.kind.observed != "survey":
        raise UserError(f"data.kind={cfg.data.kind}: its maps are not those of a survey's sky, and have no convergence")
    if cfg.prior.m_nu != 0:
        raise UserError(f"prior.m_nu={cfg.prior.m_nu}: BiHalofit was made for massless neutrinos; set it to 0")
    table, out = theory_table(cfg), np.empty((len(theta), len(cfg.survey.bins), len(smoothing)))
    for row, skewness in zip(theta, out, strict=True):
        values = cfg.cosmology(row)
        back = table.background(values)
        chi, dchi = _nodes(back.chi[-1])
        z, q = back.z_of(chi), limber.kernel(cfg.survey, back, chi, values)
        matter, power = linear_matter(table, values, z), table.power(values)
        dark = table.power(without_baryons(values)) if has_baryons(values) else None
        for number, angle in enumerate(smoothing * ARCMIN):
            second, third = second_moment(power, chi * angle, z), third_moment(matter, dark or power, chi * angle)
            if dark is not None:
                third = third * (second / second_moment(dark, chi * angle, z)) ** 2
            skewness[:, number] = (q**3 * dchi) @ third / ((q**2 * dchi) @ second) ** 1.5
    return out


def _nodes(far: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances from 0 to `far` [Mpc/h], and their weights."""
    x, w = np.polynomial.legendre.leggauss(NODES // 2)
    edges = np.array([0.0, DIVIDED, 1.0]) * far
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()

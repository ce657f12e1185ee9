"""Tomographic convergence maps: multi-plane lensing through lognormal shells of matter.

Each comoving shell is a two-dimensional lognormal density (Coles & Jones 1991, MNRAS 248, 1) whose spectrum is the
Limber projection of CCL's non-linear power. The shells are shared by all source bins and by lensing and intrinsic
alignments, so that bins are correlated, and alignments with lensing, as they should be. Maps are made on a periodic
grid twice as wide and cut out: they do not wrap around.

A lognormal shell of shift 1 has the third moment V^3 + 3 V^2 for a variance V, which grows as 1 / thickness: kappa of
thinner shells would be more and more skewed (shells of 50 instead of 100 Mpc/h: by 40 %). The skewness parameter
<delta^3> / V^2 of projected matter depends on thickness no more, once shells are thicker than its correlation length.
Shells thinner than 100 Mpc/h therefore have the shift that gives them that of such a shell of shift 1. So it is with
`lensing.third_moment: shift`; with `bihalofit` each shell has the shift at which its third moment is that of N-body
simulations, whatever its thickness (`cosmokeras.theory.lognormal_shift`).

Maps show what the survey's pixels show (`Survey.pixels`): convergence in pixel centres up to the survey's lmax, or
averages over pixels, with the power that is aliased into them and the third moment that is left of a finer field's
(`cosmokeras.simulators.averaging`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

from cosmokeras.common.interpolation import log_bracket
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.survey import Pixels
from cosmokeras.simulators.averaging import (
    PixelAverage,
    averaged_shift,
    cut_average,
    pixel_average,
    third_moment_shift,
)
from cosmokeras.simulators.fields import mode_amplitude, normal_modes, wavenumbers
from cosmokeras.simulators.projection import ShellNodes, project_shells
from cosmokeras.simulators.resolution import check_resolution
from cosmokeras.sky.patches import MARGIN
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory import limber
from cosmokeras.theory.lognormal_shift import ShiftTable, shift_table
from cosmokeras.theory.table import Background, TheoryTable, theory_table

LABELS = ("multipole $\\ell$", "$C_\\ell$")
# Shells that add less than this part to every C_ell are left out (the far tail of n(z)).
NEGLIGIBLE = 1e-4
# Grids are no wider than this many maps. Of a wider field the part that is not simulated has another mean, hardly
# correlated with that of the map: the mean of what is simulated is subtracted times its share of the field.
MOST_PADDING = 8
BATCH = 8  # shells transformed at once: they stay in the cache


@dataclass(frozen=True)
class Grid:
    """What all cosmologies share.

    The theory table, nodes `ell`, and where between them (`lower`, `fraction`, in ln ell) the modes of a quadrant of
    the periodic grid lie, (n // 2 + 1, n // 2 + 1); the rest of the grid mirrors it. The k = 0 mode stands for all
    modes of its cell in Fourier space; `cell` (n_ell,) are the weights of the nodes in the mean over that cell.
    `average` are the pixel averages; None where pixels show the field in their centres. `shifts` are BiHalofit's; None
    where these are not asked for.
    """

    table: TheoryTable
    n: int
    ell: np.ndarray
    lower: np.ndarray
    fraction: np.ndarray
    cell: np.ndarray
    average: PixelAverage | None = None
    shifts: ShiftTable | None = None

    def power(self, log_c: np.ndarray) -> np.ndarray:
        """Power of the modes of a quadrant, (shells, n // 2 + 1, n // 2 + 1), of spectra exp(log_c) (shells, n_ell)."""
        if self.average is None:
            step = np.diff(log_c, axis=1)
            spectra: np.ndarray = np.exp(log_c[:, self.lower] + self.fraction * step[:, self.lower])
        else:
            spectra = (self.average.power @ self.c_ell_at(self.average.ell, log_c).T).T.reshape(-1, *self.lower.shape)
        spectra[:, 0, 0] = np.exp(log_c) @ self.cell
        return spectra

    def c_ell_at(self, ell: np.ndarray, log_c: np.ndarray) -> np.ndarray:
        """C_ell at multipoles `ell` (m,), those of `average`, (shells, m), of ln C_ell at the nodes (shells, n_ell)."""
        lower, fraction = log_bracket(ell, self.ell)
        return np.exp(log_c[:, lower] * (1 - fraction) + log_c[:, lower + 1] * fraction)


def prepare(cfg: Config, progress: bool = False, padding: int | None = None, pixels: Pixels | None = None) -> Grid:
    """The theory table over the prior box, and the geometry of a grid `padding` times as wide as the maps.

    `padding` is 2 where it is not given, or as much as holds the field whose mean is removed. `pixels` says what pixels
    show; where it is not given, what the survey's do.
    """
    table = theory_table(cfg, progress)
    check_resolution(cfg, table)
    n = (padding or _padding(cfg)) * cfg.data.size
    pixel, pixels = cfg.pixel_arcmin * ARCMIN, pixels or cfg.survey.pixels
    modes = wavenumbers(n, pixel)[: n // 2 + 1]
    lowest = 0.05 * modes[0, 1]
    average = _average(cfg, n, pixels, lowest)
    ell = np.geomspace(lowest, modes.max() if average is None else average.ell[-1], 150 if average is None else 200)

    half = (np.arange(20) + 0.5) / 40 * modes[0, 1]
    lower, fraction = log_bracket(np.hypot(half[:, None], half).ravel(), ell)
    cell = np.zeros(len(ell))
    np.add.at(cell, lower, (1 - fraction) / lower.size)
    np.add.at(cell, lower + 1, fraction / lower.size)
    lower, fraction = log_bracket(modes, ell)
    shifts = shift_table(cfg, progress) if cfg.lensing.third_moment == "bihalofit" else None
    return Grid(table, n, ell, lower, fraction, cell, average, shifts)


def _average(cfg: Config, n: int, pixels: Pixels, lowest: float) -> PixelAverage | None:
    """What pixels of an n x n grid average, of modes from `lowest` on; None for the field in their centres."""
    pixel = cfg.pixel_arcmin * ARCMIN
    if pixels == "centres":
        return None
    if pixels == "cut":
        return cut_average(n, pixel, cfg.survey.healpix_nside, cfg.survey.sky, lowest)
    return pixel_average(n, pixel, pixels, lowest)


def field_side(cfg: Config) -> int | None:
    """Pixels along the side of the field whose mean is removed; None where no field's mean is."""
    if cfg.mean != "removed_field" or cfg.field_deg is None:
        return None
    return max(cfg.data.size, round(cfg.field_deg * 60 / cfg.pixel_arcmin))


def _padding(cfg: Config) -> int:
    """Twice as wide as maps and field are: what is periodic stays outside."""
    side = field_side(cfg)
    return 2 if side is None else min(max(2, -(-(side + cfg.data.size) // cfg.data.size)), MOST_PADDING)


@dataclass(frozen=True)
class Shells:
    """One cosmology's shells.

    Density contrast is shift (exp(g - variance / 2) - 1) with a Gaussian field g of `variance` (shells,) whose modes
    are `amplitudes` (shells, n, n // 2 + 1) times `normal_modes`; `weights` (bins, shells) turn contrasts into
    convergence, `shift` is (shells,).
    """

    weights: np.ndarray
    amplitudes: np.ndarray
    variance: np.ndarray
    shift: np.ndarray


def shells(cfg: Config, grid: Grid, theta: np.ndarray) -> Shells:
    """Weights and lognormal spectra of the shells of one cosmology."""
    values = cfg.cosmology(theta)
    back = grid.table.background(values)
    nodes, thickness = _nodes(cfg, back)
    weights, c_ell = project_shells(cfg, grid.table, values, nodes, grid.ell[:, None])
    part = weights[:, :, None] ** 2 * c_ell
    keep = (part / part.sum(axis=1, keepdims=True)).max(axis=(0, 2)) > NEGLIGIBLE
    shift = None
    if grid.shifts is not None:
        shift = grid.shifts.shifts(values, nodes.chi[keep] / back.chi[-1], nodes.inside[keep], nodes.dchi)
    return _lognormal(cfg, grid, weights[:, keep], np.log(c_ell[keep]), thickness, shift)


def shell_spectra(cfg: Config, grid: Grid, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Lensing weights (bins, shells), C_ell (shells, n_ell) and thickness [Mpc/h] of the shells of one cosmology."""
    values = cfg.cosmology(theta)
    nodes, thickness = _nodes(cfg, grid.table.background(values))
    return *project_shells(cfg, grid.table, values, nodes, grid.ell[:, None]), thickness


def _nodes(cfg: Config, back: Background) -> tuple[ShellNodes, float]:
    """Nodes of the shells out to the end of the background, and their thickness [Mpc/h]."""
    edges = np.linspace(0.0, back.chi[-1], int(np.ceil(back.chi[-1] / cfg.lensing.shell_mpc_h)) + 1)
    thickness = edges[1] - edges[0]
    return ShellNodes.of(back, edges[:-1], thickness), thickness


def _lognormal(
    cfg: Config, grid: Grid, weights: np.ndarray, log_c: np.ndarray, thickness: float, shift: np.ndarray | None
) -> Shells:
    """Gaussian fields whose exponentials have the spectra exp(log_c) (shells, n_ell), and the shifts (shells,)."""
    n, spectra = grid.n, grid.power(log_c)
    # Correlation of the density on the grid, of the Gaussian field, and back to the variances of its modes. A cosine
    # transform (type 1) of a quadrant is the Fourier transform of the whole grid that mirrors it.
    xi = fft.dctn(spectra, type=1, axes=(1, 2), workers=1) / (n * cfg.pixel_arcmin * ARCMIN) ** 2
    # thin shells have correlations below -1 on a periodic grid, which no lognormal field has: more of the k = 0 mode
    xi -= np.minimum(xi.min(axis=(1, 2), keepdims=True), 0.0)
    if shift is None:
        shift = _plain_shift(grid, log_c, xi[:, 0, 0], thickness)
    gaussian = np.maximum(fft.dctn(np.log1p(xi / shift[:, None, None] ** 2), type=1, axes=(1, 2), workers=1), 0.0)
    mirror = np.full(n // 2 + 1, 2.0)
    mirror[[0, -1]] = 1.0
    variance = np.einsum("syx,y,x->s", gaussian, mirror, mirror) / n**2
    rows = np.minimum(np.arange(n), n - np.arange(n))
    amplitudes = mode_amplitude(gaussian * n**2)[:, rows]
    return Shells(weights=weights, amplitudes=amplitudes, variance=variance, shift=shift)


def _plain_shift(grid: Grid, log_c: np.ndarray, variance: np.ndarray, thickness: float) -> np.ndarray:
    """Shifts (shells,) of `lensing.third_moment: shift`; `variance` of the field on the grid."""
    if grid.average is None:
        return third_moment_shift(variance, thickness)
    moments = grid.average.moments(grid.c_ell_at(grid.average.ell, log_c))
    return averaged_shift(moments, variance, third_moment_shift(moments[:, 0, 0], thickness))


def maps(
    cfg: Config, grid: Grid, theta: np.ndarray, rng_of: Callable[[int], np.random.Generator], count: int
) -> np.ndarray:
    """Noise-free convergence, (count, size, size, bins) float32, of one cosmology.

    Up to the survey's lmax, where it has one; what is cut off is cut off on a wider map, away from the edges. Without
    the mean of the field, where the survey's inversion does not determine it: the map lies in a corner of the field.
    """
    size, lmax, planes = cfg.data.size, cfg.survey.lmax, shells(cfg, grid, theta)
    side = field_side(cfg)
    field = min(side or size, grid.n)
    wide = field if lmax is None else min(max(size + 2 * MARGIN, field), grid.n)
    weights = (planes.weights * planes.shift).astype(np.float32)
    half = (planes.variance / 2).astype(np.float32)[:, None, None]
    out = np.empty((count, size, size, len(weights)), np.float32)
    for r in range(count):
        rng, flat = rng_of(r), np.zeros((len(weights), wide**2), np.float32)
        for start in range(0, len(half), BATCH):
            part = slice(start, min(start + BATCH, len(half)))
            modes = normal_modes(rng, planes.amplitudes[part].shape)
            modes *= planes.amplitudes[part]
            # the two axes one after the other: only the part that is cut out is transformed along the second
            columns = fft.ifft(modes, axis=1, workers=1, overwrite_x=True)[:, :wide]
            density = fft.irfft(columns, n=grid.n, axis=2, workers=1)[:, :, :wide] - half[part]
            np.expm1(density, out=density)
            flat += weights[:, part] @ density.reshape(len(density), -1)
        kappa: np.ndarray = flat.reshape(-1, wide, wide)
        if lmax is not None:
            kappa = _up_to(kappa, lmax, cfg.pixel_arcmin * ARCMIN)
        start = (wide - size) // 2 if lmax is not None else 0
        if side is not None:
            mean = kappa.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
            kappa = kappa - (mean * (field / side) ** 2).astype(np.float32)
        kappa = kappa[:, start : start + size, start : start + size]
        out[r] = np.moveaxis(kappa, 0, -1)
    return out


def _up_to(kappa: np.ndarray, lmax: int, pixel: float) -> np.ndarray:
    """Maps (bins, n, n) without multipoles above `lmax`, which Kaiser-Squires maps do not have."""
    modes = fft.rfft2(kappa, workers=1)
    modes *= wavenumbers(kappa.shape[1], pixel) <= lmax
    return fft.irfft2(modes, s=kappa.shape[1:], workers=1)


def spectrum(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    """What the auto spectra of the maps should be, (n, bins, len(k)), at multipoles `k`, averaged over directions.

    That is C_ell times the pixel window, plus aliases.
    """
    plain = np.einsum("nbbl->nbl", limber.angular_cl(cfg, theta, k))
    n, pixel = 2 * cfg.data.size, cfg.pixel_arcmin * ARCMIN
    modes = wavenumbers(n, pixel)[: n // 2 + 1]
    average = _average(cfg, n, cfg.survey.pixels, 0.05 * modes[0, 1])
    if average is None:
        return plain
    # what is beyond the table hardly passes the pixel window
    fields = np.einsum("nbbl->nbl", limber.spectra(cfg, checked.cosmologies(cfg, theta), average.ell, most=1.0))
    rings = np.rint(modes / modes[0, 1]).astype(int).ravel()
    count = np.bincount(rings)
    inside = np.flatnonzero(count)[1:]
    radius = np.bincount(rings, modes.ravel())[inside] / count[inside]
    log_ell, log_radius = np.log(average.ell), np.log(np.maximum(modes.ravel(), average.ell[0]))
    passed = np.empty_like(plain)
    for at in np.ndindex(plain.shape[:2]):
        seen, whole = average.power @ fields[at], np.exp(np.interp(log_radius, log_ell, np.log(fields[at])))
        part = (np.bincount(rings, seen) / np.bincount(rings, whole))[inside]
        passed[at] = np.interp(k, radius, part)
    return plain * passed

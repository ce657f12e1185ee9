"""Compact fits to redshift distributions: `python -m cosmokeras.surveys.fit_nz SOURCE...` prints preset terms.

A lensing spectrum feels n(z) only through the lensing efficiency g(chi) = int dz n(z) (1 - chi / chi(z))_+ , so a sum
of a few Gaussians is fitted to the table *and* to its lensing kernel chi (1 + z) g at once. The kernel is what counts:
its residuals weigh 30 times those of n(z), and bumps of the table that lensing cannot see stay out of the preset.

Each SOURCE is one of
    TABLE        a text file as survey presets name it (`redshifts.table`): z, then n(z) of one or more bins, in any
                 normalisation (a comment says which it was);
    FILE:HDU     a table of a FITS file in the 2-point format: columns Z_MID, BIN1, BIN2, ...;
    lsst_y1, lsst_y10    computed here: LSST sources of the DESC Science Requirements Document (`lsst_bins`).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtr

from cosmokeras.common import cli
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.redshifts.table import check_redshifts, read_rows
from cosmokeras.redshifts.terms import Gaussian

KERNEL_WEIGHT = 30.0
OMEGA_M = 0.3  # of the flat background that turns z into chi; g depends on it far less than the fit's error
LSST = {"lsst_y1": (0.13, 0.78), "lsst_y10": (0.11, 0.68)}  # z0, alpha of the sources after one and ten years
STEP = 0.0025  # of the redshift grids that kernels are integrated on


def grid(z_max: float) -> np.ndarray:
    """Redshifts from 0 to `z_max` in steps of STEP."""
    return np.linspace(0.0, z_max, round(z_max / STEP) + 1)


FINE = grid(3.0)


def lensing_kernel(n_z: np.ndarray, z: np.ndarray = FINE, omega_m: float = OMEGA_M) -> np.ndarray:
    """Lensing kernel chi (1 + z) g(chi) of `n_z` (of unit integral) on the grid `z`, in units of the Hubble length."""
    inverse_e = 1.0 / np.sqrt(omega_m * (1 + z) ** 3 + 1 - omega_m)
    chi = np.concatenate([[0.0], np.cumsum(0.5 * (inverse_e[1:] + inverse_e[:-1]) * np.diff(z))])

    def above(values: np.ndarray) -> np.ndarray:  # integral from z to the end of the grid, trapezium rule
        pieces = 0.5 * (values[1:] + values[:-1]) * np.diff(z)
        return np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])

    inverse_chi = np.divide(1.0, chi, out=np.zeros_like(chi), where=chi > 0)
    return (1 + z) * (chi * above(n_z) - chi**2 * above(n_z * inverse_chi))


def _mixture(vector: np.ndarray, z: np.ndarray, z_max: float) -> np.ndarray:
    """Normalised sum of Gaussians on `z`, cut at `z_max`; `vector` is (log weight, mean, log sigma) of each."""
    log_weight, mean, log_sigma = vector.reshape(3, -1)[:, :, None]
    n_z = np.sum(np.exp(log_weight - log_sigma - 0.5 * ((z - mean) / np.exp(log_sigma)) ** 2), axis=0)
    n_z = np.where(z <= z_max, n_z, 0.0)
    return n_z / np.trapezoid(n_z, z)


def fit(
    z: np.ndarray, n_z: np.ndarray, terms: int = 5, tries: int = 12, seed: int = 0, z_max: float = 3.0
) -> list[Gaussian]:
    """Fit `terms` Gaussians to one tabulated n(z), best of `tries` random starts.

    Parameters
    ----------
    z, n_z : (n,) arrays, the table; negative values (noise of the calibration) count as they are in the kernel
    terms : number of Gaussians
    tries : number of starting points
    seed : of the starting points
    z_max : where the fit ends, as in the preset; what the table has beyond it is made up for below, in the kernel

    Returns
    -------
    list of Gaussian, weights adding up to 1, rounded to the digits that the kernel can feel
    """
    if not (np.isfinite(n_z).all() and np.trapezoid(n_z, z) > 0):
        raise UserError(f"n(z) integrates to {np.trapezoid(n_z, z):g}; finite numbers and more than 0 are allowed")
    rng = np.random.default_rng(seed)
    fine = grid(max(z_max, z[np.flatnonzero(n_z)[-1]]))
    table = np.interp(fine, z, n_z, left=0.0, right=0.0)
    table /= np.trapezoid(table, fine)
    kernel = lensing_kernel(table, fine)
    shares = np.cumsum(np.clip(table, 0, None))
    shares /= shares[-1]

    def residuals(vector: np.ndarray) -> np.ndarray:
        n_fit = _mixture(vector, fine, z_max)
        in_kernel = (lensing_kernel(n_fit, fine) - kernel) / kernel.max()
        return np.concatenate([(n_fit - table) / table.max(), KERNEL_WEIGHT * in_kernel])

    low = np.repeat([-7.0, -0.2, np.log(0.02)], terms)
    high = np.repeat([1.0, 2.5, np.log(0.6)], terms)
    fits = []
    for _ in range(tries):
        means = np.interp(np.sort(rng.uniform(size=terms)), shares, fine)
        start = np.concatenate([np.zeros(terms), means, np.log(rng.uniform(0.05, 0.3, terms))])
        fits.append(least_squares(residuals, np.clip(start, low + 1e-6, high - 1e-6), bounds=(low, high)))
    best = min(fits, key=lambda fit: fit.cost)
    log_weight, mean, log_sigma = best.x.reshape(3, -1)
    weight = np.exp(log_weight - np.log(np.exp(log_weight).sum()))
    order = np.argsort(mean)
    return [
        Gaussian(
            kind="gaussian",
            weight=max(round(float(weight[i]), 4), 1e-4),
            mean=round(float(mean[i]), 4),
            sigma=round(float(np.exp(log_sigma[i])), 4),
        )
        for i in order
    ]


def normalised(z: np.ndarray, n_z: np.ndarray, z_max: float) -> str:
    """What one tabulated n(z) was normalised by, in words for the comment of a preset."""
    whole = np.trapezoid(n_z, z)
    beyond = 1 - np.trapezoid(n_z[z <= z_max], z[z <= z_max]) / whole
    return f"sum {n_z.sum():.4g}, integral {whole:.4g} ({beyond:.2%} beyond z = {z_max:g}), made 1"


def lsst_bins(source: str, bins: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """True redshift distributions of the LSST sources (DESC Science Requirements Document, arXiv:1809.01669).

    All sources: n(z) ~ z^2 exp(-(z / z0)^alpha), see LSST. Photometric redshifts scatter around the true ones as a
    Gaussian of width 0.05 (1 + z), without outliers, and cut the sources into bins of equal numbers (its appendix D).

    Returns
    -------
    z : (n,), from 0 to 3.5
    n_z : (bins, n), each of integral 1 / bins
    """
    z0, alpha = LSST[source]
    z = grid(3.5)
    sources = z**2 * np.exp(-((z / z0) ** alpha))
    sources /= np.trapezoid(sources, z)
    cuts = np.arange(-0.5, 5.0, STEP)
    below = ndtr((cuts[:, None] - z) / (0.05 * (1 + z)))  # chance of a photometric redshift below each cut
    edges = np.interp(np.arange(1, bins) / bins, np.trapezoid(sources * below, z, axis=1), cuts)
    below = ndtr((edges[:, None] - z) / (0.05 * (1 + z)))
    return z, sources * np.diff(below, axis=0, prepend=0.0, append=1.0)


def read(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts (n,) and distributions (bins, n) of a SOURCE, see above."""
    if source in LSST:
        return lsst_bins(source)
    path, _, hdu = source.partition(":")
    if not Path(path).exists():
        raise UserError(f"n(z) table {path} is missing; name a text file, FILE.fits:HDU, or {' or '.join(LSST)}")
    if hdu:
        z, bins = _fits_table(path, hdu)
        lines = tuple(range(1, len(z) + 1))
    elif Path(path).name.endswith((".fits", ".fits.gz", ".fit")):
        raise UserError(f"{source}: which table of the file? name it, FILE.fits:HDU; {_tables(path)}")
    else:
        rows, lines = read_rows(path)
        z, bins = rows[:, 0], rows[:, 1:].T
    if len(z) < 2 or len(bins) < 1:
        raise UserError(f"{source}: {len(z)} rows and {len(bins)} bins; two rows and one bin are the least")
    if not (np.isfinite(z).all() and np.isfinite(bins).all()):
        raise UserError(f"{source}: holds numbers that are not finite")
    check_redshifts(z, lines, source)
    if empty := [i + 1 for i, one in enumerate(bins) if not np.trapezoid(one, z) > 0]:
        raise UserError(f"{source}: bin {empty[0]} has no galaxies: its n(z) sums up to 0 or less")
    if len(bins) >= 3 and _are_edges(z, bins):
        raise UserError(f"{source}: its first columns are lower edges, middles and upper edges; keep middles and n(z)")
    return z, bins


def _are_edges(z: np.ndarray, bins: np.ndarray) -> bool:
    """Whether the columns behind the first are middles and upper edges of redshift bins."""
    middle, high = bins[:2]
    return bool((z < middle).all() and (middle < high).all() and np.allclose(high[:-1], z[1:], rtol=1e-3, atol=1e-4))


def _fits_table(path: str, hdu: str) -> tuple[np.ndarray, np.ndarray]:
    """Z_MID and BIN1, BIN2, ... of a table in a FITS file, whatever the case of their names."""
    from astropy.io import fits

    try:
        table = fits.getdata(path, int(hdu) if hdu.isdecimal() else hdu)
        columns = {str(name).upper(): name for name in getattr(table, "names", None) or ()}
    except (KeyError, OSError, IndexError, ValueError) as error:
        raise UserError(
            f"{path}:{hdu}: no such table ({' '.join(str(error).split())[:120]}); {_tables(path)}"
        ) from None
    bins = sorted(
        (name for name in columns if re.fullmatch(r"BIN_?\d+", name)), key=lambda name: int(name[3:].strip("_"))
    )
    if "Z_MID" not in columns or not bins:
        have = ", ".join(columns) or "none"
        raise UserError(f"{path}:{hdu}: not a FITS table with columns Z_MID, BIN1, BIN2, ...; it has {have}")
    numbers = [np.asarray(table[columns[name]]) for name in ("Z_MID", *bins)]
    if any(one.ndim != 1 or one.dtype.kind not in "fiu" for one in numbers):
        raise UserError(f"{path}:{hdu}: columns Z_MID, BIN1, ... must hold one number in each row")
    z, *rest = (one.astype(float) for one in numbers)
    return z, np.array(rest)


def _tables(path: str) -> str:
    """Words on which tables a FITS file holds."""
    from astropy.io import fits

    try:
        with fits.open(path) as opened:
            names = [
                one.name or str(i) for i, one in enumerate(opened) if isinstance(one, fits.BinTableHDU | fits.TableHDU)
            ]
    except UNREADABLE:
        return "it is not a FITS file"
    return f"it holds {', '.join(names)}" if names else "it holds no table"


def main(arguments: list[str] | None = None) -> None:
    """Print the YAML terms of each bin of each source."""
    parser = cli.Parser("cosmokeras.surveys.fit_nz", __doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--terms", type=cli.count, default=5, help="Gaussians per bin (default 5)")
    parser.add_argument("--z-max", type=cli.positive, default=3.0, help="z_max of the preset (default 3)")
    options = parser.parse_args(arguments)
    tables = [(source, *read(source)) for source in options.sources]  # what is wrong is said before the first fit
    for source, z, bins in tables:
        if not (bins[:, z <= options.z_max] > 0).any(axis=1).all():
            raise UserError(f"{source}: a bin is empty below --z-max {options.z_max:g}; raise it")
    for source, z, bins in tables:
        for number, n_z in enumerate(bins, start=1):
            terms = fit(z, n_z, options.terms, z_max=options.z_max)
            print(f"  - n_z:  # {Path(source).name}, bin {number}; {normalised(z, n_z, options.z_max)}")
            for one in terms:
                print(f"      - {{kind: gaussian, weight: {one.weight}, mean: {one.mean}, sigma: {one.sigma}}}")


if __name__ == "__main__":
    cli.entry(main)

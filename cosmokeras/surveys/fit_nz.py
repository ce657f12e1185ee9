"""Compact fits to tabulated redshift distributions: `python -m cosmokeras.surveys.fit_nz TABLE...` prints preset terms.

A lensing spectrum feels n(z) only through the lensing efficiency g(chi) = int dz n(z) (1 - chi / chi(z))_+ , so a sum
of a few Gaussians is fitted to the table *and* to its lensing kernel chi (1 + z) g at once. The kernel is what counts:
its residuals weigh 30 times those of n(z), and bumps of the table that lensing cannot see stay out of the preset.
Each TABLE is a text file of two columns, z and n(z) of one bin, in any normalisation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from cosmokeras.surveys.presets import Gaussian

KERNEL_WEIGHT = 30.0
OMEGA_M = 0.3  # of the flat background that turns z into chi; g depends on it far less than the fit's error
FINE = np.linspace(0.0, 3.0, 1201)


def lensing_kernel(n_z: np.ndarray, z: np.ndarray = FINE, omega_m: float = OMEGA_M) -> np.ndarray:
    """Lensing kernel chi (1 + z) g(chi) of `n_z` (of unit integral) on the grid `z`, in units of the Hubble length."""
    inverse_e = 1.0 / np.sqrt(omega_m * (1 + z) ** 3 + 1 - omega_m)
    chi = np.concatenate([[0.0], np.cumsum(0.5 * (inverse_e[1:] + inverse_e[:-1]) * np.diff(z))])

    def above(values: np.ndarray) -> np.ndarray:  # integral from z to the end of the grid, trapezium rule
        pieces = 0.5 * (values[1:] + values[:-1]) * np.diff(z)
        return np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])

    inverse_chi = np.divide(1.0, chi, out=np.zeros_like(chi), where=chi > 0)
    return (1 + z) * (chi * above(n_z) - chi**2 * above(n_z * inverse_chi))


def _mixture(vector: np.ndarray) -> np.ndarray:
    """Normalised sum of Gaussians on FINE; `vector` is (log weight, mean, log sigma) of each."""
    log_weight, mean, log_sigma = vector.reshape(3, -1)[:, :, None]
    n_z = np.sum(np.exp(log_weight - log_sigma - 0.5 * ((FINE - mean) / np.exp(log_sigma)) ** 2), axis=0)
    return n_z / np.trapezoid(n_z, FINE)


def fit(z: np.ndarray, n_z: np.ndarray, terms: int = 5, tries: int = 12, seed: int = 0) -> list[Gaussian]:
    """Fit `terms` Gaussians to one tabulated n(z), best of `tries` random starts.

    Parameters
    ----------
    z, n_z : (n,) arrays, the table; negative values (noise of the calibration) count as they are in the kernel
    terms : number of Gaussians
    tries : number of starting points
    seed : of the starting points

    Returns
    -------
    list of Gaussian, weights adding up to 1, rounded to the digits that the kernel can feel
    """
    rng = np.random.default_rng(seed)
    table = np.interp(FINE, z, n_z, left=0.0, right=0.0)
    table /= np.trapezoid(table, FINE)
    kernel = lensing_kernel(table)
    shares = np.cumsum(np.clip(table, 0, None))
    shares /= shares[-1]

    def residuals(vector: np.ndarray) -> np.ndarray:
        n_fit = _mixture(vector)
        in_kernel = (lensing_kernel(n_fit) - kernel) / kernel.max()
        return np.concatenate([(n_fit - table) / table.max(), KERNEL_WEIGHT * in_kernel])

    low = np.repeat([-7.0, -0.2, np.log(0.02)], terms)
    high = np.repeat([1.0, 2.5, np.log(0.6)], terms)
    best = None
    for _ in range(tries):
        means = np.interp(np.sort(rng.uniform(size=terms)), shares, FINE)
        start = np.concatenate([np.zeros(terms), means, np.log(rng.uniform(0.05, 0.3, terms))])
        found = least_squares(residuals, np.clip(start, low + 1e-6, high - 1e-6), bounds=(low, high))
        if best is None or found.cost < best.cost:
            best = found
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


def main(arguments: list[str] | None = None) -> None:
    """Print the YAML terms of each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="TABLE", type=Path)
    parser.add_argument("--terms", type=int, default=5, help="Gaussians per bin (default 5)")
    options = parser.parse_args(arguments)
    for path in options.tables:
        z, n_z = np.loadtxt(path, usecols=(0, 1), unpack=True)
        print(f"  - n_z:  # {path.name}")
        for one in fit(z, n_z, options.terms):
            print(f"      - {{kind: gaussian, weight: {one.weight}, mean: {one.mean}, sigma: {one.sigma}}}")


if __name__ == "__main__":
    main()

"""Integrals of redshift distributions, worked out exactly.

What lensing asks of n(z) are integrals with functions that are straight between the nodes of a grid. Such an integral
is a sum over the nodes, with the integrals of n(z) times the hat functions of the grid as weights: a hat is 1 at its
node, 0 at all others, and straight between. Those follow from two integrals that have closed forms, the mass F(z) =
int^z n dz' and the moment M(z) = int^z z' n dz', so that a distribution narrower than the grid counts as much as a wide
one.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln, ndtr

SIGMAS = np.linspace(-6.0, 6.0, 97)  # nodes on a Gaussian, in standard deviations: 8 in each


def step_at(grid: np.ndarray, z: float) -> float:
    """Step of an ascending grid at `z`."""
    i = np.clip(np.searchsorted(grid, z), 1, len(grid) - 1)
    return float(grid[i] - grid[i - 1])


def gaussian(z: np.ndarray, mean: float, sigma: float) -> np.ndarray:
    """Normal density at `z`."""
    return np.exp(-0.5 * ((z - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def gaussian_integrals(z: np.ndarray, mean: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Mass and moment of a normal density from -infinity to `z`, each of the shape of `z`."""
    t = (z - mean) / sigma
    mass = ndtr(t)
    return mass, mean * mass - sigma * np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi)


def smail(z: np.ndarray, alpha: float, beta: float, z0: float) -> np.ndarray:
    """z^alpha exp(-(z / z0)^beta) of unit integral, at `z` >= 0."""
    log_norm = (alpha + 1) * np.log(z0) + gammaln((alpha + 1) / beta) - np.log(beta)
    return z**alpha * np.exp(-((z / z0) ** beta) - log_norm)


def smail_integrals(z: np.ndarray, alpha: float, beta: float, z0: float) -> tuple[np.ndarray, np.ndarray]:
    """Mass and moment of `smail` from 0 to `z` >= 0, each of the shape of `z`."""
    x, first, second = (z / z0) ** beta, (alpha + 1) / beta, (alpha + 2) / beta
    return gammainc(first, x), z0 * np.exp(gammaln(second) - gammaln(first)) * gammainc(second, x)


def smail_quantiles(share: np.ndarray, alpha: float, beta: float, z0: float) -> np.ndarray:
    """Redshifts below which the shares of `smail` lie."""
    return z0 * gammaincinv((alpha + 1) / beta, share) ** (1 / beta)


def table_integrals(z: np.ndarray, nodes: np.ndarray, n_z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mass and moment up to `z` of a density with values `n_z` at `nodes`, (m,) each, straight between, 0 outside."""
    step = np.diff(nodes)
    slope = np.diff(n_z) / step

    def within(i: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integrals from node i to t above it."""
        mass = n_z[i] * t + slope[i] * t**2 / 2
        return mass, nodes[i] * mass + n_z[i] * t**2 / 2 + slope[i] * t**3 / 3

    whole = [np.concatenate([[0.0], np.cumsum(one)]) for one in within(np.arange(len(step)), step)]
    inside = np.clip(z, nodes[0], nodes[-1])
    i = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(step) - 1)
    mass, moment = within(i, inside - nodes[i])
    return whole[0][i] + mass, whole[1][i] + moment


def hat_weights(z: np.ndarray, mass: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Integrals of n(z) times the hat functions of the ascending nodes `z`, (n,) each.

    `mass` and `moment` are the integrals of n(z) and z n(z) up to each node. sum_i weight_i f(z_i) is the integral of
    f n between the first node and the last, exact for any f that is straight between nodes.
    """
    step, mass, moment = np.diff(z), np.diff(mass), np.diff(moment)
    weights = np.zeros_like(z)
    weights[:-1] += (z[1:] * mass - moment) / step
    weights[1:] += (moment - z[:-1] * mass) / step
    return np.maximum(weights, 0.0)  # differences of nearly equal numbers may end below

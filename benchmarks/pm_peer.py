"""Steps of the particle mesh beside those of JaxPM: the same box, waves, number of particles, mesh and steps.

JaxPM (https://github.com/DifferentiableUniverseInitiative/JaxPM) has forces on a mesh and the perturbations to begin
with, and leaves steps to who calls it. Here they are those of FastPM, drift, kick, drift, in equal steps of the scale
factor from a = 0.1 to today, compiled as a whole: as many forces as ours. Unlike ours, JaxPM does not divide
the window of its clouds out of forces, and power on scales of a few cells need not agree.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline

from cosmokeras.simulators.lpt import gaussian_modes
from cosmokeras.simulators.mesh import squared_modes
from cosmokeras.simulators.pm.forces import density, inverse_laplacian
from cosmokeras.simulators.pm.growth import growth
from cosmokeras.simulators.pm.steps import run
from cosmokeras.theory.bbks import bbks_power

SIDE = 256.0  # of the box [Mpc/h]
STEPS = 15
FIRST = 0.1  # scale factor at which JaxPM begins
VALUES = {"omega_m": 0.3, "h": 0.7, "n_s": 0.965, "w0": -1.0, "omega_b": 0.05}
RMS = 2.5  # of the linear density contrast on a mesh of 2 Mpc/h, about sigma8 0.8
EDGES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])  # of bands of k [h/Mpc]; the last ends at half the Nyquist frequency


def waves(n: int, seed: int) -> np.ndarray:
    """Modes (n, n, n // 2 + 1) complex64 of a linear density contrast today, of a BBKS spectrum."""
    number = squared_modes(n)
    k = 2 * np.pi / SIDE * np.sqrt(np.arange(1, number.max() + 1))
    amplitude = np.append(0.0, np.sqrt(bbks_power(k, VALUES["omega_m"], VALUES["h"], VALUES["n_s"])))
    modes = gaussian_modes(np.random.default_rng(seed), amplitude.astype(np.float32)[number])
    field = fft.irfftn(modes, s=(n, n, n), workers=1)
    # the same spectrum for all meshes: coarser ones lack the short waves
    scale = RMS * np.sqrt(_variance(n) / _variance(128)) / field.std()
    out: np.ndarray = fft.rfftn((field * np.float32(scale)).astype(np.float32), workers=1)
    return out


def _variance(n: int) -> float:
    """Up to a factor, that of a mesh of n points on a side."""
    k = np.geomspace(2 * np.pi / SIDE, np.pi * n / SIDE, 400)
    power = bbks_power(k, VALUES["omega_m"], VALUES["h"], VALUES["n_s"])
    return float(np.sum(power * k**3))


def ours(n: int, steps: int = STEPS) -> Callable[[np.ndarray, int], np.ndarray]:
    """Function of `waves` and a seed: positions (3, n^3) [cells] today."""
    inverse, grown = inverse_laplacian(n), growth(VALUES)
    edges = np.arange(steps + 2) / (steps + 0.5)  # the last snapshot, in the middle of its step, is today's

    def make(modes: np.ndarray, seed: int) -> np.ndarray:
        *_, last = run(modes, edges, grown, np.random.default_rng(seed), inverse)
        return last.x

    return make


def theirs(n: int, steps: int = STEPS) -> Callable[[np.ndarray], Any]:
    """Function of `waves`: positions (n, n, n, 3) [cells] today, by JaxPM, compiled at the first call."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp
    import jax_cosmo as jc
    from jaxpm.pm import lpt, pm_forces

    mesh = (n, n, n)
    factors = jnp.array(fastpm_factors(steps))
    lattice = jnp.stack(jnp.meshgrid(*[jnp.arange(n, dtype=jnp.float32)] * 3, indexing="ij"), axis=-1)

    @jax.jit
    def run_all(field: jax.Array) -> jax.Array:
        cosmology = jc.Cosmology(
            Omega_c=VALUES["omega_m"] - VALUES["omega_b"], Omega_b=VALUES["omega_b"], h=VALUES["h"],
            n_s=VALUES["n_s"], sigma8=0.8, Omega_k=0.0, w0=VALUES["w0"], wa=0.0,
        )  # fmt: skip
        moved, momentum, _ = lpt(cosmology, field, particles=lattice, a=FIRST, order=2)

        def step(state: tuple[jax.Array, jax.Array], factor: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
            x, p = state
            x = x + factor[0] * p
            p = p + factor[1] * pm_forces(x, mesh_shape=mesh)
            return (x + factor[2] * p, p), None

        return jax.lax.scan(step, (lattice + moved, momentum), factors)[0][0]

    return lambda modes: run_all(jnp.asarray(fft.irfftn(modes, s=mesh, workers=1))).block_until_ready()


def fastpm_factors(steps: int) -> np.ndarray:
    """Drift, kick and drift of equal steps in a, (steps, 3), exact for waves that grow linearly (FastPM).

    Feng, Chu, Seljak & McDonald 2016, MNRAS 463, 2273: with the momentum p = a^3 E dx/da, which grows as
    G = a^3 E dD/da, a drift is (D_1 - D_0) / G and a kick (G_1 - G_0) / D.
    """
    grown = growth(VALUES)
    log_d = CubicSpline(np.log(grown.a), np.log(grown.d))

    def d_and_g(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d, rate = np.exp(log_d(np.log(a))), log_d(np.log(a), 1)
        return d, a**2 * np.sqrt(VALUES["omega_m"] / a**3 + 1 - VALUES["omega_m"]) * rate * d

    a = np.linspace(FIRST, 1.0, steps + 1)
    (d, g), (middle, _) = d_and_g(a), d_and_g((a[1:] + a[:-1]) / 2)
    return np.stack([(middle - d[:-1]) / g[:-1], np.diff(g) / middle, (d[1:] - middle) / g[1:]], axis=1)


def band_powers(x: np.ndarray, n: int) -> np.ndarray:
    """Power of particles at x (3, n^3) [cells] in bands between EDGES below half the Nyquist frequency."""
    k = 2 * np.pi / SIDE * np.sqrt(squared_modes(n))
    power = np.abs(fft.rfftn(density(x, np.zeros(3, np.float32), n), workers=1)) ** 2
    edges = EDGES[np.pi * n / SIDE / 2 >= EDGES * (1 - 0.02)]
    return np.array([power[(k >= low) & (k < high)].mean() for low, high in itertools.pairwise(edges)])


def agreement(n: int, steps: int, seeds: int = 2) -> dict[str, float]:
    """Power of JaxPM's particles over that of ours today, from the same waves, by band of k [h/Mpc]."""
    mine, other, found = ours(n, steps), theirs(n, steps), []
    for seed in range(seeds):
        modes = waves(n, seed)
        x = np.asarray(other(modes)).reshape(-1, 3).T
        found.append(band_powers(np.ascontiguousarray(x, np.float32), n) / band_powers(mine(modes, seed), n))
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(EDGES)]
    return dict(zip(names, np.mean(found, axis=0).round(4).tolist(), strict=False))

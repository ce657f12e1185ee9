"""Gaussian waves that are longer than a periodic box and that it cannot hold."""

from __future__ import annotations

import numpy as np

from cosmokeras.simulators.fields import normal_modes
from cosmokeras.simulators.pm.transfer import Power

ACROSS = 8  # waves along each axis


def long_waves(side: float, power: Power) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers (ACROSS,) [h/Mpc] along each axis and rms amplitudes (ACROSS, ACROSS) of waves exp(i k x).

    A box of `side` [Mpc/h] has waves on a lattice of steps 2 pi / side, of which each stands for a cell of Fourier
    space; that at k = 0 it has not. These fill its cell. `power` is P_2D(k) [(Mpc/h)^2] of the slab.
    """
    step = 2 * np.pi / side / ACROSS
    k = step * (np.arange(ACROSS) + 0.5 - ACROSS / 2)
    # of Re(a exp(i k x)) the variance is half of that of a
    amplitude = np.sqrt(2 * power(np.hypot(k[:, None], k))) * step / (2 * np.pi)
    return k, amplitude.astype(np.float32)


def drawn(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
    """Complex amplitudes of one realisation, (ACROSS, ACROSS) complex64."""
    return normal_modes(rng, amplitude.shape) * amplitude

"""What a box lacks of the power of theory, measured on its planes, and the factor that gives it back.

The modes of a plane are multiplied by T = sqrt(P_theory / P_box): phases, and with them most of what is not Gaussian,
stay those of the particles. Where all is linear a box is right to a per cent, and the few modes that it has there say
less: there the ratio is taken to be 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmokeras.simulators.mesh import slab_power
from cosmokeras.simulators.pm.planes import HALVES

# Bins of k [h/Mpc] that ratios are measured in; their middles are the nodes of a measured ratio
EDGES = np.geomspace(0.1, 16.0, 61)
LOG_K = np.log(EDGES[1:] * EDGES[:-1]) / 2
RAMP = np.log([0.12, 0.3])  # ln k over which a ratio of 1 gives way to the measured one
WIDTH = 0.15  # of the smoothing in ln k

Power = Callable[[np.ndarray], np.ndarray]


def wavenumbers(highest: int) -> np.ndarray:
    """|k| of the modes of `planes`, (2 highest + 1, highest + 1), in units of the fundamental."""
    rows = np.arange(-highest, highest + 1)
    return np.hypot(rows[:, None], rows[None, highest:])


def measured(modes: np.ndarray, side: float, power: Power) -> tuple[np.ndarray, np.ndarray]:
    """Sum over modes of the power of planes over that of theory, and the number of modes, (bins,) each of EDGES.

    Parameters
    ----------
    modes : (axes, halves, 2 m + 1, m + 1) of `planes`
    side : of the box [Mpc/h]
    power : P(k) [(Mpc/h)^3] of matter, at the time of the planes
    """
    highest = modes.shape[-1] - 1
    k = wavenumbers(highest) * (2 * np.pi / side)
    weight = np.ones_like(k)
    weight[:, 0] = 0.5  # k and -k are both there
    nodes = np.geomspace(EDGES[0] / 2, max(EDGES[-1], k.max()), 200)
    expected = slab_power(power, nodes, side / HALVES, side)
    inside = (k >= EDGES[0]) & (k < min(EDGES[-1], highest * 2 * np.pi / side))
    found = (np.abs(modes[..., inside]) ** 2).sum(axis=(0, 1)) * side**2
    found /= np.exp(np.interp(np.log(k[inside]), np.log(nodes), np.log(expected)))
    which, w = np.digitize(k[inside], EDGES) - 1, weight[inside]
    planes = modes.shape[0] * modes.shape[1]
    return np.bincount(which, found * w, len(LOG_K)), np.bincount(which, w * planes, len(LOG_K))


def smoothed(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """ln of the ratios `total` / `count` (..., bins), by local straight lines in ln k; flat beyond the last mode."""
    out = np.empty(total.shape)
    for at in np.ndindex(total.shape[:-1]):
        there = count[at] > 0
        x, y, n = LOG_K[there], total[at][there] / count[at][there], count[at][there]
        for i, centre in enumerate(np.clip(LOG_K, x[0], x[-1])):
            w = n * np.exp(-0.5 * ((x - centre) / WIDTH) ** 2)
            dx = x - centre
            moments = [np.sum(w * dx**p) for p in range(3)]
            first, second = np.sum(w * y), np.sum(w * y * dx)
            out[(*at, i)] = (moments[2] * first - moments[1] * second) / (moments[0] * moments[2] - moments[1] ** 2)
    return np.log(np.maximum(out, 1e-6))


def ratio_at(log_k: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """Ratio of the power of a box to that of theory at ln k, of `log_ratio` (bins,) at LOG_K; 1 at small k."""
    part = np.clip((log_k - RAMP[0]) / (RAMP[1] - RAMP[0]), 0.0, 1.0)
    return np.exp(part * np.interp(log_k, LOG_K, log_ratio))

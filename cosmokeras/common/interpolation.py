"""Linear interpolation in the logarithm of the abscissa."""

from __future__ import annotations

import numpy as np


def log_bracket(x: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node below each x, and the fraction of the way to the next one in ln x; both of the shape of `x`.

    `nodes` (m,) ascend from above 0. Beyond them the first and the last node count.

    Examples
    --------
    >>> lower, fraction = log_bracket(np.array([0.5, 10.0, 100.0]), np.array([1.0, 100.0, 1000.0]))
    >>> lower.tolist(), fraction.round(6).tolist()
    ([0, 0, 1], [0.0, 0.5, 0.0])
    """
    position = np.interp(np.log(np.maximum(x, nodes[0])), np.log(nodes), np.arange(nodes.size))
    lower = np.minimum(position.astype(int), nodes.size - 2)
    return lower, position - lower

"""Numbers that follow from the parameters a network estimates."""

from __future__ import annotations

import numpy as np


def with_s8(names: tuple[str, ...], theta: np.ndarray) -> np.ndarray:
    """Parameters (..., d) with S8 = sigma8 sqrt(omega_m / 0.3) behind them if `names` has both; else as they are.

    Examples
    --------
    >>> with_s8(("omega_m", "sigma8"), np.array([[0.3, 0.8], [0.27, 0.84]])).round(3).tolist()
    [[0.3, 0.8, 0.8], [0.27, 0.84, 0.797]]
    """
    if not {"omega_m", "sigma8"} <= set(names):
        return theta
    s8 = theta[..., names.index("sigma8")] * np.sqrt(theta[..., names.index("omega_m")] / 0.3)
    return np.concatenate([theta, s8[..., None]], axis=-1)


def names_with_s8(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of `with_s8`."""
    return (*names, "S8") if {"omega_m", "sigma8"} <= set(names) else tuple(names)

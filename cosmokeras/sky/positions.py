"""Positions on the sky."""

from __future__ import annotations

import numpy as np


def unwrapped(ra: np.ndarray) -> np.ndarray:
    """Right ascensions (n,) [deg] without a jump inside the footprint, which begins behind the largest gap.

    Their mean lies between -180 and 180.

    Examples
    --------
    >>> unwrapped(np.array([358.0, 359.0, 1.0])).tolist()
    [-2.0, -1.0, 1.0]
    """
    ordered = np.sort(ra % 360)
    gaps = np.diff(ordered, append=ordered[0] + 360)
    start = ordered[(np.argmax(gaps) + 1) % len(ordered)]
    out = start + (ra - start) % 360
    return out - 360 * (out.mean() > 180)

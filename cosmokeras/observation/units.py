"""What files hold, as what networks see: convergence as a plain number, overdensities, logarithms of densities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmokeras.common.errors import UserError
from cosmokeras.params.files import FilesConfig


def convert(files: FilesConfig, maps: np.ndarray, where: str = "maps") -> np.ndarray:
    """Maps (n, y, x, channels) in `files.units`, as what is trained on: (value - files.offset) / files.scale, float32.

    `density` is positive: its decimal logarithm is taken, as by Villaescusa-Navarro et al. 2022 (ApJS 259, 61).
    """
    wide = files.units in ("density", "density_over_mean")
    values: NDArray[Any] = maps.astype(np.float64 if wide else np.float32, copy=False)
    if files.units == "kappa_per_cent":
        values = values / np.float32(100)
    elif files.units == "density_over_mean":
        values = values - 1
    elif files.units == "density":
        if not (values > 0).all():
            low = float(np.min(values))
            raise UserError(
                f"{where}: files.units=density, but a pixel is {low:.4g}; densities are positive: is it log10_density "
                "or overdensity?"
            )
        values = np.log10(values)
    if (files.offset, files.scale) != (0.0, 1.0):
        values = (values - files.offset) / files.scale
    return values.astype(np.float32, copy=False)

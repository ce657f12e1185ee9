"""Convergence in flat pixels with white noise (`made_from: flat`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


class FlatPixels:
    """Convergence in flat pixels with white noise: no transform between shear and convergence."""

    margin = 0

    def __init__(self, cfg: Config) -> None:
        self.noise_power = np.ones((cfg.data.size, cfg.data.size))

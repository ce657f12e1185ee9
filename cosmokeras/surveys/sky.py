"""`RealSky`, what every source of maps returns: patches of sky with their provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError


@dataclass(frozen=True)
class RealSky:
    """Convergence patches of one source, before smoothing and scaling.

    `maps` is (n, size, size, channels) float32 with masked pixels 0, `coverage` (n, size, size) the observed fraction
    of each pixel, `ra` and `dec` (n,) the patch centres [deg] (NaN where there is no sky position). `observed` is False
    for simulations and None where it is not stated; `truth` holds the parameters of a simulation, where they are known.
    `null_tests` are numbers that should look like noise.
    """

    name: str
    observed: bool | None
    maps: np.ndarray
    coverage: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    provenance: dict[str, Any]
    truth: dict[str, float] | None = None
    null_tests: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not np.isfinite(self.maps).all():
            bad = int(np.count_nonzero(~np.isfinite(self.maps).all(axis=(1, 2, 3))))
            raise UserError(
                f"real.source={self.name}: {bad} of {len(self.maps)} patches hold NaN or infinite pixels; mask them"
            )
        if len(self.maps) == 0:
            raise UserError(
                f"real.source={self.name}: no patch is left inside the mask; raise real.max_masked or lower data.size"
            )


def nature(note: Mapping[str, Any]) -> str:
    """What the patches of outputs/real are, by its provenance.json."""
    kind = note["provenance"].get("kind", "observed" if note["observed"] else "simulated")
    words = {"observed": "an observation", "simulated": "a simulation, not an observation"}
    return words.get(kind, "maps given by the user")


def label(note: Mapping[str, Any]) -> str:
    """Title of a sky's pictures, which says whether it was observed."""
    return (
        "MOCK sky (a simulation, not an observation)"
        if note["source"] == "mock"
        else f"{note['source']} ({nature(note)})"
    )

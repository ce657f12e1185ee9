"""What `params.yaml` may name: the parameters of the prior with their ranges, and the kinds of maps.

A new simulator is one module (its interface is in `cosmokeras.simulators`) and one line in KINDS. If it has knobs of
its own, they are a class in `cosmokeras.sections` and a block of `params.yaml`, named in its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Ranges in which the theory codes are trusted; priors must lie inside.
COSMOLOGY: dict[str, tuple[float, float]] = {
    "omega_m": (0.05, 0.95),
    "sigma8": (0.2, 1.6),
    "h": (0.4, 1.0),
    "omega_b": (0.01, 0.1),
    "n_s": (0.7, 1.3),
    "w0": (-2.0, -0.4),
}
NUISANCES: dict[str, tuple[float, float]] = {
    "a_ia": (-10.0, 10.0),
    "eta_ia": (-10.0, 10.0),
    "m_bias": (-0.5, 0.5),
    "delta_z": (-0.3, 0.3),
    "baryons": (0.0, 3.0),
}
RANGES = COSMOLOGY | NUISANCES
PER_BIN = ("m_bias", "delta_z")  # when free, one independent parameter for each tomographic bin


@dataclass(frozen=True)
class Kind:
    """A kind of maps.

    `parameters` are those of the prior that its maps depend on. `observed`: `survey` (noise, mask, smoothing, in units
    of the noise), `standardised` (each map by its own standard deviation) or `plain` (as simulated). `section` is its
    block in `params.yaml`, if it has one; `unit` labels its maps in pictures; `fresh`: maps are made faster than a
    network reads them, so that training may have new ones at every step.
    """

    module: str
    parameters: tuple[str, ...]
    observed: Literal["survey", "standardised", "plain"]
    periodic: bool
    unit: str
    section: str | None = None
    fresh: bool = False


KINDS: dict[str, Kind] = {
    "lensing": Kind(
        "cosmokeras.simulators.lensing", tuple(RANGES), "survey", False, r"convergence $\kappa$", "lensing"
    ),
    "2lpt": Kind("cosmokeras.simulators.lpt", tuple(COSMOLOGY), "plain", True, "mean overdensity of a slab", "lpt"),
    "grf": Kind(
        "cosmokeras.simulators.grf", ("omega_m", "h", "n_s"), "standardised", True,
        "density contrast (arbitrary units)", "grf", fresh=True,
    ),
}  # fmt: skip

"""Choices in `params.yaml`: parameters of the prior with their ranges, kinds of maps, networks, sources of maps.

A new one is one module and one line here. Modules of KINDS are simulators (their interface is in
`cosmokeras.simulators`), those of MODELS have `build(cfg)` -> keras.Model, those of SOURCES `load(cfg)` -> RealSky.
Parameters of a simulator are a class in `cosmokeras.params.sections` and a block of `params.yaml`, named in its line.
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
    "m_nu": (0.0, 1.0),
}
NUISANCES: dict[str, tuple[float, float]] = {
    "a_ia": (-10.0, 10.0),
    "eta_ia": (-10.0, 10.0),
    "m_bias": (-0.5, 0.5),
    "delta_z": (-0.3, 0.3),
    "baryons": (0.0, 3.0),
    "log_t_agn": (7.0, 8.5),
}
RANGES = COSMOLOGY | NUISANCES
PER_BIN = ("m_bias", "delta_z")  # when free, one independent parameter for each tomographic bin


@dataclass(frozen=True)
class Kind:
    """A kind of maps.

    `parameters` are those of the prior that its maps depend on. `observed`: `survey` (noise, mask, smoothing, in units
    of the noise), `standardised` (each map by its own standard deviation) or `plain` (as simulated). `section` is its
    block in `params.yaml`, if it has one; `unit` labels its maps in pictures; `fresh`: maps are made faster than a
    network reads them, so that training may have new ones at every step. `matter`: what spectrum `theory.power` gives.
    """

    module: str
    parameters: tuple[str, ...]
    observed: Literal["survey", "standardised", "plain"]
    periodic: bool
    unit: str
    section: str | None = None
    fresh: bool = False
    matter: Literal["bbks", "linear"] | None = None


KINDS: dict[str, Kind] = {
    "lensing": Kind(
        "cosmokeras.simulators.lensing", parameters=tuple(RANGES), observed="survey", periodic=False,
        unit=r"convergence $\kappa$", section="lensing",
    ),
    "2lpt": Kind(
        "cosmokeras.simulators.lpt", parameters=tuple(COSMOLOGY)[:6], observed="plain", periodic=True,  # without m_nu
        unit="mean overdensity of a slab", section="lpt", matter="linear",
    ),
    "grf": Kind(
        "cosmokeras.simulators.grf", parameters=("omega_m", "h", "n_s"), observed="standardised", periodic=True,
        unit="density contrast (arbitrary units)", section="grf", fresh=True, matter="bbks",
    ),
    # maps of the user's: their parameters, unit and observation are what the block `files` says
    "files": Kind(
        "cosmokeras.suites.opening", parameters=(), observed="plain", periodic=False, unit="field", section="files",
    ),
}  # fmt: skip

# What the matter of lensing maps may be, `lensing.matter`, in place of the module of the kind
MATTER: dict[str, str] = {
    "lognormal": "cosmokeras.simulators.lensing",
    "pm": "cosmokeras.simulators.pm.light_cone",
}

# What makes the sky of real.mock=pm
PM_MOCK = "cosmokeras.simulators.pm.mock"

MODELS: dict[str, str] = {
    "cosmonet": "cosmokeras.models.cosmonet",
    "hybrid": "cosmokeras.models.hybrid",
    "resnet": "cosmokeras.models.resnet",
}


@dataclass(frozen=True)
class Source:
    """A source of maps: `kinds` that its maps are (none: any), the `survey` preset they go with, keys it `needs`.

    `own`: its maps may be the user's.
    """

    module: str
    kinds: tuple[str, ...] = ("lensing",)
    survey: str | None = None
    needs: tuple[str, ...] = ()
    own: bool = False


CATALOGUE = "cosmokeras.surveys.sources.catalogue"
SOURCES: dict[str, Source] = {
    "mock": Source("cosmokeras.surveys.sources.mock", kinds=()),
    "catalogue": Source(CATALOGUE, own=True),
    "cosmos": Source(CATALOGUE, survey="cosmos"),
    "array": Source("cosmokeras.surveys.sources.array", kinds=(), needs=("path",), own=True),
    "hsc_y3": Source("cosmokeras.surveys.sources.hsc_y3", survey="hsc_y3_fair", own=True),
    "quijote": Source("cosmokeras.surveys.sources.quijote", kinds=("2lpt",), needs=("path",), own=True),
    "healpix": Source("cosmokeras.surveys.sources.healpix", needs=("path", "mask"), own=True),
    "des_y3": Source("cosmokeras.surveys.sources.des_y3", survey="des_y3"),
    "des_y1": Source("cosmokeras.surveys.sources.des_y1", survey="des_y1"),
    "des_y3_shear": Source("cosmokeras.surveys.sources.des_y3_shear", survey="des_y3_karmma"),
}

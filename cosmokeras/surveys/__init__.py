"""Real maps and mock skies as patches. In: parameters, files of the user or published ones. Out: a `RealSky`.

`sources/` has one module for each value of `real.source`, with `load(cfg)` -> RealSky, and `params.registry` one line;
`download/` fetches published files; `image_files` and `healpix_files` read maps, `image_checks` and `healpix_checks`
refuse what cannot be what it is taken for. `catalogue` makes shear maps of catalogues. `hsc_y3` and `footprint` are
commands that write masks for simulations, `fit_nz` one that fits n(z).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cosmokeras.params import checked
from cosmokeras.params.registry import SOURCES
from cosmokeras.sky.patches import Patches, cut_patches
from cosmokeras.sky.shear_patches import ShearPatches, cut_shear_patches
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

__all__ = [
    "Patches",
    "RealSky",
    "ShearPatches",
    "cut_patches",
    "cut_shear_patches",
    "fetch",
]


def fetch(cfg: Config) -> RealSky:
    """The patches of `real.source`, downloaded when they must be. No source ever falls back on another."""
    return import_module(SOURCES[checked.checked_config(cfg).real.source].module).load(cfg)

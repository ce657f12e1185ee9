"""Real maps and mock skies: where they come from and how patches are cut. One module and one registry line each.

A source module has `load(cfg)` -> RealSky.
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

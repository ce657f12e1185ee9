"""Real maps and mock skies: where they come from and how patches are cut. One module and one registry line each.

A source module has `load(cfg)` -> RealSky.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cosmokeras.surveys.patches import Patches, cut_patches
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.config import Config

__all__ = ["SOURCES", "Patches", "RealSky", "cut_patches", "fetch"]

SOURCES = {
    "mock": "cosmokeras.surveys.mock",
    "cosmos": "cosmokeras.surveys.cosmos",
}


def fetch(cfg: Config) -> RealSky:
    """The patches of `real.source`, downloaded when they must be. No source ever falls back on another."""
    return import_module(SOURCES[cfg.real.source]).load(cfg)

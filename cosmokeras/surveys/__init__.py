"""Real maps and mock skies: where they come from and how patches are cut. One module and one registry line each.

A source module has `load(cfg)` -> RealSky.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from cosmokeras import arguments
from cosmokeras.surveys.patches import Patches, cut_patches
from cosmokeras.surveys.shear_patches import ShearPatches, cut_shear_patches
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.config import Config

__all__ = [
    "OWN",
    "SOURCES",
    "Patches",
    "RealSky",
    "ShearPatches",
    "Source",
    "cut_patches",
    "cut_shear_patches",
    "fetch",
]


@dataclass(frozen=True)
class Source:
    """A source of maps: `kinds` that its maps are (none: any), the `survey` preset they go with, keys it `needs`."""

    module: str
    kinds: tuple[str, ...] = ("lensing",)
    survey: str | None = None
    needs: tuple[str, ...] = ()


SOURCES = {
    "mock": Source("cosmokeras.surveys.mock", kinds=()),
    "cosmos": Source("cosmokeras.surveys.cosmos", survey="cosmos"),
    "array": Source("cosmokeras.surveys.array", kinds=(), needs=("path",)),
    "hsc_y3": Source("cosmokeras.surveys.hsc_y3", survey="hsc_y3_fair"),
    "quijote": Source("cosmokeras.surveys.quijote", kinds=("2lpt",), needs=("path",)),
    "healpix": Source("cosmokeras.surveys.healpix", needs=("path", "mask")),
    "des_y3": Source("cosmokeras.surveys.des_y3", survey="des_y3"),
    "des_y1": Source("cosmokeras.surveys.des_y1", survey="des_y1"),
    "des_y3_shear": Source("cosmokeras.surveys.des_y3_shear", survey="des_y3_karmma"),
}

OWN = ("array", "healpix", "hsc_y3", "quijote")  # whose maps may be the user's own


def fetch(cfg: Config) -> RealSky:
    """The patches of `real.source`, downloaded when they must be. No source ever falls back on another."""
    return import_module(SOURCES[arguments.checked_config(cfg).real.source].module).load(cfg)

"""The official mass maps of DES Y3 (Jeffrey et al. 2021, MNRAS 505, 4626): plain Kaiser-Squires convergence, four bins.

HEALPix NSIDE 1024, RING, celestial: KS_tomo1..4 for the maps, nullB_tomo1..4 (the B mode of the same shear) for the
null tests, glimpse_mask for the footprint. The other reconstructions of the release (wiener, glimpse) are filtered: no
simulation with shape noise looks like them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky.sky_maps import SkyMaps
from cosmokeras.surveys.download.fetch import MANIFEST, fetch_verified, load_manifest
from cosmokeras.surveys.healpix_checks import check_grid, healpix_nside, missing, nside_of
from cosmokeras.surveys.healpix_files import read_map, read_mask
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.sources.healpix import sky_of

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

BINS = (1, 2, 3, 4)
LOST = 0.01  # largest part of the footprint that may hold marks of missing data


class Release(NamedTuple):
    """Published mass maps: files of the manifest, a map and a B mode for each bin, and how to read them."""

    source: str  # name in the registry, and folder of the files
    statement: str
    step: str
    maps: tuple[str, ...]
    b_modes: tuple[str, ...]
    mask: str
    read_map: Callable[[Path], np.ndarray]  # (npix,) float32, RING
    read_b_mode: Callable[[Path], np.ndarray]
    read_mask: Callable[[Path], np.ndarray]  # (npix,) bool, RING


def load(cfg: Config) -> RealSky:
    """Patches of the four Kaiser-Squires maps, downloaded (some hundred MB) where no mirror holds them."""
    release = Release(
        source="des_y3",
        statement="DES Y3 mass maps as published",
        step="Kaiser-Squires maps of the release, unsmoothed; 0 outside glimpse_mask",
        maps=tuple(f"KS_tomo{number}.fits" for number in BINS),
        b_modes=tuple(f"nullB_tomo{number}.fits" for number in BINS),
        mask="glimpse_mask.fits",
        read_map=_first_column,
        read_b_mode=_first_column,
        read_mask=read_mask,
    )
    return load_release(cfg, release)


def load_release(cfg: Config, release: Release) -> RealSky:
    """Patches of published Kaiser-Squires maps: fetched and checked, 0 outside the footprint, B modes in null tests."""
    healpix_nside(cfg.survey)
    manifest = Path(cfg.root) / MANIFEST
    names = [f"{release.source}/{name}" for name in (*release.maps, *release.b_modes, release.mask)]
    copies = [fetch_verified(name, cfg.real.mirror, manifest, offline=cfg.real.offline) for name in names]
    paths, bins = [copy.path for copy in copies], len(release.maps)
    mask = release.read_mask(paths[-1])
    columns = [release.read_map(path) for path in paths[:bins]]
    columns += [release.read_b_mode(path) for path in paths[bins:-1]]
    for path, column in zip(paths, columns, strict=False):
        if column.size != columns[0].size:
            raise UserError(
                f"{path}: {column.size} pixels, but {paths[0]} has {columns[0].size}; replace the one that differs"
            )
    maps, b_modes = np.stack(columns[:bins]), np.stack(columns[bins:])
    map_names = [str(path) for path in paths[:bins]]
    check_grid(nside_of(maps[0]), map_names[0], mask, str(paths[-1]), cfg.survey)
    # the transform of a masked field leaks out of the footprint; nothing is observed there
    mask, warnings = _without_missing(np.concatenate([maps, b_modes]), mask, str(paths[-1]))
    entry = load_manifest(manifest)[names[0]]
    provenance = {
        "kind": "observed",
        "statement": release.statement,
        "files": {name: copy.sha256 for name, copy in zip(names, copies, strict=True)},
        "url": entry["url"],
        "citation": entry["citation"],
        "licence": entry["licence"],
        "steps": [release.step],
        "warnings": warnings,
    }
    sky = SkyMaps.inside(maps, mask)
    return sky_of(cfg, release.source, sky, map_names, str(paths[-1]), provenance, b_modes[:, mask])


def _first_column(path: Path) -> np.ndarray:
    return read_map(path, column=0)


def _without_missing(maps: np.ndarray, mask: np.ndarray, mask_name: str) -> tuple[np.ndarray, list[str]]:
    """The mask without pixels that some map marks as missing, which must be few, and a note that says how many."""
    bad = np.zeros(mask.size, bool)
    for one in maps:
        bad |= missing(one)
    bad &= mask
    number, part = np.count_nonzero(bad), np.count_nonzero(bad) / np.count_nonzero(mask)
    if part > LOST:
        raise UserError(
            f"{mask_name}: {part:.1%} of its pixels hold marks of missing data (NaN, -1.6e30) in the maps, but at "
            f"most {LOST:.0%} are left out; replace the files by the published ones"
        )
    note = [f"{number} pixels of the footprint hold marks of missing data and were masked"] if number else []
    return mask & ~bad, note

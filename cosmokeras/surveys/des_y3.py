"""The official mass maps of DES Y3 (Jeffrey et al. 2021, MNRAS 505, 4626): plain Kaiser-Squires convergence, four bins.

HEALPix NSIDE 1024, RING, celestial: KS_tomo1..4 for the maps, nullB_tomo1..4 (the B mode of the same shear) for the
null tests, glimpse_mask for the footprint. The other reconstructions of the release (wiener, glimpse) are filtered: no
simulation with shape noise looks like them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.errors import UserError
from cosmokeras.surveys.download import MANIFEST, fetch_verified, load_manifest
from cosmokeras.surveys.healpix import sky_of
from cosmokeras.surveys.healpix_input import healpix_nside, missing, read_map, read_mask
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.config import Config

BINS = (1, 2, 3, 4)
LOST = 0.01  # largest part of the footprint that may hold marks of missing data


def load(cfg: Config) -> RealSky:
    """Patches of the four Kaiser-Squires maps, downloaded (some hundred MB) where no mirror holds them."""
    healpix_nside(cfg.survey)
    manifest = Path(cfg.root) / MANIFEST
    names = [f"des_y3/{kind}_tomo{number}.fits" for kind in ("KS", "nullB") for number in BINS]
    names.append("des_y3/glimpse_mask.fits")
    copies = [fetch_verified(name, cfg.real.mirror, manifest, offline=cfg.real.offline) for name in names]
    paths = [copy.path for copy in copies]
    mask = read_mask(paths[-1])
    columns = [read_map(path, column=0) for path in paths[:-1]]
    for path, column in zip(paths, columns, strict=False):
        if column.size != columns[0].size:
            raise UserError(f"{path}: {column.size} pixels, but {paths[0]} has {columns[0].size}; replace the odd one")
    maps, b_modes = np.stack(columns[:4]), np.stack(columns[4:])
    warnings = []
    if mask.size == maps.shape[1]:
        mask, warnings = _without_missing(np.concatenate([maps, b_modes]), mask, str(paths[-1]))
        # the transform of a masked field leaks out of the footprint; nothing is observed there
        maps[:, ~mask] = 0.0
        b_modes[:, ~mask] = 0.0
    entry = load_manifest(manifest)[names[0]]
    provenance = {
        "kind": "observed",
        "statement": "DES Y3 mass maps as published",
        "files": {name: copy.sha256 for name, copy in zip(names, copies, strict=True)},
        "url": entry["url"],
        "citation": entry["citation"],
        "licence": entry["licence"],
        "steps": ["Kaiser-Squires maps of the release, unsmoothed; 0 outside glimpse_mask"],
        "warnings": warnings,
    }
    return sky_of(cfg, "des_y3", maps, [str(path) for path in paths[:4]], mask, str(paths[-1]), provenance, b_modes)


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

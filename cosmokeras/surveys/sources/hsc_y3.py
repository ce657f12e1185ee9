"""Simulated convergence on the footprint of HSC Year 3, as the FAIR-Universe Cosmology Challenge stores it.

A mask (1424, 176) of 2 arcmin pixels, and skies (n, 132019) float16 of its unmasked pixels alone, row by row. These are
third-party ray-traced N-body simulations with noise and unpublished cosmologies, not observations. The skies of a file
may differ in cosmology, so patches of one are taken: real.map says which.

    python -m cosmokeras.surveys.hsc_y3 --mask hsc_masks.npy

writes the footprints that simulations of the `hsc_y3_fair` preset are to be masked with (lensing.mask: hsc_masks.npy).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.own_maps import stated
from cosmokeras.sky.pixels import USED
from cosmokeras.sky.tiles import cut, greedy_corners, used_part, words
from cosmokeras.surveys import image_checks, image_files
from cosmokeras.surveys.download.fetch import fetch_file, load_manifest
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

MASK = "hsc_y3/WIDE12H_bin2_2arcmin_mask.npy"
MAPS = "hsc_y3/sampled_WIDE12H_bin2_2arcmin_kappa_noisy_test.npy"
PIXEL_ARCMIN = 2.0
STATEMENT = (
    "A SIMULATION by others, not an observation: noisy ray-traced N-body convergence of the FAIR-Universe challenge, "
    "whose cosmology is not published"
)


def read_mask(path: Path | str) -> np.ndarray:
    """The footprint, (h, w) bool, True where observed."""
    mask = image_files.read_mask(path)
    if mask.ndim != 2:
        raise UserError(f"{path}: a mask of shape {mask.shape}; the challenge's is one image (h, w)")
    return mask >= USED


def _file(cfg: Config, name: str, own: Any, key: str) -> Path:
    """The user's own file where there is one, else the published one."""
    if own is None:
        return fetch_file(name, cfg.real.mirror, offline=cfg.real.offline)
    if not isinstance(own, str):
        raise UserError(f"real.{key}={list(own)}: real.source=hsc_y3 reads one file")
    return Path(own)


def _sky(cfg: Config, values: np.ndarray, where: Path) -> np.ndarray:
    """The one sky that real.map names, (1, pixels)."""
    values = np.atleast_2d(values)
    if cfg.real.map >= len(values):
        raise UserError(f"real.map={cfg.real.map}: {where} holds {len(values)} maps, counted from 0")
    return values[cfg.real.map : cfg.real.map + 1]


def load(cfg: Config) -> RealSky:
    """Tiles of data.size of one sky, placed greedily on the mask."""
    size = cfg.data.size
    if abs(cfg.pixel_arcmin / PIXEL_ARCMIN - 1) > 0.01:
        raise UserError(
            f"lensing.pixel_arcmin={cfg.pixel_arcmin}: the maps of real.source=hsc_y3 have {PIXEL_ARCMIN} arcmin; "
            "set it to null"
        )
    mask_file, maps_file = _file(cfg, MASK, cfg.real.mask, "mask"), _file(cfg, MAPS, cfg.real.path, "path")
    mask = read_mask(mask_file)
    if min(mask.shape) < size:
        raise UserError(f"data.size={size}: {mask_file} is {mask.shape} pixels; lower data.size and train again")
    sky = image_checks.unpack(_sky(cfg, image_files.read_floats(maps_file), maps_file), mask, str(maps_file))[..., None]
    coverage = image_checks.observed_part(cfg, sky, mask[None].astype(np.float32), str(maps_file))
    sky = image_checks.clean(sky, coverage, str(maps_file))
    image_checks.must_be_data(cfg, sky, coverage, str(maps_file))
    image_checks.must_be_noisy(cfg, sky, coverage, str(maps_file))
    corners = greedy_corners(coverage[0], size, cfg.real.max_masked)
    own = stated(cfg)
    return RealSky(
        name="hsc_y3",
        observed=False,
        maps=cut(sky[0], corners, size),
        coverage=cut(coverage[0], corners, size),
        ra=np.full(len(corners), np.nan),
        dec=np.full(len(corners), np.nan),
        provenance={
            "kind": "simulated",
            "statement": STATEMENT,
            "files": {
                MASK if cfg.real.mask is None else cfg.real.mask: image_files.sha256(mask_file),
                MAPS if cfg.real.path is None else cfg.real.path: image_files.sha256(maps_file),
            },
            **_terms(cfg),
            "map": cfg.real.map,
            "steps": [
                f"pixels put back on {mask.shape[0]} x {mask.shape[1]} of {PIXEL_ARCMIN} arcmin, masked ones 0",
                f"tiles of {size}^2 pixels, the first that fit from the top and the left, no overlap",
                f"at most {cfg.real.max_masked} of the pixels of a tile masked",
                words(len(corners), used_part(coverage[0], corners, size)),
            ],
            "corners": [list(corner) for corner in corners],
        },
        truth=own.truth,
    )


def _terms(cfg: Config) -> dict[str, Any]:
    """Citation and licence of the published files; those of the user's own are not known."""
    names = [name for name, own in ((MASK, cfg.real.mask), (MAPS, cfg.real.path)) if own is None]
    if not names:
        return {}
    entry = load_manifest()[names[0]]
    return {key: entry[key] for key in ("url", "citation", "licence")}

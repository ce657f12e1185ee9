"""The user's own HEALPix convergence maps: `real.path` and `real.mask`, for any survey preset made for HEALPix maps.

`real.path` is one FITS file with a column per bin or a list of files, one per bin in the order of the preset. Files say
themselves whether they are RING or NESTED; coordinates are celestial. Paths are relative to the folder of params.yaml.
A mask with pixel numbers alone, as surveys write footprints, will do, and so will HealSparse files (.hsp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.own_maps import stated
from cosmokeras.readers.missing import is_missing
from cosmokeras.sky import nulls
from cosmokeras.sky.patches import cut
from cosmokeras.sky.sky_maps import SkyMaps
from cosmokeras.sky.tiles import words
from cosmokeras.surveys import image_files
from cosmokeras.surveys.healpix_checks import check_finite, check_marks, check_values, healpix_nside
from cosmokeras.surveys.healpix_files import read_maps, read_mask
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


def load(cfg: Config) -> RealSky:
    """Patches of the maps of `real.path` inside the mask `real.mask`."""
    healpix_nside(cfg.survey)  # said before large files are read
    root = Path(cfg.root)
    maps_given, mask_given = image_files.own_files(cfg), image_files.own_files(cfg, "mask")
    if not isinstance(mask_given, str):
        raise UserError(f"real.mask={list(mask_given)}: real.source=healpix reads one file")
    paths = [root / one for one in ((maps_given,) if isinstance(maps_given, str) else maps_given)]
    mask_path = root / mask_given
    if not paths:
        raise UserError("real.path=[]: name one FITS file, or one for each bin")
    sky, names = read_maps(paths, cfg.survey, read_mask(mask_path, cfg.survey.nside), str(mask_path))
    observed = ~np.any(is_missing(sky.values, cfg.real.missing), axis=0)
    if not observed.any():
        raise UserError(f"{names[0]}: all pixels of {mask_path} have the value real.missing={cfg.real.missing}")
    missing = int(np.count_nonzero(~observed))
    if missing:
        sky = sky.only(observed)
    own = stated(cfg)
    provenance = {
        "kind": own.kind,
        "statement": own.statement,
        "files": {str(path): image_files.sha256(path) for path in (*paths, mask_path)},
        "steps": [f"{missing} pixels removed from the mask (real.missing)"] if missing else [],
    }
    found = sky_of(cfg, "healpix", sky, names, str(mask_path), provenance, marked=False)
    return replace(found, observed=own.observed, truth=own.truth)


def sky_of(
    cfg: Config,
    name: str,
    sky: SkyMaps,
    names: Sequence[str],
    mask_name: str,
    provenance: dict[str, Any],
    b_modes: np.ndarray | None = None,
    marked: bool = True,
) -> RealSky:
    """Checked, cut and tested: what all sources of HEALPix maps have in common.

    Parameters
    ----------
    name : of the source
    sky : (bins, m) float32 convergence at the observed pixels
    names : (bins,) for messages
    provenance : where the maps come from; "steps" and "warnings" are added to
    b_modes : (bins, m) B modes of the same shear, for the null tests
    marked : False: values that stand for missing data are looked for
    """
    survey = cfg.survey
    check_finite(sky, names, mask_name)
    warnings = [*provenance.get("warnings", []), *check_values(sky, names, mask_name, survey)]
    sigma = survey.kappa_noise(sky.nside)
    if not marked:
        check_marks(sky, names, mask_name, sigma)
    patches = cut(sky, cfg.data.size, cfg.pixel_arcmin, cfg.real.max_masked)
    if len(patches.maps) == 0:
        raise UserError(
            f"{mask_name}: no patch of {cfg.data.size} x {cfg.pixel_arcmin:g} arcmin lies in the footprint with at "
            f"most real.max_masked={cfg.real.max_masked} of it masked; raise that or lower data.size"
        )
    null_tests = nulls.pixel_nulls(sky.values, sigma) | nulls.patch_nulls(patches.maps, patches.coverage)
    if b_modes is not None:
        null_tests |= nulls.b_mode_nulls(b_modes, sigma)
    steps = [
        *provenance.get("steps", []),
        f"HEALPix NSIDE {survey.nside}, {len(sky.pixels)} observed pixels, {sky.fraction:.2%} of the sky",
        f"gnomonic patches of {cfg.data.size}^2 pixels of {cfg.pixel_arcmin} arcmin",
        f"at most {cfg.real.max_masked} of the pixels of a patch masked",
        words(len(patches.maps), _used_part(cfg, patches.coverage, sky.fraction)),
    ]
    return RealSky(
        name=name,
        observed=True,
        maps=patches.maps,
        coverage=patches.coverage,
        ra=patches.ra,
        dec=patches.dec,
        provenance={**provenance, "steps": steps, "warnings": warnings},
        null_tests=null_tests,
    )


def _used_part(cfg: Config, coverage: np.ndarray, fraction: float) -> float:
    """Part of the observed `fraction` of the sky that lies in patches, from the areas of flat and of HEALPix pixels."""
    area = 4 * np.pi * fraction
    return float(coverage.sum(dtype=np.float64) * cfg.pixel_side**2 / area)

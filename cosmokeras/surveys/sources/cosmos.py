"""The HST COSMOS shear catalogue (Schrabback et al. 2010, A&A 516, A63): 1.7 deg^2 of sky as one convergence patch.

The frame of the maps is that of `cosmokeras.sky.shear_catalogue`: x grows with RA, to the right, y with declination.

    python -m cosmokeras.surveys.cosmos --mask data/masks/cosmos_64x1.5.npy

writes the footprint that simulations of the `cosmos` preset are masked with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import SURVEY_FOLDER
from cosmokeras.sky.shear_catalogue import Catalogue, bin_shear, convergence, coverage, eb_test, extent_arcmin
from cosmokeras.surveys.download.fetch import fetch_file, load_manifest
from cosmokeras.surveys.sky import RealSky

COLUMNS = {"ra": "ra", "dec": "dec", "e1": "e1", "e2": "e2", "weight": "nhweight_int"}  # ours: name of the file
AGREEMENT = 0.98  # least fraction of pixels in which the footprint and the training mask must agree


def read_catalogue(paths: Mapping[str, Path | str]) -> Catalogue:
    """Read the columns `ra`, `dec`, `e1`, `e2`, `weight`, one FITS image each, from `paths`."""
    from astropy.io import fits

    columns = {}
    for name in COLUMNS:
        if name not in paths:
            raise UserError(f"shear catalogue: no file for column {name}; needed: {', '.join(COLUMNS)}")
        try:
            columns[name] = np.asarray(fits.getdata(paths[name]), dtype=np.float64)
        except (OSError, TypeError, ValueError) as error:
            raise UserError(f"{paths[name]}: not a FITS image of one column ({' '.join(str(error).split())})") from None
    return Catalogue(**columns)


def fetch_catalogue(mirror: Path | str | None = None, offline: bool = False) -> Catalogue:
    """The published catalogue, verified; see `cosmokeras.surveys.download.fetch.fetch_file`."""
    return read_catalogue(
        {ours: fetch_file(f"cosmos/{file}.fits", mirror, offline=offline) for ours, file in COLUMNS.items()}
    )


def load(cfg: Any) -> RealSky:
    """The COSMOS field on the grid of the configuration: one convergence patch, E mode, unsmoothed.

    Made as simulations of a `made_from: shear` survey are: mean shear per pixel, 0 outside the footprint, Kaiser &
    Squires, 0 outside again. Stops if the field does not fit on the grid or is not the one that was simulated.
    """
    size, pixel_arcmin = cfg.data.size, cfg.pixel_arcmin
    if len(cfg.survey.bins) != 1 or cfg.survey.made_from != "shear":
        msg = (
            f"real.source=cosmos is one shear catalogue, but lensing.survey={cfg.survey.name} has "
            f"{len(cfg.survey.bins)} bins made from {cfg.survey.made_from}; set lensing.survey=cosmos"
        )
        raise UserError(msg)
    catalogue = fetch_catalogue(cfg.real.mirror, cfg.real.offline)
    must_fit_on_grid(catalogue, size, pixel_arcmin)
    maps = bin_shear(catalogue, size, pixel_arcmin)
    used = coverage(maps.counts)
    _must_match_training_mask(used, cfg.survey, pixel_arcmin)
    kappa, _ = convergence(maps, used)
    manifest = {name: entry for name, entry in load_manifest().items() if entry["group"] == "cosmos"}
    return RealSky(
        name="cosmos",
        observed=True,
        maps=kappa[None, :, :, None].astype(np.float32),
        coverage=used[None],
        ra=np.array([np.median(catalogue.ra)]),
        dec=np.array([np.median(catalogue.dec)]),
        provenance={
            **{key: {name: e[key] for name, e in manifest.items()} for key in ("sha256", "url")},
            **{key: next(iter(manifest.values()))[key] for key in ("citation", "licence")},
            "files": list(manifest),
            "galaxies": int(catalogue.ra.size),
            "steps": [
                "gnomonic projection about the median position, RA to the right",
                f"weighted mean of (e1, -e2) in {size} x {size} pixels of {pixel_arcmin} arcmin",
                f"pixels with at least half the median count: {int(used.sum())}; the others 0",
                "Kaiser & Squires (1993) on the grid, E mode, masked pixels 0",
            ],
        },
        null_tests=eb_test(catalogue, size, pixel_arcmin),
    )


def must_fit_on_grid(catalogue: Catalogue, size: int, pixel_arcmin: float) -> None:
    """Refuse a grid of `size` pixels of `pixel_arcmin` that does not hold the whole field."""
    need = extent_arcmin(catalogue)
    if need > size * pixel_arcmin:
        msg = (
            f"data.size={size} x lensing.pixel_arcmin={pixel_arcmin} = {size * pixel_arcmin:.1f} arcmin: the COSMOS "
            f"field needs at least {need:.1f} arcmin; the preset's 64 x 1.5 fits"
        )
        raise UserError(msg)


def _must_match_training_mask(used: np.ndarray, survey: Any, pixel_arcmin: float) -> None:
    """The footprint must be one that the simulations were masked with."""
    size = len(used)
    name = f"data/masks/cosmos_{size}x{pixel_arcmin:g}.npy"
    remake = f"make one with `python -m cosmokeras.surveys.cosmos --mask {name} --size {size} --pixel {pixel_arcmin:g}`"
    if survey.mask is None:
        raise UserError(f"lensing.survey={survey.name} has no mask but the COSMOS field has edges; {remake}")
    path = SURVEY_FOLDER / survey.mask
    try:
        masks = np.load(path)
    except (OSError, ValueError):
        raise UserError(f"mask {path} of lensing.survey={survey.name}: missing or no .npy array; {remake}") from None
    if masks.ndim != 3 or masks.shape[1:] != used.shape:
        raise UserError(f"mask {path} is {masks.shape}, not (n, {size}, {size}); {remake}, name it in the preset")
    agreement = float(((masks >= 0.5) == (used >= 0.5)).mean(axis=(1, 2)).max())
    if agreement < AGREEMENT:
        same = f"agrees with the COSMOS footprint in {agreement:.1%} of pixels, {AGREEMENT:.0%} needed"
        raise UserError(f"mask {path} {same}; {remake}")

"""Shear catalogues of any survey, by the block `catalogue` of its preset: from galaxies to patches of convergence.

A preset with `made_from: healpix` has its galaxies binned on the sphere and inverted as a whole; one with `made_from:
shear`, whose field fits onto one grid, on flat pixels. Both use the functions that simulated maps are made by. Files
are those of `real.path` or of the preset; what the manifest knows is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import sha256
from cosmokeras.params.own_maps import stated
from cosmokeras.params.registry import SOURCES
from cosmokeras.params.survey import SURVEY_FOLDER
from cosmokeras.sky import shear_catalogue
from cosmokeras.sky.shear_catalogue import convergence, eb_test
from cosmokeras.sky.sky_maps import SkyMaps
from cosmokeras.sky.spherical_ks import checked_lmax
from cosmokeras.surveys.catalogue import flat_field as flat
from cosmokeras.surveys.catalogue.files import catalogue_files, layout_of
from cosmokeras.surveys.catalogue.frame import modes, refuse_mirrored
from cosmokeras.surveys.catalogue.galaxies import Files, read
from cosmokeras.surveys.catalogue.healpix_shear import ShearField, shear_field
from cosmokeras.surveys.download.fetch import MANIFEST, load_manifest
from cosmokeras.surveys.healpix_checks import healpix_nside
from cosmokeras.surveys.healpix_files import read_mask
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.sources.healpix import sky_of

if TYPE_CHECKING:
    from cosmokeras.params.catalogue import Catalogue
    from cosmokeras.params.config import Config

AGREEMENT = 0.98  # least fraction of pixels in which the footprint and the training mask must agree
MIRRORED = 50  # rotations for the map with the other sign of e2, whose scatter is that of the map
DENSITY = 3.0  # factor by which the density of galaxies may differ from that of the preset


def load(cfg: Config) -> RealSky:
    """Patches of the E mode of the catalogue; what B modes, PSF and mean shear say is in the null tests."""
    layout = layout_of(cfg.survey)
    if cfg.survey.made_from == "flat" or (cfg.survey.made_from == "shear" and cfg.survey.inversion == "field"):
        made = f"made_from: {cfg.survey.made_from}, inversion: {cfg.survey.inversion}"
        raise UserError(
            f"lensing.survey={cfg.survey.name}: {made} is not how catalogues are read; use made_from: healpix"
        )
    if cfg.survey.made_from == "healpix":
        nside = healpix_nside(cfg.survey)
        if cfg.survey.lmax is None:
            raise UserError(
                f"lensing.survey={cfg.survey.name}: lmax is null, but convergence made of shear ends at a multipole; "
                f"write lmax: {checked_lmax(None, nside)} into a preset of yours"
            )
        checked_lmax(cfg.survey.lmax, nside)
    files = catalogue_files(cfg.survey, cfg.real.path, cfg.root, cfg.real.mirror, cfg.real.offline)
    return _sphere(cfg, layout, files) if cfg.survey.made_from == "healpix" else _flat(cfg, layout, files)


def _sphere(cfg: Config, layout: Catalogue, files: Files) -> RealSky:
    nside = healpix_nside(cfg.survey)
    lmax = checked_lmax(cfg.survey.lmax, nside)
    field = shear_field(layout, files, nside)
    mask, mask_name = field.mask(), "the catalogue's footprint"
    check_density(field, cfg.survey.n_eff, layout.units, cfg.survey.name)
    outside = np.zeros_like(mask)
    if cfg.real.mask is not None:
        mask_name = cfg.real.mask
        given = read_mask(Path(cfg.root) / mask_name)
        if given.size != mask.size:
            raise UserError(f"real.mask={mask_name}: must have NSIDE {nside}, that of the preset")
        outside = mask & ~given
    found = modes(field, lmax)
    mask = mask & ~outside
    provenance = _provenance(cfg, layout, files, field.moments.sums["n"].sum(), field.calibration.words())
    provenance["steps"] = [
        f"weighted mean shear in HEALPix pixels of NSIDE {nside}, calibration {layout.calibration.method}",
        f"Kaiser & Squires on the sphere, 0 outside the footprint, l up to {lmax}; E mode",
        f"{np.count_nonzero(outside)} pixels taken out by real.mask",
    ]
    names = [f"shear catalogue, bin {i + 1}" for i in range(len(found.e))]
    sky = sky_of(cfg, cfg.real.source, SkyMaps.inside(found.e, mask), names, mask_name, provenance, found.b[:, mask])
    observed, truth = _nature(cfg)
    return replace(sky, observed=observed, truth=truth, null_tests=sky.null_tests | found.null_tests)


def _nature(cfg: Config) -> tuple[bool | None, dict[str, float] | None]:
    """Whether the galaxies were observed, and the truth of simulated ones; published catalogues are observed."""
    if SOURCES[cfg.real.source].survey:
        return True, None
    own = stated(cfg)
    return own.observed, own.truth


def check_density(field: ShearField, expected: np.ndarray, units: str, name: str) -> None:
    """Refuse a catalogue whose density is far from that of the preset (bins,): wrong units change the area."""
    ratio = field.density.n_eff / expected
    if (np.abs(np.log(ratio)) < np.log(DENSITY)).all():
        return
    listed = ", ".join(f"{one:.3g}" for one in field.density.n_eff)
    wanted = ", ".join(f"{one:.3g}" for one in expected)
    cause = "check catalogue.select and catalogue.bins"
    if ratio.min() > DENSITY and units == "deg":
        cause = "positions in radians or ra in hours look like this: see catalogue.units (deg, rad, hours)"
    raise UserError(
        f"shear catalogue: n_eff is {listed} per arcmin^2 in the bins, but lensing.survey={name} has {wanted}; {cause}"
    )


def _flat(cfg: Config, layout: Catalogue, files: Files) -> RealSky:
    size, pixel_arcmin = cfg.data.size, cfg.pixel_arcmin
    field = flat.flat_field(layout, read(layout, files))
    flat.must_fit_on_grid(field.galaxies, size, pixel_arcmin)
    maps = field.maps(size, pixel_arcmin)
    used = flat.footprint(maps)
    _must_match_training_mask(used, cfg.survey, pixel_arcmin)
    kappa = np.stack([convergence(one, used)[0] for one in maps], axis=-1)
    tests: dict[str, float] = {}
    for i in range(len(maps)):
        prefix = "" if len(maps) == 1 else f"bin_{i + 1}_"
        tests |= {f"{prefix}{key}": value for key, value in _eb_tests(field.of_bin(i), size, pixel_arcmin).items()}
    provenance = _provenance(cfg, layout, files, field.galaxies.ra.size, field.calibration.words())
    provenance["steps"] = [
        "gnomonic projection about the median position, RA to the right",
        f"weighted mean shear in {size} x {size} pixels of {pixel_arcmin} arcmin, calibration "
        f"{layout.calibration.method}",
        f"pixels with at least half the median count: {int(used.sum())}; the others 0",
        "Kaiser & Squires (1993) on the grid, E mode, masked pixels 0",
    ]
    observed, truth = _nature(cfg)
    return RealSky(
        name=cfg.real.source,
        observed=observed,
        maps=kappa[None].astype(np.float32),
        coverage=used[None],
        ra=np.array([np.median(field.galaxies.ra)]),
        dec=np.array([np.median(field.galaxies.dec)]),
        provenance=provenance,
        truth=truth,
        null_tests=tests,
    )


def _eb_tests(galaxies: shear_catalogue.Catalogue, size: int, pixel_arcmin: float) -> dict[str, float]:
    """E and B modes, and what E exceeds B by with the other sign of e2; a signal that is there is refused."""
    found = eb_test(galaxies, size, pixel_arcmin)
    other = eb_test(replace(galaxies, e2=-galaxies.e2), size, pixel_arcmin, rotations=MIRRORED)
    right, mirrored = (one["e_excess_sigma"] - one["b_excess_sigma"] for one in (found, other))
    refuse_mirrored(right / np.sqrt(2), mirrored / np.sqrt(2))
    return found | {"mirrored_sigma": float(mirrored / np.sqrt(2))}


def _provenance(cfg: Config, layout: Catalogue, files: Files, galaxies: float, words: dict[str, Any]) -> dict[str, Any]:
    """Where the galaxies come from, and what they were calibrated by."""
    found: dict[str, Any] = {"galaxies": int(galaxies), "calibration": words, "citation": cfg.survey.citation}
    if not SOURCES[cfg.real.source].survey:
        own = stated(cfg)
        found |= {"kind": own.kind, "statement": own.statement.replace("Maps", "A catalogue", 1)}
    path = Path(cfg.root) / MANIFEST
    entries = load_manifest(path) if path.exists() else {}
    named = [] if layout.files is None or cfg.real.path is not None else list(_named(layout.files))
    published = {name: entries[name] for name in named if name in entries}
    if published:
        first = next(iter(published.values()))
        found |= {key: {name: one[key] for name, one in published.items()} for key in ("sha256", "url")}
        return found | {key: first[key] for key in ("citation", "licence")} | {"files": list(published)}
    paths = list(files.values()) if isinstance(files, Mapping) else list(files)
    return found | {"files": {str(one): sha256(one) for one in dict.fromkeys(paths)}}


def _named(files: tuple[str, ...] | dict[str, str]) -> tuple[str, ...]:
    return tuple(files.values()) if isinstance(files, dict) else files


def _must_match_training_mask(used: np.ndarray, survey: Any, pixel_arcmin: float) -> None:
    """The footprint must be one that the simulations were masked with."""
    size = len(used)
    name = f"data/masks/{survey.name}_{size}x{pixel_arcmin:g}.npy"
    options = f"--survey {survey.name} --out {name} --size {size} --pixel {pixel_arcmin:g}"
    remake = f"make one with `python -m cosmokeras.surveys.catalogue.masks {options}`"
    if survey.mask is None:
        raise UserError(f"lensing.survey={survey.name} has no mask but the field has edges; {remake}")
    path = SURVEY_FOLDER / survey.mask
    try:
        masks = np.load(path)
        masks = masks if isinstance(masks, np.ndarray) else masks["coverage"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"mask {path} of lensing.survey={survey.name}: missing or no .npy array; {remake}") from None
    if masks.ndim != 3 or masks.shape[1:] != used.shape:
        raise UserError(f"mask {path} is {masks.shape}, not (n, {size}, {size}); {remake}, name it in the preset")
    agreement = float(((masks >= 0.5) == (used >= 0.5)).mean(axis=(1, 2)).max())
    if agreement < AGREEMENT:
        same = f"agrees with the catalogue's footprint in {agreement:.1%} of pixels, {AGREEMENT:.0%} needed"
        raise UserError(f"mask {path} {same}; {remake}")

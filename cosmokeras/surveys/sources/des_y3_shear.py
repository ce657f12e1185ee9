"""DES Y3 shear maps of the KaRMMa project (Fiedorowicz et al. 2022, MNRAS 512, 73), turned into convergence here.

One archive, karmma_data.zip, with desy3_shear_data.h5 (four bins, HEALPix NSIDE 256) and mask_desy3.fits. THE LAYOUT OF
THE HDF5 FILE WAS NOT SEEN when this was written. So data sets are found by name and shape: two shear components and, if
there is one, the number of galaxies, of 4 bins times either all pixels or those of the mask, RING. Where they are not
found the error lists what the file holds. The frame of the shear is not known either: of the four ways to sign the
components the one is taken that puts the signal into E modes and makes the convergence skewed to mass, as lensing is;
how clearly the maps say so is in the provenance.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.sky import nulls
from cosmokeras.sky.sky_maps import SkyMaps
from cosmokeras.sky.spherical_ks import checked_lmax, kaiser_squires_sphere
from cosmokeras.surveys.download.fetch import MANIFEST, fetch_verified, load_manifest
from cosmokeras.surveys.healpix_checks import check_finite, check_grid, healpix_nside, nside_of
from cosmokeras.surveys.healpix_files import read_mask
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.sources.healpix import sky_of

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

ARCHIVE, DATA, MASK = "des_y3_shear/karmma_data.zip", "desy3_shear_data.h5", "mask_desy3.fits"
COMPONENT = {1: r"(g|e|gamma|shear)_?1(_?(obs|map|maps|data))?", 2: r"(g|e|gamma|shear)_?2(_?(obs|map|maps|data))?"}
COUNTS = r"n|counts?|n_?gal(axies|s)?|num(ber)?|galaxy_counts?|n_?obs"
CLEAR = 3.0  # standard deviations at which the maps tell their frame


class Shear(NamedTuple):
    """Mean shear `g1`, `g2`, (bins, npix) RING, 0 outside the mask, and `counts` of galaxies, or None."""

    g1: np.ndarray
    g2: np.ndarray
    counts: np.ndarray | None


class Frame(NamedTuple):
    """Signs of the components, and how many standard deviations the maps are for the relative and the overall one."""

    sign1: int
    sign2: int
    relative: float
    overall: float


def load(cfg: Config) -> RealSky:
    """Patches of the E mode of the shear; its B mode is in the null tests."""
    nside = healpix_nside(cfg.survey)
    lmax = _lmax(cfg, nside)
    manifest = Path(cfg.root) / MANIFEST
    copy = fetch_verified(ARCHIVE, cfg.real.mirror, manifest, offline=cfg.real.offline)
    path = copy.path
    bins = len(cfg.survey.bins)
    mask, shear = read_archive(path, bins)
    names, mask_name = [f"{path} ({DATA}, bin {i + 1})" for i in range(bins)], f"{path} ({MASK})"
    for component in (shear.g1, shear.g2):
        check_grid(nside_of(component[0]), names[0], mask, mask_name, cfg.survey)
        check_finite(SkyMaps.inside(component, mask), names, mask_name)
    empty = mask & (shear.counts <= 0).any(axis=0) if shear.counts is not None else np.zeros_like(mask)
    mask &= ~empty
    g1, g2 = (np.where(mask, component, 0.0) for component in (shear.g1, shear.g2))
    frame = find_frame(g1, g2, mask)
    pairs = [kaiser_squires_sphere(frame.sign1 * a, frame.sign2 * b, lmax) for a, b in zip(g1, g2, strict=True)]
    e, b = (np.stack(column)[:, mask].astype(np.float32) for column in zip(*pairs, strict=True))
    entry = load_manifest(manifest)[ARCHIVE]
    provenance = {
        "kind": "observed",
        "statement": "DES Y3 shear maps as published; convergence made of them here",
        "files": {ARCHIVE: copy.sha256},
        "url": entry["url"],
        "citation": entry["citation"],
        "licence": entry["licence"],
        "frame": {name: round(value, 2) for name, value in frame._asdict().items()},
        "steps": [
            f"{np.count_nonzero(empty)} pixels of the mask without galaxies masked",
            f"Kaiser & Squires on the sphere of ({frame.sign1:+d} g1, {frame.sign2:+d} g2), 0 outside the mask, "
            f"l up to {lmax}; E mode",
        ],
        "warnings": _warnings(frame, shear, mask, cfg.survey.n_eff, nside),
    }
    sky = SkyMaps(nside, np.flatnonzero(mask), e)
    return sky_of(cfg, "des_y3_shear", sky, names, mask_name, provenance, b)


def _lmax(cfg: Config, nside: int) -> int:
    """Highest multipole of the inversion that is made here, which simulations must share."""
    lmax = cfg.survey.lmax
    if lmax is None:
        raise UserError(
            f"lensing.survey={cfg.survey.name}: lmax is null, so simulated noise would be white, but convergence made "
            f"of shear ends at a multipole; copy the preset to a new name with lmax: {checked_lmax(None, nside)}"
        )
    try:
        return checked_lmax(lmax, nside)
    except UserError as error:
        raise UserError(f"lensing.survey={cfg.survey.name}: {error}; change it in a copy of the preset") from None


def _warnings(frame: Frame, shear: Shear, mask: np.ndarray, n_eff: np.ndarray, nside: int) -> list[str]:
    """Warnings about what the maps do not determine."""
    import healpy

    warnings = []
    if frame.relative < CLEAR:
        warnings.append(
            f"E and B modes do not tell the relative sign of g1 and g2 ({frame.relative:.1f} sigma): as stored"
        )
    if frame.overall < CLEAR:
        warnings.append(
            f"the skewness does not tell the sign of the convergence ({frame.overall:.1f} sigma): as stored"
        )
    if shear.counts is None:
        warnings.append("no galaxy counts found: pixels without galaxies cannot be told from pixels without shear")
    else:
        area = healpy.nside2pixarea(nside, degrees=True) * 3600
        ratio = shear.counts[:, mask].mean(axis=1) / (n_eff * area)
        if (np.abs(np.log(ratio)) > np.log(1.5)).any():
            listed = ", ".join(f"{one:.2f}" for one in ratio)
            warnings.append(f"galaxies per pixel over n_eff of the preset, per bin: {listed}")
    return warnings


def read_archive(path: Path, bins: int) -> tuple[np.ndarray, Shear]:
    """Mask (npix,) bool and shear out of the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).name: name for name in archive.namelist() if "__MACOSX" not in name}
            lacking = [name for name in (DATA, MASK) if name not in members]
            if lacking:
                raise UserError(f"{path}: {' and '.join(lacking)} not in it; it holds {', '.join(archive.namelist())}")
            data, fits = archive.read(members[DATA]), archive.read(members[MASK])
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable zip archive ({' '.join(str(error).split())}); get it again") from None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MASK).write_bytes(fits)
        try:
            mask = read_mask(Path(folder) / MASK)
        except UserError as error:
            raise UserError(f"{path}: {str(error).replace(folder, '').lstrip('/')}") from None
    return mask, read_shear(data, mask, bins, f"{path} ({DATA})")


def read_shear(data: bytes, mask: np.ndarray, bins: int, name: str) -> Shear:
    """Shear and counts from the bytes of an HDF5 file of unknown layout; `name` is for messages."""
    import h5py

    stored: dict[str, Any] = {}
    try:
        with h5py.File(io.BytesIO(data), "r") as file:

            def keep(key: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "fiu":
                    stored[key] = item[()]

            file.visititems(keep)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{name}: not a readable HDF5 file ({' '.join(str(error).split())})") from None
    g1, g2 = (_find_component(stored, number, mask, bins, name) for number in (1, 2))
    return Shear(g1=g1, g2=g2, counts=_find(stored, COUNTS, mask, bins, name, "counts"))


def _find_component(stored: dict[str, np.ndarray], number: int, mask: np.ndarray, bins: int, name: str) -> np.ndarray:
    """Component 1 or 2 of the shear, which must be there."""
    component = _find(stored, COMPONENT[number], mask, bins, name, f"g{number}")
    if component is None:
        raise _unclear(stored, f"no data set looks like g{number}", mask, bins, name)
    return component


def _find(
    stored: dict[str, np.ndarray], pattern: str, mask: np.ndarray, bins: int, name: str, what: str
) -> np.ndarray | None:
    """The one data set of this name and of a fitting shape, as (bins, npix); None where there is none."""
    named = {key: one for key, one in stored.items() if re.fullmatch(pattern, key.split("/")[-1], re.IGNORECASE)}
    fitting = [full for one in named.values() if (full := _all_pixels(one, mask, bins)) is not None]
    if len(fitting) > 1:
        raise _unclear(stored, f"{len(fitting)} data sets could be {what}", mask, bins, name)
    return fitting[0] if fitting else None


def _unclear(stored: dict[str, np.ndarray], problem: str, mask: np.ndarray, bins: int, name: str) -> UserError:
    """An error that lists what the file holds."""
    listed = ", ".join(f"{key} {one.dtype}{list(one.shape)}" for key, one in stored.items()) or "no arrays of numbers"
    return UserError(
        f"{name}: {problem} ({bins} bins x {mask.size} pixels or {np.count_nonzero(mask)} of the mask); it holds: "
        f"{listed}; make convergence maps of it yourself and give them as real.source=healpix"
    )


def _all_pixels(one: np.ndarray, mask: np.ndarray, bins: int) -> np.ndarray | None:
    """(bins, npix) of an array in either order of axes, of all pixels or of those of the mask; None if neither."""
    if one.ndim != 2 or bins not in one.shape:
        return None
    rows = one if one.shape[0] == bins else one.T
    if rows.shape[1] == mask.size:
        return np.asarray(rows, np.float64)
    if rows.shape[1] == np.count_nonzero(mask):
        full = np.zeros((bins, mask.size))
        full[:, mask] = rows
        return full
    return None


def find_frame(g1: np.ndarray, g2: np.ndarray, mask: np.ndarray) -> Frame:
    """Signs that make (g1, g2), (bins, npix), the shear of `spherical_ks`: east and north, E modes, skewed to mass.

    The relative sign comes from products of different bins, in which noise averages to nothing: with the right one E
    has them all, with the wrong one E and B half each. The overall sign comes from the skewness of the sum of the bins.
    What is not clear by CLEAR standard deviations, those of white noise, stays as it is stored.
    """
    import healpy

    # independent numbers in what is seen of a map: the multipoles up to lmax are fewer than the pixels
    modes = np.count_nonzero(mask) * (checked_lmax(None, healpy.npix2nside(mask.size)) + 1) ** 2 / mask.size
    excess, maps = {}, {}
    for sign in (1, -1):
        pairs = [kaiser_squires_sphere(a, sign * b, iterations=0) for a, b in zip(g1, g2, strict=True)]
        e, b = (np.stack(column)[:, mask] for column in zip(*pairs, strict=True))
        maps[sign], excess[sign] = e, _cross(e) - _cross(b)
    scatter = np.sqrt(2 * sum(np.prod(maps[1][[i, j]].var(axis=1)) for i, j in _pairs(len(g1))) / modes)
    relative = abs(excess[1] - excess[-1]) / (np.sqrt(2) * scatter) if scatter > 0 else 0.0
    sign2 = -1 if excess[-1] > excess[1] and relative >= CLEAR else 1
    skewed = nulls.skewness(maps[sign2].sum(axis=0)) / np.sqrt(6 / modes)
    sign1 = -1 if skewed <= -CLEAR else 1
    return Frame(sign1=sign1, sign2=sign1 * sign2, relative=float(relative), overall=float(abs(skewed)))


def _pairs(bins: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(bins) for j in range(i)]


def _cross(maps: np.ndarray) -> float:
    """Sum of the mean products of different bins of (bins, pixels)."""
    return float(sum(np.mean(maps[i] * maps[j]) for i, j in _pairs(len(maps))))

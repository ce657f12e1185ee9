"""The HST COSMOS shear catalogue (Schrabback et al. 2010, A&A 516, A63): 1.7 deg^2 of sky as one convergence patch.

Frame: x (last axis) grows with RA, to the right, y with declination. The catalogue gives (e1, e2) for north up and east
left, so x runs the other way and the shear on this grid is (e1, -e2).

    python -m cosmokeras.surveys.cosmos --mask data/masks/cosmos_64x1.5.npy

writes the footprint that simulations of the `cosmos` preset are masked with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cosmokeras import cli
from cosmokeras.errors import UserError
from cosmokeras.kaiser_squires import kaiser_squires
from cosmokeras.pixels import ARCMIN
from cosmokeras.surveys.download import fetch_file, load_manifest
from cosmokeras.surveys.presets import SURVEY_FOLDER
from cosmokeras.surveys.sky import RealSky

COLUMNS = {"ra": "ra", "dec": "dec", "e1": "e1", "e2": "e2", "weight": "nhweight_int"}  # ours: name of the file
AGREEMENT = 0.98  # least fraction of pixels in which the footprint and the training mask must agree


@dataclass(frozen=True)
class Catalogue:
    """Galaxies: `ra`, `dec` [deg], reduced shear `e1`, `e2` (north up, east left), `weight`; all (n,) float64."""

    ra: np.ndarray
    dec: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        if len({c.shape for c in columns.values()}) > 1 or self.ra.ndim != 1:
            lengths = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
            raise UserError(f"shear catalogue: columns must be of one length, got {lengths}")
        if self.ra.size == 0:
            raise UserError("shear catalogue: no galaxies in it")
        for name, column in columns.items():
            if not np.isfinite(column).all():
                bad = np.count_nonzero(~np.isfinite(column))
                raise UserError(f"shear catalogue: {bad} values of column {name} are not finite; remove those galaxies")
        if (self.weight < 0).any() or not self.weight.any():
            raise UserError("shear catalogue: weights must be non-negative, and some positive")


class ShearMaps(NamedTuple):
    """Binned shear, (size, size) each; 0 where there is no galaxy. `g1`, `g2` with respect to x = RA and y = Dec."""

    g1: np.ndarray
    g2: np.ndarray
    weight: np.ndarray
    counts: np.ndarray


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
    """The published catalogue, verified; see `cosmokeras.surveys.download.fetch_file`."""
    return read_catalogue(
        {ours: fetch_file(f"cosmos/{file}.fits", mirror, offline=offline) for ours, file in COLUMNS.items()}
    )


def _positions(catalogue: Catalogue, projection: Literal["tangent", "plain"]) -> tuple[np.ndarray, np.ndarray]:
    """Places (x, y) [arcmin] about the median position, x growing with RA.

    "tangent" is the gnomonic projection. Its north differs from the local one by dRA sin(Dec) < 0.03 deg in this field,
    which turns shear by twice that: nothing. "plain" takes RA and Dec for Cartesian, as the published binned maps do.
    """
    ra0, dec0 = np.median(catalogue.ra), np.median(catalogue.dec)
    if projection == "plain":
        return 60.0 * (catalogue.ra - ra0), 60.0 * (catalogue.dec - dec0)
    a, d, d0 = np.radians(catalogue.ra - ra0), np.radians(catalogue.dec), np.radians(dec0)
    depth = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    x = np.cos(d) * np.sin(a) / depth
    y = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / depth
    return x / ARCMIN, y / ARCMIN


def _pixel_index(
    catalogue: Catalogue, size: int, pixel_arcmin: float, projection: Literal["tangent", "plain"] = "tangent"
) -> tuple[np.ndarray, np.ndarray]:
    """Flat pixel number of every galaxy on the grid, and which galaxies are on it."""
    x, y = _positions(catalogue, projection)
    column, row = np.floor(x / pixel_arcmin + size / 2), np.floor(y / pixel_arcmin + size / 2)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    return (row * size + column)[inside].astype(np.int64), inside


def _bin(
    pixel: np.ndarray, size: int, e1: np.ndarray, e2: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    total = np.bincount(pixel, weight, size**2)
    safe = np.where(total > 0, total, 1.0)
    # -e2: RA grows to the right
    g1, g2 = (np.bincount(pixel, weight * e, size**2) / safe for e in (e1, -e2))
    return g1.reshape(size, size), g2.reshape(size, size), total.reshape(size, size)


def bin_shear(
    catalogue: Catalogue, size: int, pixel_arcmin: float, projection: Literal["tangent", "plain"] = "tangent"
) -> ShearMaps:
    """Weighted mean shear on a grid of `size` pixels of `pixel_arcmin`, centred on the median position."""
    pixel, inside = _pixel_index(catalogue, size, pixel_arcmin, projection)
    maps = _bin(pixel, size, catalogue.e1[inside], catalogue.e2[inside], catalogue.weight[inside])
    return ShearMaps(*maps, np.bincount(pixel, minlength=size**2).reshape(size, size))


def coverage(counts: np.ndarray) -> np.ndarray:
    """Footprint (0 or 1, float32) from galaxy counts: at least half the median count of occupied pixels.

    In small pixels that also hits Poisson fluctuations. A pixel that is short by no more than 5 standard deviations and
    has a galaxy, and whose neighbours (6 of 8 or more) are in, is in: bright stars make deeper or larger holes.
    """
    from scipy.ndimage import convolve

    if not counts.any():
        raise UserError("shear catalogue: no galaxy falls on the grid")
    median = np.median(counts[counts > 0])
    used = counts >= 0.5 * median
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    surrounded = convolve(used.astype(int), ring, mode="constant") >= 6
    fluctuation = (counts > 0) & (counts >= median - 5 * np.sqrt(median))
    return (used | (surrounded & fluctuation)).astype(np.float32)


def rotated_noise(catalogue: Catalogue, rng: np.random.Generator) -> Catalogue:
    """The same galaxies, each turned by a random angle: shape noise with the true weights and no lensing."""
    angle = rng.uniform(0.0, 2 * np.pi, catalogue.ra.size)
    e = (catalogue.e1 + 1j * catalogue.e2) * np.exp(1j * angle)
    return Catalogue(catalogue.ra, catalogue.dec, e.real, e.imag, catalogue.weight)


def convergence(maps: ShearMaps, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E and B convergence of the shear in the used pixels, 0 elsewhere: as the simulated maps are made."""
    return tuple(kappa * used for kappa in kaiser_squires(maps.g1 * used, maps.g2 * used))


def eb_test(
    catalogue: Catalogue,
    size: int = 64,
    pixel_arcmin: float = 1.5,
    smoothing_arcmin: float = 1.0,
    margin_arcmin: float = 6.0,
    rotations: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Is there lensing, and only lensing? Scatter of the E and B maps against that of rotated galaxies.

    Parameters
    ----------
    smoothing_arcmin : Gaussian sigma [arcmin] of both maps
    margin_arcmin : pixels closer to the footprint's edge or to a hole are left out: there the transform of a masked
        field leaks E into B. In simulations with a signal like that of this field the leak alone gives B an excess of
        0.9 sigma without a margin, 0.3 sigma with 6 arcmin. The real field: B 3.3 sigma without, 2.0 sigma with
    rotations : noise realisations, at least 50

    Returns
    -------
    e_std, b_std of the map; noise_std, noise_scatter: mean and standard deviation of the same number over rotated
    catalogues (E and B of noise are alike, so both count); e_excess_sigma = (e_std - noise_std) / noise_scatter, large
    if there is signal; b_excess_sigma, within +-3 if there are no systematics; pixel_noise: rms shear noise of a used
    pixel per component, unsmoothed
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if rotations < 50:
        raise UserError(f"rotations={rotations}: 50 at least, or the significance is itself uncertain by over 10 %")
    rng = np.random.default_rng(seed)
    real = bin_shear(catalogue, size, pixel_arcmin)
    used = coverage(real.counts)
    # padded by one pixel: the border of the grid is an edge as well
    inner = distance_transform_edt(np.pad(used, 1))[1:-1, 1:-1] * pixel_arcmin > margin_arcmin
    if not inner.any():
        raise UserError(f"margin_arcmin={margin_arcmin}: no pixel of the footprint is that far from its edge")
    pixel, inside = _pixel_index(catalogue, size, pixel_arcmin)
    e, weight = (catalogue.e1 + 1j * catalogue.e2)[inside], catalogue.weight[inside]

    def scatter(maps: ShearMaps) -> list[float]:
        smooth = (gaussian_filter(k, smoothing_arcmin / pixel_arcmin, mode="constant") for k in convergence(maps, used))
        return [float(k[inner].std()) for k in smooth]

    e_std, b_std = scatter(real)
    noise, variance = [], []
    for _ in range(rotations):  # rotated_noise, with the pixel numbers worked out once
        turned = e * np.exp(2j * np.pi * rng.random(e.size))
        maps = ShearMaps(*_bin(pixel, size, turned.real, turned.imag, weight), real.counts)
        noise.append(scatter(maps))
        variance.append(0.5 * np.mean((maps.g1**2 + maps.g2**2)[used > 0]))
    mean, spread = float(np.mean(noise)), float(np.std(noise, ddof=1))
    return {
        "e_std": e_std,
        "b_std": b_std,
        "noise_std": mean,
        "noise_scatter": spread,
        "e_excess_sigma": (e_std - mean) / spread,
        "b_excess_sigma": (b_std - mean) / spread,
        "pixel_noise": float(np.sqrt(np.mean(variance))),
    }


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
    _must_fit(catalogue, size, pixel_arcmin)
    maps = bin_shear(catalogue, size, pixel_arcmin)
    used = coverage(maps.counts)
    _must_match(used, cfg.survey, pixel_arcmin)
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


def _must_fit(catalogue: Catalogue, size: int, pixel_arcmin: float) -> None:
    need = 2 * max(float(np.abs(place).max()) for place in _positions(catalogue, "tangent"))
    if need > size * pixel_arcmin:
        msg = (
            f"data.size={size} x lensing.pixel_arcmin={pixel_arcmin} = {size * pixel_arcmin:.1f} arcmin: the COSMOS "
            f"field needs at least {need:.1f} arcmin; the preset's 64 x 1.5 fits"
        )
        raise UserError(msg)


def _must_match(used: np.ndarray, survey: Any, pixel_arcmin: float) -> None:
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


def write_mask(path: Path | str, size: int, pixel_arcmin: float, mirror: Path | str | None = None) -> np.ndarray:
    """Write the footprint on the grid, (1, size, size) uint8, for the survey preset."""
    catalogue = fetch_catalogue(mirror)
    _must_fit(catalogue, size, pixel_arcmin)
    mask = coverage(bin_shear(catalogue, size, pixel_arcmin).counts)[None].astype(np.uint8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.npy")
    try:
        np.save(partial, mask)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return mask


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the training mask of the `cosmos` preset."""
    parser = cli.Parser("cosmokeras.surveys.cosmos", main.__doc__)
    parser.add_argument("--mask", required=True, metavar="OUT.npy", help="file to write")
    parser.add_argument("--mirror", metavar="DIR", help="folder with cosmos/*.fits (default: download)")
    parser.add_argument("--size", type=cli.count, default=64, help="pixels along a side")
    parser.add_argument("--pixel", type=cli.positive, default=1.5, help="pixel [arcmin]")
    options = parser.parse_args(arguments)
    if Path(options.mask).suffix != ".npy":
        raise UserError(f"--mask {options.mask}: must end in .npy")
    cli.writable(options.mask)
    mask = write_mask(options.mask, options.size, options.pixel, options.mirror)
    print(f"{options.mask}: {int(mask.sum())} of {mask.size} pixels observed")
    return 0


if __name__ == "__main__":
    cli.entry(main)

"""A catalogue as shear maps on the sphere: one pass over its files, then calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import Catalogue
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.surveys.catalogue import tables
from cosmokeras.surveys.catalogue.calibration import Calibration, calibration
from cosmokeras.surveys.catalogue.density import Density, heymans
from cosmokeras.surveys.catalogue.galaxies import NONE, Files, Galaxies, read
from cosmokeras.surveys.catalogue.moments import Moments
from cosmokeras.surveys.catalogue.pixel_sums import COUNT, E1, PAIRS, SQUARE, WEIGHT, PixelSums


@dataclass(frozen=True)
class ShearField:
    """Calibrated shear in the HEALPix pixels `pixels` (n,) that have a galaxy of any bin, RING, celestial.

    `shear` (bins, 2, n) with respect to x = east, y = north, 0 where a bin has no weight; `weight`, `count` (bins, n);
    `noise` (bins, n): shape noise of the shear per component, inf without weight; `rotated` (rotations, bins, 2, n):
    shear of the same galaxies turned at random. `moments` and `calibration` are of whole bins.
    """

    nside: int
    pixels: np.ndarray
    shear: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    noise: np.ndarray
    rotated: np.ndarray
    moments: Moments
    calibration: Calibration

    @property
    def area(self) -> float:
        """Area [arcmin^2] of the pixels that have galaxies of all bins."""
        return float(np.count_nonzero(self.seen) * (healpix_side(self.nside) / ARCMIN) ** 2)

    @property
    def seen(self) -> np.ndarray:
        """Pixels, of `pixels`, in which all bins have weight, (n,) bool."""
        return np.asarray((self.weight > 0).all(axis=0))

    @property
    def density(self) -> Density:
        """Number density and shape noise by the definition of Heymans et al. (2012)."""
        return heymans(self.moments, self.calibration, self.area)

    def mask(self) -> np.ndarray:
        """The footprint, (npix,) bool."""
        mask = np.zeros(12 * self.nside**2, bool)
        mask[self.pixels[self.seen]] = True
        return mask

    def full(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) on the whole sphere, 0 outside the footprint."""
        out = np.zeros(12 * self.nside**2)
        out[self.pixels[self.seen]] = values[self.seen]
        return out


def shear_field(
    layout: Catalogue, files: Files, nside: int, rows: int = tables.ROWS, rotations: int | None = None
) -> ShearField:
    """Shear of a catalogue on the sphere; see `galaxies.read` for what is refused.

    Parameters
    ----------
    nside : HEALPix, of any order; 2 for 53 deg^2, 1024 for 11.8 arcmin^2 pixels
    rows : of a piece; the result does not depend on it
    rotations : default those of the preset
    """
    turned = layout.rotations if rotations is None else rotations
    return field_of(layout, read(layout, files, rows), nside, turned)


def field_of(layout: Catalogue, pieces: Iterable[Galaxies], nside: int, rotations: int) -> ShearField:
    """The same of galaxies that are read already, piece by piece."""
    import healpy

    moments = Moments(layout.number)
    rng = np.random.default_rng(layout.seed)
    sums: PixelSums | None = None
    names: list[str] = []
    for piece in pieces:
        moments.add(piece)
        inside = piece.bin != NONE
        one = piece if inside.all() else piece.only(inside)
        if sums is None:
            names = [name for pair in (("psf1", "psf2"), ("c1", "c2")) for name in pair if pair[0] in one.more]
            sums = PixelSums(nside, layout.number, len(names) // 2, rotations)
        extra = np.stack([one.more[name] for name in names]) if names else np.zeros((0, one.ra.size))
        pixel = healpy.ang2pix(nside, one.ra, one.dec, lonlat=True)
        turns = rng.random((one.ra.size, rotations))
        sums.add(pixel, one.bin, one.weight, np.stack([one.e1, one.e2]), extra, turns)
    if sums is None:
        raise UserError("shear catalogue: no galaxies in it")
    return _finished(calibration(layout, moments), moments, sums, names)


def _finished(found: Calibration, moments: Moments, sums: PixelSums, names: list[str]) -> ShearField:
    """Means of pixels, calibrated."""
    pixels, total = sums.finish()
    total = np.moveaxis(total, 0, -1)  # (bins, columns, pixels)
    weight = total[:, WEIGHT]
    safe = np.where(weight > 0, weight, 1.0)[:, None]
    pairs = {name: total[:, PAIRS + i : PAIRS + i + 2] / safe for i, name in enumerate(names) if name.endswith("1")}
    shear = found.shear(total[:, E1 : E1 + 2] / safe, pairs.get("psf1"), pairs.get("c1"))
    shear = np.where(weight[:, None] > 0, shear, 0.0)
    first = PAIRS + len(names)
    turned = (
        np.stack([total[:, first + 2 * i : first + 2 * i + 2] / safe for i in range(sums.rotations)])
        if sums.rotations
        else np.zeros((0, *shear.shape))
    )
    scale = found.scale[:, None]
    with np.errstate(divide="ignore"):
        noise = np.where(weight > 0, np.sqrt(0.5 * total[:, SQUARE]) / safe[:, 0], np.inf) * scale
    return ShearField(
        sums.nside, pixels, shear, weight, total[:, COUNT], noise, turned * scale[:, None], moments, found
    )

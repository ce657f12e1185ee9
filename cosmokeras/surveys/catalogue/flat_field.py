"""A catalogue whose field fits onto one flat grid: in memory, as `sky.shear_catalogue` bins and inverts it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import Catalogue as Layout
from cosmokeras.sky.shear_catalogue import (
    Catalogue,
    ShearMaps,
    bin_shear,
    coverage,
    extent_arcmin,
    pixel_index,
    weighted_means,
)
from cosmokeras.surveys.catalogue.calibration import Calibration, calibration
from cosmokeras.surveys.catalogue.galaxies import NONE, Galaxies
from cosmokeras.surveys.catalogue.moments import Moments

LARGEST = 30_000_000  # galaxies of a field in memory, 1.4 GB


@dataclass(frozen=True)
class FlatField:
    """Calibrated galaxies of all bins in the frame of `sky.shear_catalogue`, and the bin (n,) of each."""

    galaxies: Catalogue
    bin: np.ndarray
    moments: Moments
    calibration: Calibration

    def of_bin(self, number: int) -> Catalogue:
        """Galaxies of a bin, counted from 0."""
        if self.moments.bins == 1:
            return self.galaxies
        here, all_of = self.bin == number, self.galaxies
        return Catalogue(all_of.ra[here], all_of.dec[here], all_of.e1[here], all_of.e2[here], all_of.weight[here])

    def maps(self, size: int, pixel_arcmin: float) -> list[ShearMaps]:
        """Shear of each bin on one grid about the median position of all galaxies."""
        if self.moments.bins == 1:
            return [bin_shear(self.galaxies, size, pixel_arcmin)]
        pixel, inside = pixel_index(self.galaxies, size, pixel_arcmin)
        number, one = self.bin[inside], self.galaxies
        maps = []
        for i in range(self.moments.bins):
            here = number == i
            e1, e2, weight = (column[inside][here] for column in (one.e1, one.e2, one.weight))
            g1, g2, total = weighted_means(pixel[here], size, e1, e2, weight)
            maps.append(ShearMaps(g1, g2, total, np.bincount(pixel[here], minlength=size**2).reshape(size, size)))
        return maps

    def noise(self, size: int, pixel_arcmin: float) -> np.ndarray:
        """Shape noise of the pixels per component, (bins, size, size); inf without galaxies."""
        pixel, inside = pixel_index(self.galaxies, size, pixel_arcmin)
        one, number = self.galaxies, self.bin[inside]
        square = (one.weight**2 * (one.e1**2 + one.e2**2))[inside]
        weight, out = one.weight[inside], []
        for i in range(self.moments.bins):
            here = number == i
            power, total = (np.bincount(pixel[here], column[here], size**2) for column in (square, weight))
            noise = np.full(size**2, np.inf)
            out.append(np.divide(np.sqrt(0.5 * power), total, out=noise, where=total > 0).reshape(size, size))
        return np.stack(out)


def flat_field(layout: Layout, pieces: Iterable[Galaxies]) -> FlatField:
    """All galaxies of a catalogue, calibrated by the numbers of their bins.

    Raises
    ------
    UserError : more galaxies than a field on one flat grid has
    """
    moments, kept, number = Moments(layout.number), [], 0
    for piece in pieces:
        moments.add(piece)
        one = piece.only(piece.bin != NONE)
        number += one.ra.size
        if number > LARGEST:
            raise UserError(
                f"shear catalogue: more than {LARGEST} galaxies are no field for one flat grid; use a preset with "
                "made_from: healpix"
            )
        kept.append(one)
    found = calibration(layout, moments)
    bins = np.concatenate([one.bin for one in kept])
    ra, dec, weight = (np.concatenate([getattr(one, name) for one in kept]) for name in ("ra", "dec", "weight"))
    e = np.concatenate([[one.e1, one.e2] for one in kept], axis=1)
    psf, c = (_pair(kept, *names) for names in (("psf1", "psf2"), ("c1", "c2")))
    for i in range(layout.number):
        here = bins == i
        of = (None if one is None else one[None, :, here] for one in (psf, c))
        e[:, here] = found.of_bin(i).shear(e[None, :, here], *of)[0]
    # x is to the east here and to the west there
    return FlatField(Catalogue(ra, dec, e[0], -e[1], weight), bins, moments, found)


def _pair(kept: list[Galaxies], first: str, second: str) -> np.ndarray | None:
    """Two columns (2, n), if there are such."""
    if first not in kept[0].more:
        return None
    return np.stack([np.concatenate([one.more[name] for one in kept]) for name in (first, second)])


def must_fit_on_grid(catalogue: Catalogue, size: int, pixel_arcmin: float) -> None:
    """Refuse a grid of `size` pixels of `pixel_arcmin` that does not hold the whole field."""
    need = extent_arcmin(catalogue)
    if need > size * pixel_arcmin:
        msg = (
            f"data.size={size} x lensing.pixel_arcmin={pixel_arcmin} = {size * pixel_arcmin:.1f} arcmin: the field of "
            f"the catalogue needs at least {need:.1f} arcmin; take a grid that holds it, or a preset with made_from: "
            "healpix"
        )
        raise UserError(msg)


def footprint(maps: list[ShearMaps]) -> np.ndarray:
    """Footprint (size, size), 0 or 1: where the galaxies of all bins together reach their usual number."""
    used = coverage(np.sum([one.counts for one in maps], axis=0))
    return used if len(maps) == 1 else used * np.all([one.weight > 0 for one in maps], axis=0).astype(np.float32)

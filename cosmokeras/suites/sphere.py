"""Maps of the sphere in files, cut into patches at the places, and by the averages, of real maps (`sky.patches`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.sky.patches import SUBPIXELS, UNSEEN_LIMIT, average, cut_patches, sub_points, tangent_grid


@dataclass(frozen=True)
class Cutter:
    """Patches of `size` pixels, of side `side` [rad], at `ra` and `dec` (n,) [deg] of HEALPix maps."""

    nside: int
    nested: bool
    size: int
    side: float
    mask: np.ndarray  # (npix,) RING, where there are values
    ra: np.ndarray
    dec: np.ndarray

    @property
    def count(self) -> int:
        """Patches of a map."""
        return len(self.ra)

    def __call__(self, sky: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Some patches (n, size, size, channels) of a map (npix, channels) in the order of the files."""
        import healpy

        out = np.empty((len(which), self.size, self.size, sky.shape[1]), np.float32)
        points, maps = tangent_grid(self.side, self.size * SUBPIXELS), sky.T
        for place, number in zip(out, which, strict=True):
            ring = sub_points(self.nside, points, float(self.ra[number]), float(self.dec[number]))
            stored = healpy.ring2nest(self.nside, ring) if self.nested else ring
            # the mask is looked up by RING numbers, the map by those of the files
            place[...] = average(maps[:, stored], self.mask[ring], self.size)[0]
        return out


def cutter(cfg: Config, first: np.ndarray) -> Cutter:
    """For maps like `first` (npix, channels), whose pixels without a value belong to no patch."""
    import healpy

    nside, nested = int(healpy.npix2nside(len(first))), cfg.files.healpix == "NESTED"
    if cfg.survey.nside is not None and nside != cfg.survey.nside:
        raise UserError(
            f"files.maps: NSIDE {nside}, but lensing.survey={cfg.survey.name} has {cfg.survey.nside}; bring the "
            "maps to it, or copy the preset with theirs"
        )
    mask = (np.abs(first) < UNSEEN_LIMIT).all(axis=1)  # NaN is not below
    if nested:
        mask = mask[healpy.ring2nest(nside, np.arange(len(mask)))]
    size, pixel = cfg.data.size, cfg.pixel_arcmin
    blank = np.zeros(len(mask), np.float32)
    found = cut_patches(blank, mask, size, pixel, 0.0) if mask.any() else None
    if found is None or not len(found.maps):
        raise UserError(
            f"files.maps: no patch of {size} x {pixel:g} arcmin lies in the sky of the maps; lower data.size"
        )
    return Cutter(nside, nested, size, float(np.deg2rad(size * pixel / 60)), mask, found.ra, found.dec)

"""The mass maps of DES Y1 (Chang et al. 2018, MNRAS 475, 3165): plain Kaiser-Squires convergence, four bins.

Of the SPT region: y1a1_spt_mcal_<z>_<z>_kE and _kB (B mode of the same shear) in bins of photometric redshift, and the
footprint of all sources together, y1a1_spt_mcal_0.2_1.3_mask. The makers' scripts (repository chihway/massmapping,
folders desy1 and utils) pixelise METACALIBRATION shear in RING order and celestial coordinates at NSIDE 1024, set it to
0 where there is no galaxy, transform it up to l = 2 NSIDE, and write each map as a table of one column, kE, kB or mask,
without saying NSIDE or ORDERING. THE PUBLISHED FILES WERE NOT OPENED when this was written. So columns are found by
name, in any case, and an error for a missing one lists those that there are; NSIDE is that of the number of rows, and
another than the preset's is refused; an ORDERING counts where a header gives one, else it is RING.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.readers.healpix import read_healpix
from cosmokeras.surveys.healpix_checks import missing
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.sources.des_y3 import Release, load_release

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

BINS = ("0.2_0.43", "0.43_0.63", "0.63_0.9", "0.9_1.3")  # redshifts in the names of the files
STEM = "y1a1_spt_mcal"
MASK = f"{STEM}_0.2_1.3_mask.fits"


def load(cfg: Config) -> RealSky:
    """Patches of the four Kaiser-Squires maps, downloaded where no mirror holds them."""
    release = Release(
        source="des_y1",
        statement="DES Y1 mass maps as published",
        step=f"Kaiser-Squires maps of the release, unsmoothed; 0 outside {MASK}",
        maps=tuple(f"{STEM}_{one}_kE.fits" for one in BINS),
        b_modes=tuple(f"{STEM}_{one}_kB.fits" for one in BINS),
        mask=MASK,
        read_map=partial(_read, column="kE"),
        read_b_mode=partial(_read, column="kB"),
        read_mask=_read_mask,
    )
    return load_release(cfg, release)


def _read(path: Path, column: str) -> np.ndarray:
    """A map of convergence, (npix,) float32 RING."""
    one = read_healpix(path, column, unnamed="RING")[0]
    if one.dtype.kind != "f":
        raise UserError(f"{path}: {column} holds {one.dtype} numbers, but convergence is a small fraction")
    with np.errstate(over="ignore"):  # beyond float32 is as good as missing
        return one.astype(np.float32)


def _read_mask(path: Path) -> np.ndarray:
    """Pixels with a source galaxy in them, (npix,) bool RING: where the mask is above 0, be it 1 or a number."""
    stored = read_healpix(path, "mask", unnamed="RING")[0].astype(np.float64)
    mask = ~missing(stored) & (stored > 0)
    if not mask.any():
        raise UserError(f"{path}: the mask is empty, no pixel is above 0; replace the file by the published one")
    return mask

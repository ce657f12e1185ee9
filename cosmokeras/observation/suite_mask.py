"""The footprint of maps in files (`files.mask`), and the patches of data.size that are cut out of it.

Every map of such files has the same patches; the mask of a patch goes with it: beyond it nothing is known of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.readers.array_files import why
from cosmokeras.sky.resampling import averaging, ratio
from cosmokeras.sky.tiles import best_corners, cut

if TYPE_CHECKING:
    from cosmokeras.params.config import Config


@dataclass(frozen=True)
class Footprint:
    """`mask` (y, x) bool in pixels of the files; `coverage` (h, w) in those of training; `corners` of patches in it."""

    mask: np.ndarray
    coverage: np.ndarray
    corners: tuple[tuple[int, int], ...]
    size: int

    @property
    def patches(self) -> np.ndarray:
        """Coverage of each patch, (n, size, size)."""
        return cut(self.coverage, list(self.corners), self.size)


def mask_path(config: Config) -> Path | None:
    """The file of files.mask: below the folder of params.yaml, or of a trained model, or below this one."""
    if not config.from_files or config.files.mask is None or config.files.healpix is not None:
        return None
    given, root = Path(config.files.mask).expanduser(), Path(config.root)
    places = [root / given, root / given.name, given]
    return next((path for path in places if path.is_file()), places[0])


def footprint(config: Config) -> Footprint | None:
    """The footprint of these files; None without files.mask."""
    path = mask_path(config)
    if path is None:
        return None
    if not path.is_file():
        raise UserError(f"files.mask={config.files.mask}: no such file; give the mask of these maps, .npy of (y, x)")
    status = path.stat()
    own = config.files.pixel_arcmin or config.pixel_arcmin
    return _footprint(
        path, (status.st_mtime_ns, status.st_size), config.data.size, own, config.pixel_arcmin, config.files.max_masked
    )


@lru_cache(maxsize=4)
def _footprint(path: Path, version: tuple[int, int], size: int, own: float, trained: float, most: float) -> Footprint:
    try:
        stored = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise UserError(f"files.mask={path}: damaged or no .npy file ({why(error)}); save it with numpy.save") from None
    if stored.ndim != 2 or stored.dtype.kind not in "biuf" or not np.isin(stored, (0, 1)).all():
        raise UserError(
            f"files.mask={path}: shape {stored.shape} of {stored.dtype}; must be (y, x), 1 where observed, else 0"
        )
    mask = stored.astype(bool)
    times = ratio(own, trained, "files.pixel_arcmin")
    rows, columns = (averaging(n, times, 2) for n in mask.shape)
    coverage = (rows @ mask.astype(np.float32) @ columns.T) if times != 1 else mask.astype(np.float32)
    corners = best_corners(coverage, size, most)
    if not corners:
        raise UserError(
            f"files.mask={path}: no patch of data.size={size} has at most files.max_masked={most} of it masked; raise "
            "that or lower data.size"
        )
    return Footprint(mask=mask, coverage=coverage, corners=tuple(corners), size=size)

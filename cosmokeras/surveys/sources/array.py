"""Your own flat maps, from .npy, .npz, HDF5 or FITS files: convergence, or whole periodic maps of the other kinds.

`real.path` is one file of shape (h, w), (h, w, channels) or (n, h, w, channels), or a list of files of (h, w) or
(n, h, w), one for each tomographic bin. `real.mask` is a file of (h, w) or (n, h, w), 1 where observed. Maps of one bin
may also hold the unmasked pixels alone, (pixels,) or (n, pixels), row by row, as challenges store them. All maps of a
file are taken to be of one sky: the combined posterior is that of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation import units
from cosmokeras.params.own_maps import stated
from cosmokeras.sky.pixels import USED
from cosmokeras.sky.resampling import grid_corners, resampled
from cosmokeras.sky.tiles import Corners, best_corners, cut, words
from cosmokeras.surveys import image_checks, image_files
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

PIXEL_TOLERANCE = 0.01  # by which pixels may differ from the trained ones
EMPTY = 0.01  # rounding, by which a slab may lie below -1
THICK = 4  # cells; in thinner slabs the window that is divided out rings below -1
MEAN_LIMIT = 0.5  # a density contrast has a mean near 0, 1 + density contrast near 1


def load(cfg: Config) -> RealSky:
    """Patches of data.size out of the maps that real.path names; see the module's docstring."""
    lensing = cfg.kind.observed == "survey"
    if lensing:
        must_have_pixel(cfg)
    path = image_files.own_files(cfg)
    mask = _mask(cfg)
    maps, where = read_maps(path, cfg.channels, cfg.real.pixel_arcmin if lensing else None, mask, cfg.data.size)
    coverage = _coverage(cfg, mask, maps.shape[:3], where)
    if lensing and len(files := _files(path, cfg.real.mask)) > 1:
        image_files.must_share_sky(files, cfg.pixel_arcmin)
    coverage = image_checks.observed_part(cfg, maps, coverage, where)
    maps = image_checks.clean(maps, coverage, where, whole=not lensing)
    corners: list[list[int]] | None
    if lensing:
        image_checks.must_be_data(cfg, maps, coverage, where)
        image_checks.must_be_noisy(cfg, maps, coverage, where)
        tiles, holes, corners, part = _tiles(cfg, maps, coverage, where)
        steps = [
            f"tiles of {cfg.data.size}^2 pixels of {cfg.pixel_arcmin} arcmin, placed to keep most sky, no overlap",
            f"at most {cfg.real.max_masked} of the pixels of a tile masked; masked pixels 0",
            words(len(tiles), part),
        ]
    elif cfg.from_files:
        maps = units.convert(cfg.files, maps, where)
        coverage = np.ones(maps.shape[:3], np.float32)
        tiles, corners = _as_trained(cfg, maps, where)
        holes, steps = np.ones(tiles.shape[:3], np.float32), [f"as the maps of files, {cfg.data.size}^2 pixels"]
    else:
        _must_be_whole(cfg, maps, where)
        image_checks.must_be_data(cfg, maps, coverage, where)
        corners = None
        tiles, holes, steps = maps, coverage, [f"periodic maps, taken as {cfg.data.size}^2 pixels of a box"]
    own = stated(cfg)
    return RealSky(
        name="array",
        observed=own.observed,
        maps=tiles,
        coverage=holes,
        ra=np.full(len(tiles), np.nan),
        dec=np.full(len(tiles), np.nan),
        provenance={
            "kind": own.kind,
            "statement": own.statement,
            "files": {name: image_files.sha256(name) for name in _files(path, cfg.real.mask)},
            "shape": list(maps.shape),
            "steps": steps,
            **({} if corners is None else {"corners": corners}),  # of each patch: number of the map, row, column
        },
        truth=own.truth,
    )


def must_have_pixel(cfg: Config) -> None:
    """real.pixel_arcmin must be given, and be that of the simulated maps."""
    own, trained = cfg.real.pixel_arcmin, cfg.pixel_arcmin
    if own is None:
        raise UserError(
            f"real.pixel_arcmin=null: real.source={cfg.real.source} needs the pixel side of your maps [arcmin]; "
            f"the network's maps have {trained}"
        )
    if abs(own / trained - 1) > PIXEL_TOLERANCE:
        raise UserError(
            f"real.pixel_arcmin={own}: the simulated maps have lensing.pixel_arcmin={trained}; "
            "set that to the same and train again, or rebin the maps"
        )


def _files(path: str | tuple[str, ...], mask: str | None) -> list[str]:
    return [*([path] if isinstance(path, str) else path), *([mask] if mask else [])]


def read_maps(
    path: str | tuple[str, ...], channels: int, pixel_arcmin: float | None, mask: np.ndarray | None, size: int
) -> tuple[np.ndarray, str]:
    """Maps (n, h, w, channels) of a file, or of a list of files of one bin each; and how to name them in a message.

    `pixel_arcmin` is held against the headers of FITS files; `mask` puts unmasked pixels back into their rows.
    """
    if isinstance(path, str):
        one = _unflattened(image_files.read_floats(path, pixel_arcmin), path, mask, size, channels)
        return _with_all_axes(one, path, channels), path
    if len(path) != channels:
        raise UserError(f"real.path: a list of {len(path)} files for {channels} bins; give one for each bin")
    bins = [_unflattened(image_files.read_floats(one, pixel_arcmin), one, mask, size, 1, listed=True) for one in path]
    for name, one in zip(path, bins, strict=True):
        if one.ndim not in (2, 3):
            raise UserError(f"{name}: shape {one.shape}; a list in real.path holds files of (h, w) or (n, h, w)")
        if one.shape != bins[0].shape:
            raise UserError(f"{name}: shape {one.shape}, but {path[0]} has {bins[0].shape}; all bins must be alike")
    maps = np.stack(bins, axis=-1)
    return maps if maps.ndim == 4 else maps[None], path[0] if channels == 1 else f"{path[0]} and others"


def _unflattened(
    array: np.ndarray, name: str, mask: np.ndarray | None, size: int, channels: int, listed: bool = False
) -> np.ndarray:
    """Maps of one bin that hold the unmasked pixels alone put back on the mask; other arrays as they are."""
    shape = array.shape
    if mask is not None and mask.ndim == 2 and array.ndim in (1, 2) and shape != mask.shape:
        seen = mask >= USED
        if shape[-1] == np.count_nonzero(seen) and channels == 1:
            maps = image_checks.unpack(array, seen, name)
            return maps if listed else maps[..., None]
    if (
        channels == 1
        and array.ndim > 2
        and shape[-1] > 1
        and (
            shape[-1] == np.count_nonzero(mask >= USED) if mask is not None else shape[-1] > max(size**2, 8 * shape[-2])
        )
    ):
        raise UserError(
            f"{name}: shape {shape} looks like unmasked pixels of many skies; give those of one sky, (pixels,) or "
            f"(n, pixels), e.g. maps[{', '.join('0' * (array.ndim - 1))}], and their mask (h, w) in real.mask"
        )
    # neither an image nor a set of images: a row of pixels for each sky
    if array.ndim == 1 or (array.ndim == 2 and shape[0] < size <= shape[1] and mask is None and shape[1] > size**2):
        if mask is None and array.ndim == 1 and _is_healpix(len(array)):
            raise UserError(f"{name}: shape {shape}; a HEALPix map is for real.source=healpix: healpy.write_map")
        unmasked = "null" if mask is None else f"{mask.shape} with {np.count_nonzero(mask >= USED)} unmasked pixels"
        raise UserError(
            f"{name}: shape {shape}; must be (h, w), (h, w, channels) or (n, h, w, channels); unmasked pixels alone, "
            f"(pixels,) or (n, pixels) of one bin, need their mask (h, w) in real.mask, which is {unmasked}"
        )
    return array


def _is_healpix(pixels: int) -> bool:
    import healpy

    return bool(healpy.isnpixok(pixels))


def _with_all_axes(array: np.ndarray, name: str, channels: int) -> np.ndarray:
    if array.ndim not in (2, 3, 4):
        raise UserError(f"{name}: shape {array.shape}; must be (h, w), (h, w, channels) or (n, h, w, channels)")
    full = array[..., None] if array.ndim == 2 else array
    if full.shape[-1] != channels:
        axis = full.ndim - 3  # where FITS cubes, and torch, have the bins
        if full.shape[axis] == channels:
            remedy = f"move the bins to the last axis: numpy.moveaxis(maps, {axis}, -1)"
        elif channels == 1 and array.ndim == 3:
            remedy = "for several maps of one bin give (n, h, w, 1): maps[..., None]"
        else:
            remedy = "give one map for each bin of lensing.survey, the bins on the last axis"
        raise UserError(
            f"{name}: shape {array.shape} has {full.shape[-1]} channels, but {channels} are needed; {remedy}"
        )
    return full if full.ndim == 4 else full[None]


def _mask(cfg: Config) -> np.ndarray | None:
    """The mask that real.mask names, (h, w) or (n, h, w)."""
    if cfg.real.mask is None:
        return None
    if cfg.kind.observed != "survey":
        raise UserError(
            f"real.mask={cfg.real.mask}: {cfg.data.kind} maps are periodic and have no mask; set it to null"
        )
    return image_files.read_mask(cfg.real.mask, cfg.real.pixel_arcmin)


def _coverage(cfg: Config, mask: np.ndarray | None, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Observed fraction of each pixel, (n, h, w)."""
    if mask is None:
        return np.ones(shape, np.float32)
    if mask.shape not in (shape, shape[1:]):
        raise UserError(
            f"{cfg.real.mask}: a mask of {mask.shape}, but the maps of {where} need {shape[1:]} or {shape}; "
            "give the mask of these maps"
        )
    return np.broadcast_to(mask, shape)


def _tiles(
    cfg: Config, maps: np.ndarray, coverage: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray, list[list[int]], float]:
    """Patches, their coverage, their corners (map, row, column), and the part of the observed pixels that they hold."""
    size, (height, width) = cfg.data.size, maps.shape[1:3]
    if min(height, width) < size:
        raise UserError(
            f"{where}: maps of {height} x {width} pixels are smaller than data.size={size}; lower that and train again"
        )
    corners: list[Corners] = []
    for i, one in enumerate(coverage):
        same = i > 0 and np.array_equal(one, coverage[i - 1])
        corners.append(corners[-1] if same else best_corners(one, size, cfg.real.max_masked))
    tiles = np.concatenate([cut(one, at, size) for one, at in zip(maps, corners, strict=True)])
    holes = np.concatenate([cut(one, at, size) for one, at in zip(coverage, corners, strict=True)])
    positions = [[i, *corner] for i, at in enumerate(corners) for corner in at]
    return tiles, holes, positions, np.count_nonzero(holes >= USED) / np.count_nonzero(coverage >= USED)


def _as_trained(cfg: Config, maps: np.ndarray, where: str) -> tuple[np.ndarray, list[list[int]] | None]:
    """Maps as those of files without a survey are trained on: whole ones averaged to data.size, others cut."""
    size, (height, width) = cfg.data.size, maps.shape[1:3]
    if height != width or height < size:
        raise UserError(f"{where}: maps of {height} x {width} pixels; must be square, of at least data.size={size}")
    if cfg.files.periodic or cfg.files.box_mpc_h is not None:
        return resampled(maps, height / size), None
    corners = grid_corners(height, width, size)
    places = [[i, y, x] for i in range(len(maps)) for y, x in corners]
    return np.concatenate([cut(one, corners, size) for one in maps]), places


def _must_be_whole(cfg: Config, maps: np.ndarray, where: str) -> None:
    """Whole maps of the trained size that vary; density contrasts, not densities."""
    size = cfg.data.size
    if maps.shape[1:3] != (size, size):
        raise UserError(
            f"{where}: maps of {maps.shape[1]} x {maps.shape[2]} pixels, but {cfg.data.kind} maps are periodic and "
            f"cannot be cut; rebin them to data.size={size}"
        )
    means = maps.mean(axis=(1, 2, 3), dtype=np.float64)
    if (maps.std(axis=(1, 2, 3), dtype=np.float64) == 0).any():
        raise UserError(f"{where}: a map has the same value in all pixels; give maps that vary")
    if cfg.data.kind == "2lpt" and (np.abs(means) > MEAN_LIMIT).any():
        worst = means[np.abs(means).argmax()]
        raise UserError(f"{where}: a map has a mean of {worst:.3g}, no density contrast; give rho / mean(rho) - 1")
    lpt = cfg.lpt
    thick = cfg.data.kind == "2lpt" and lpt.slab_mpc_h * lpt.particles >= THICK * lpt.box_mpc_h
    if thick and (below := maps < -1 - EMPTY).any():
        raise UserError(
            f"{where}: {int(below.sum())} pixels are below -1 (lowest {maps.min():.4g}), but no density is negative; "
            "give rho / mean(rho) - 1"
        )

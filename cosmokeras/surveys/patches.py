"""Square flat-sky patches out of HEALPix maps, and the reader of such maps."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cosmokeras import arguments
from cosmokeras.errors import UserError
from cosmokeras.surveys import array_files, headers

if TYPE_CHECKING:
    from astropy.io import fits

MAX_SIDE_DEG = 30.0  # a tangent plane is no flat sky beyond: corner pixels of a 30 deg patch see 18 % less sky
SUBPIXELS = 4  # sub-points along each side of a flat pixel
MARGIN = 16  # pixels around a patch whose shear is missed in its convergence when it is not observed
UNSEEN_LIMIT = 1e20  # HEALPix marks missing pixels with -1.6375e30


class Patches(NamedTuple):
    """Patches of sky; `ra` and `dec` [deg] of their centres."""

    maps: np.ndarray  # (n, size, size, channels) float32
    coverage: np.ndarray  # (n, size, size) float32, observed fraction of each pixel
    ra: np.ndarray  # (n,)
    dec: np.ndarray  # (n,)


def cut_patches(
    healpix_map: np.ndarray,
    mask: np.ndarray,
    size: int = 64,
    pixel_arcmin: float = 5.0,
    max_masked: float = 0.1,
) -> Patches:
    """Cut a HEALPix map into patches that do not overlap, by gnomonic (tangent-plane) projection.

    Each flat pixel is the mean of the HEALPix pixels under 4 x 4 sub-points, unmasked ones only, so that its window is
    pixel_window(ell, a) / pixel_window(ell, a / 4), times that of the HEALPix pixel. Orientation: rows
    (axis 1) grow to the north, columns (axis 2) to the west, so that RA grows to the left with `origin="lower"`. Values
    are taken as they are, which is right for convergence and counts; for shear see `shear_patches.cut_shear_patches`.

    Patches stand in rows of declination, each row in a band of its own; along a row they are placed greedily from the
    edge of the footprint, so the tiling depends on `mask`, `size`, `pixel_arcmin` and `max_masked` alone.

    Parameters
    ----------
    healpix_map : (npix,) or (channels, npix), full sky, RING order, celestial coordinates
    mask : (npix,) True (1) where observed
    size : pixels along a side
    pixel_arcmin : side of a flat pixel [arcmin]
    max_masked : patches with more than this fraction of pixels of coverage < 0.5 are dropped

    Returns
    -------
    Patches, from south to north; there may be none
    """
    import healpy

    maps, mask = _checked(healpix_map, mask, size, pixel_arcmin, max_masked)
    nside = healpy.npix2nside(mask.size)
    side = math.radians(size * pixel_arcmin / 60.0)
    points = tangent_grid(side, size * SUBPIXELS)
    # A patch with a fraction m of pixels under half coverage has at most m + (1 - m) / 2 of its area masked, so this
    # cheap look at 16 x 16 points, with a margin for their noise, drops no patch that the full look would keep.
    glance, glance_limit = tangent_grid(side, 16), 0.5 + 0.5 * max_masked + 0.1

    found = []
    sky_ra, sky_dec = healpy.pix2ang(nside, np.flatnonzero(mask), lonlat=True)
    for dec, south, north in _rows(side, sky_dec.min(), sky_dec.max()):
        occupied = sky_ra[(sky_dec >= south) & (sky_dec <= north)]
        if occupied.size == 0:
            continue
        width = 2 * _half_width(math.radians(dec), side)  # [deg] of RA
        start = _after_largest_gap(occupied)
        ra, end = start + width / 2, start + 360.0 - width / 2
        while ra <= end + 1e-9:
            if 1.0 - mask[sub_points(nside, glance, ra, dec)].mean() <= glance_limit:
                patch, coverage = _average(maps, mask, sub_points(nside, points, ra, dec), size)
                if np.mean(coverage < 0.5) <= max_masked:
                    found.append((patch, coverage, ra % 360.0, dec))
                    ra += width
                    continue
            ra += width / 4
    if not found:
        shape = (0, size, size)
        return Patches(np.zeros((*shape, len(maps)), np.float32), np.zeros(shape, np.float32), np.zeros(0), np.zeros(0))
    return Patches(*(np.stack(column) for column in zip(*found, strict=True)))


def _checked(
    healpix_map: np.ndarray, mask: np.ndarray, size: int, pixel_arcmin: float, max_masked: float
) -> tuple[np.ndarray, np.ndarray]:
    """Map as (channels, npix), mask as (npix,) bool, after every check that needs no projection."""
    import healpy

    # what healpy.ma hides is found below, where the mask does not hide it too
    plain = healpix_map.data if isinstance(healpix_map, np.ma.MaskedArray) else healpix_map
    maps, mask = np.atleast_2d(arguments.real("healpix_map", plain)), arguments.real("mask", mask, mask=True)
    size = arguments.whole("size", size, 1)
    pixel_arcmin = arguments.number("pixel_arcmin", pixel_arcmin, 0.0, above=True)
    max_masked = arguments.number("max_masked", max_masked, 0.0, 1.0)
    if size * pixel_arcmin / 60.0 > MAX_SIDE_DEG:
        msg = (
            f"size={size} x pixel_arcmin={pixel_arcmin} = {size * pixel_arcmin / 60:.1f} deg: patch larger than the "
            f"sphere allows; at most {MAX_SIDE_DEG:.0f} deg"
        )
        raise UserError(msg)
    if maps.ndim != 2 or not healpy.isnpixok(maps.shape[1]):
        raise UserError(f"map of shape {np.shape(healpix_map)} is not HEALPix: its length must be 12 nside^2")
    if mask.ndim != 1 or not healpy.isnpixok(mask.size):
        raise UserError(f"mask of shape {mask.shape} is not HEALPix: it must be one array of length 12 nside^2")
    if mask.size != maps.shape[1]:
        got, want = healpy.npix2nside(mask.size), healpy.npix2nside(maps.shape[1])
        raise UserError(f"mask has NSIDE {got}, the map has NSIDE {want}; give a mask of NSIDE {want}")
    if not np.isin(mask, (0, 1)).all():
        raise UserError("mask must be True/False or 1/0 (1 = observed); threshold a map of fractions first")
    mask = mask.astype(bool)
    if not mask.any():
        raise UserError("mask is empty: no pixel is marked as observed (1)")
    bad = np.zeros(mask.size, dtype=bool)
    for one in maps:
        # a comparison with NaN is False, so this catches NaN, infinities and UNSEEN in one pass
        bad |= ~(np.abs(one) < UNSEEN_LIMIT)
    bad &= mask
    if bad.any():
        msg = (
            f"map holds NaN or UNSEEN in {np.count_nonzero(bad)} pixels inside the mask "
            f"(first: pixel {int(bad.argmax())}); take them out of the mask"
        )
        raise UserError(msg)
    return maps, mask


def tangent_grid(side: float, n: int) -> np.ndarray:
    """Centres of n x n cells of a square of tangent plane, (2, n * n): x to the west, y to the north [radians]."""
    centres = ((np.arange(n) + 0.5) / n - 0.5) * side
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x.ravel(), y.ravel()])


def tangent_frame(ra: float, dec: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors at (ra, dec) [deg]: outwards, to the west and to the north.

    Examples
    --------
    At the vernal equinox the west is where right ascensions are just below 360 degrees:

    >>> outwards, west, north = tangent_frame(0.0, 0.0)
    >>> outwards.tolist(), west.tolist(), north.tolist()
    ([1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [-0.0, -0.0, 1.0])
    """
    a, d = math.radians(ra), math.radians(dec)
    outwards = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    west = np.array([math.sin(a), -math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    return outwards, west, north


def sub_points(nside: int, points: np.ndarray, ra: float, dec: float) -> np.ndarray:
    """HEALPix pixels (RING) under `points` of the plane that touches the sphere at (ra, dec) [deg]."""
    import healpy

    centre, west, north = tangent_frame(ra, dec)
    # a gnomonic point lies on the ray through its place in the tangent plane; vec2pix needs no unit vectors
    vectors = centre[:, None] + west[:, None] * points[0] + north[:, None] * points[1]
    return healpy.vec2pix(nside, *vectors)


def _average(maps: np.ndarray, mask: np.ndarray, pixels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over the observed sub-points of each flat pixel: (size, size, channels) and coverage (size, size)."""
    cells = (size, SUBPIXELS, size, SUBPIXELS)
    seen = mask[pixels]
    hits = seen.reshape(cells).sum(axis=(1, 3))
    coverage = (hits / SUBPIXELS**2).astype(np.float32)
    # masked values may be NaN or UNSEEN: replace, do not multiply
    values = np.where(seen, maps[:, pixels], 0.0).reshape(len(maps), *cells).sum(axis=(2, 4), dtype=np.float64)
    means = np.where(coverage >= 0.5, values / np.maximum(hits, 1), 0.0)
    return np.moveaxis(means, 0, -1).astype(np.float32), coverage


def _rows(side: float, south: float, north: float) -> Iterator[tuple[float, float, float]]:
    """Rows of patches from declination `south` to `north` [deg]: (centre, lower end, upper end), bands disjoint."""
    from scipy.optimize import brentq

    limit = math.pi / 2 - math.atan(side / 2) - 1e-6  # patches do not reach over a pole
    edge = math.radians(south)
    while edge < math.radians(north):
        if _lower(-limit, side) >= edge:
            dec = -limit
        elif _lower(limit, side) <= edge:
            return
        else:
            dec = brentq(lambda d, lowest=edge: _lower(d, side) - lowest, -limit, limit, xtol=1e-12)
        lower, edge = _lower(dec, side), -_lower(-dec, side)
        yield math.degrees(dec), math.degrees(lower), math.degrees(edge)


def _lower(dec: float, side: float) -> float:
    """Southernmost declination [rad] of a patch centred at `dec` [rad]; the northernmost is -_lower(-dec).

    The lower edge is a piece of a great circle: in the north it sags towards the corners, so those count.
    """
    half = side / 2
    z = math.sin(dec) - half * math.cos(dec)
    return math.asin(z / math.sqrt(1 + 2 * half**2)) if z > 0 else dec - math.atan(half)


def _half_width(dec: float, side: float) -> float:
    """Largest distance in RA [deg] from the centre of a patch at `dec` [rad] to its edge: that of a poleward corner."""
    half = side / 2
    return math.degrees(math.atan2(half, math.cos(dec) - half * abs(math.sin(dec))))


def _after_largest_gap(ra: np.ndarray) -> float:
    """RA [deg] where the footprint begins: the eastern end of the largest empty stretch, so that 0 h splits nothing."""
    if ra.size == 1:
        return float(ra[0])
    ra = np.sort(ra)
    gaps = np.diff(ra, append=ra[0] + 360.0)
    last = int(gaps.argmax())
    return float(ra[(last + 1) % ra.size])


def read_healpix(
    path: Path | str, fields: int | str | tuple[int | str, ...] | None = None, hdu: int | None = None,
    unnamed: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Read HEALPix maps from a FITS table, full or partial sky, as full-sky maps in RING order.

    Parameters
    ----------
    path : FITS file in the HEALPix convention: header ORDERING (RING or NESTED), one column per map; partial maps have
        a column of pixel numbers; one with that column alone is a mask, 1 in these pixels. `file.fits[NAME]` and
        `file.fits[2]` name one table of several
    fields : columns, by name or number among the maps; default all
    hdu : number of the table; default the one that `path` names, or the only one
    unnamed : the ordering of files whose header gives none; default: they are refused

    Returns
    -------
    (channels, npix) in the type of the file; unobserved pixels of a partial map are UNSEEN (False or 0 for masks)
    """
    from astropy.io import fits

    file_path, key = array_files.split(path)
    if not file_path.name.lower().endswith(array_files.FITS):
        array_files.must_be_a_file(file_path)
        raise UserError(f"{path}: no FITS file by its name; RING or NESTED stands in FITS headers: healpy.write_map")
    try:
        with warnings.catch_warnings(), fits.open(file_path) as file:
            warnings.filterwarnings("ignore", module="astropy")  # what matters is checked below
            table = file[_table(path, file, key, hdu)]
            header, names = table.header, list(table.columns.names)
            whole = [table.data.dtype[name].kind in "iu" for name in names]
            place = headers.index_column(header, names, whole, len(table.data))
            maps = [name for i, name in enumerate(names) if i != place]
            index = None if place is None else np.asarray(table.data[names[place]]).ravel()
            chosen = maps if fields is None else [_column(path, maps, f) for f in np.atleast_1d(fields).tolist()]
            columns = [np.asarray(table.data[name]).ravel() for name in chosen]
            if not maps and index is not None:
                columns = [np.ones(index.shape, bool)]
            units = [table.columns[name].unit for name in chosen]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    # of a truncated file, numpy says that a buffer ends
    except (OSError, EOFError, TypeError, ValueError, LookupError, zlib.error, fits.VerifyError) as error:
        why = array_files.why(error)
        raise UserError(f"{path}: not a readable FITS file, or cut short ({why}); get it again") from None
    if len({column.size for column in columns}) > 1:
        raise UserError(f"{path}: columns of different lengths ({', '.join(chosen)}); name one column per map")
    for name, unit in zip(chosen, units, strict=True):
        headers.must_have_no_unit(path, unit, f"TUNIT of {name}")
    # FITS is big-endian; everything after this wants native numbers
    columns = [column.astype(column.dtype.newbyteorder("=")) for column in columns]
    if unnamed is not None:
        header.setdefault("ORDERING", unnamed)
    return _full_sky(path, header, np.stack(columns), index)


def _table(path: Path | str, file: fits.HDUList, key: str | None, hdu: int | None) -> int:
    """Number of the table that is asked for."""
    from astropy.io import fits

    tables = [i for i, one in enumerate(file) if isinstance(one, fits.BinTableHDU) and not one.is_image]
    if hdu is not None or not tables:
        if hdu not in tables:
            which = "its image is" if hdu is None else f"HDU {hdu} is"
            raise UserError(
                f"{path}: {which} not a table of HEALPix maps; it has {len(file)} HDUs, counted from 0, and "
                f"{len(tables)} tables"
            )
        return hdu
    number = headers.choose(array_files.split(path)[0], [file[i].name for i in tables], tables, key, "tables")
    if file[number].header.get("ZTABLE"):
        raise UserError(f"{path}: a compressed table; unpack it with funpack first")
    return number


def _column(path: Path | str, names: list[str], field: int | str) -> str:
    if isinstance(field, int) and 0 <= field < len(names):
        return names[field]
    for name in names:
        if name.lower() == str(field).lower():  # FITS does not tell cases apart
            return name
    raise UserError(f"{path}: no map {field!r}; it has {', '.join(names)} (or 0 to {len(names) - 1})")


def _full_sky(path: Path | str, header: Mapping[str, Any], columns: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """(channels, npix) in RING order from the columns of a file and, for a partial map, its pixel numbers."""
    import healpy

    ordering = str(header.get("ORDERING", "missing")).strip().upper()
    if ordering not in ("RING", "NESTED", "NEST"):
        raise UserError(
            f"{path}: header ORDERING is {ordering.lower()}; it must say RING or NESTED, a guess would scramble the sky"
        )
    headers.must_be_celestial(path, header)
    nside = headers.nside(path, header)
    nested = ordering != "RING"
    if index is None:
        npix = columns.shape[1]
        if not healpy.isnpixok(npix) or nside not in (None, healpy.npix2nside(npix)):
            claimed = "(none in its header)" if nside is None else nside
            raise UserError(f"{path}: {npix} pixels do not make a HEALPix map of NSIDE {claimed}")
        # reorder by index, which unlike healpy.reorder keeps logical columns logical
        return columns[:, healpy.ring2nest(healpy.npix2nside(npix), np.arange(npix))] if nested else columns
    if nside is None or not healpy.isnsideok(nside, nest=True):
        raise UserError(f"{path}: a partial map needs a header NSIDE that is a power of 2, got {nside}")
    if index.dtype.kind == "f" and not (index == np.floor(index)).all():
        raise UserError(f"{path}: its column of pixel numbers holds {index[index != np.floor(index)][0]:.6g}")
    npix = healpy.nside2npix(nside)
    if index.size and (index.min() < 0 or index.max() >= npix):
        raise UserError(f"{path}: pixel numbers from {index.min()} to {index.max()} do not fit NSIDE {nside}")
    pixels = index.astype(np.int64)
    out = np.full((len(columns), npix), healpy.UNSEEN if columns.dtype.kind == "f" else 0, dtype=columns.dtype)
    pixels = healpy.nest2ring(nside, pixels) if nested else pixels
    out[:, pixels] = columns
    again = (out[:, pixels] != columns) & (columns == columns)  # not of NaN
    if again.any():
        raise UserError(f"{path}: {int(again.any(axis=0).sum())} pixel numbers come again with other values")
    return out

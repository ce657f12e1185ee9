"""Which axis of an array of maps is which, found by lengths: of the table, of the maps, of the bins.

What fits in one way only is taken, and said; what fits in several is asked for (`files.layout`). Nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cosmokeras.common.errors import UserError

Shape = tuple[int, ...]
LEADS = ((), ("map",), ("cosmology", "realisation"), ("realisation", "cosmology"))
IMAGES = (("y", "x"), ("y", "x", "bin"), ("bin", "y", "x"), ("pixel",), ("pixel", "bin"), ("bin", "pixel"))
BINS = 16  # channels of a map, at most, where nothing says how many there are


@dataclass(frozen=True)
class Wanted:
    """What lengths are known.

    `rows`: leading axes of the table; `channels` of a map, None where they are not known; `least`: pixels that a side
    of a map must have; `mask`: shape (y, x) and number of unmasked pixels; `depth`: whether maps are slabs of cubes.
    """

    rows: Shape
    channels: int | None
    least: int
    mask: tuple[Shape, int] | None = None
    depth: bool = False
    sphere: bool = False


@dataclass(frozen=True)
class Layout:
    """Names of the axes of an array, and for each stored map the row of the table that is its own."""

    axes: tuple[str, ...]
    shape: Shape
    row: np.ndarray

    @property
    def lead(self) -> tuple[int, ...]:
        """Lengths of the axes that count maps."""
        return tuple(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in COUNTED)

    def length(self, axis: str) -> int:
        """Of an axis; 1 of one that is not there."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def words(self) -> str:
        """The layout for people."""
        return " x ".join(f"{axis} {n}" for axis, n in zip(self.axes, self.shape, strict=True))


COUNTED = ("cosmology", "realisation", "map")


def find(shape: Shape, wanted: Wanted, given: str | None, many_files: bool, where: str) -> Layout:
    """The layout of an array of `shape`, the first axis of which is that of the files where there are many.

    Raises
    ------
    UserError : where no layout fits, or several do
    """
    if given is not None:
        axes = tuple(given.split())
        if len(axes) == len(shape) - 1 and many_files:
            axes = ("map", *axes)
        if len(axes) != len(shape) or len(set(axes)) != len(axes):
            raise UserError(
                f"files.layout={given!r}: names {len(axes)} axes, but {where} has shape {shape}; name each axis once"
            )
        candidates = [axes]
    else:
        candidates = [axes for axes in _orders(wanted) if len(axes) == len(shape)]
    fits = [Layout(axes, shape, row) for axes in candidates if (row := _row(axes, shape, wanted)) is not None]
    if len(fits) > 1:
        # as many maps for each row in either way: the same layout by two names
        listed = "; or ".join(" ".join(one.axes) for one in fits)
        bins = " (or files.channels, the bins of a map)" if wanted.channels is None else ""
        example = f"files.layout='{' '.join(fits[-1].axes)}'"
        raise UserError(f"{where}: shape {shape} may be {listed}; say which, e.g. {example}{bins}")
    if not fits:
        raise UserError(_misfit(shape, wanted, given, where))
    return fits[0]


def _orders(wanted: Wanted) -> list[tuple[str, ...]]:
    """Orders of axes that are looked for."""
    if wanted.sphere:
        images: tuple[tuple[str, ...], ...] = tuple(one for one in IMAGES if "pixel" in one)
    elif wanted.depth:
        images = (("depth", "y", "x"),)
    else:
        images = tuple(one for one in IMAGES if "pixel" not in one or wanted.mask is not None)
    orders = [(*lead, *image) for lead, image in product(LEADS, images)]
    if not wanted.depth:
        orders += [("bin", *lead, *image) for lead, image in product(LEADS[1:], (("y", "x"), ("pixel",)))]
        orders += [("y", "x", "map"), ("y", "x", "bin", "map")]
    return list(dict.fromkeys(orders))


def _row(axes: tuple[str, ...], shape: Shape, wanted: Wanted) -> np.ndarray | None:
    """For each stored map its row of the table, flattened; None where the axes cannot be these."""
    length = dict(zip(axes, shape, strict=True))
    if not _is_image(length, wanted):
        return None
    lead = tuple(n for axis, n in zip(axes, shape, strict=True) if axis in COUNTED)
    maps, rows = int(np.prod(lead)), int(np.prod(wanted.rows))
    if "cosmology" not in length:
        # a row for each map; or each row for as many maps, one after the other, as CMD has them
        if maps % rows or (len(wanted.rows) > 1 and maps != rows):
            return None
        return np.arange(maps) // (maps // rows)
    in_order = axes.index("cosmology") < axes.index("realisation") if "realisation" in axes else True
    if in_order and wanted.rows in (lead, (maps,)):
        return np.arange(maps)
    if wanted.rows != (length["cosmology"],):
        return None
    number = np.arange(maps).reshape(lead)
    by_cosmology = np.unravel_index(number, lead)[[a for a in axes if a in COUNTED].index("cosmology")]
    return by_cosmology.ravel()


def _is_image(length: dict[str, int], wanted: Wanted) -> bool:
    """Whether the axes that are no counters can be those of a map."""
    bins = length.get("bin", 1)
    if wanted.channels is not None and bins != wanted.channels:
        return False
    if wanted.channels is None and bins > BINS:
        return False
    if "pixel" in length:
        if wanted.sphere:
            nside = round((length["pixel"] / 12) ** 0.5)
            return 12 * nside**2 == length["pixel"] and nside & (nside - 1) == 0
        return wanted.mask is not None and length["pixel"] == wanted.mask[1]
    if not {"y", "x"} <= set(length) or ("depth" in length) != wanted.depth:
        return False
    if wanted.mask is not None:
        return (length["y"], length["x"]) == wanted.mask[0]
    return length["y"] == length["x"] >= wanted.least


def _misfit(shape: Shape, wanted: Wanted, given: str | None, where: str) -> str:
    """Why nothing fits, in words."""
    rows = " x ".join(map(str, wanted.rows))
    bins = "" if wanted.channels in (None, 1) else f" of {wanted.channels} bins"
    if wanted.mask is not None:
        image = f"maps of {wanted.mask[0]} pixels, or of the {wanted.mask[1]} unmasked ones (files.mask)"
    else:
        image = f"square maps{bins} of at least {wanted.least} pixels on a side"
    how = f"files.layout={given!r} does not fit" if given is not None else "no order of axes fits"
    return (
        f"{where}: shape {shape}: {how}; expected are {image}, and the same "
        f"number of maps for each of the {rows} rows of files.parameters"
    )

"""A suite of simulations as maps to train on: `Suite`, read where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation import suite_mask, units
from cosmokeras.params.config import Config
from cosmokeras.sky.resampling import grid_corners, resampled, unpack
from cosmokeras.suites import checks, groups, layout, prior, sphere
from cosmokeras.suites.arrays import Stack
from cosmokeras.suites.layout import Layout
from cosmokeras.suites.prior_sample import Weights

BLOCK = 2**22  # numbers that are read together where all maps are gone through


@dataclass(frozen=True)
class Suite:
    """Maps of data.size in files: each stored map is so many of them as it has slabs and patches.

    Of the stored maps: `rows` (stored, p) their parameters, `group` (stored,) which simulation each is of, counted from
    0 in the order of the files, `labels` (stored,) the split that the table names. `times`: pixels of the files in one
    of training, along a side.
    """

    cfg: Config
    stack: Stack
    layout: Layout
    rows: np.ndarray
    group: np.ndarray
    labels: np.ndarray | None
    times: float

    @property
    def slabs(self) -> int:
        """Maps along the depth of a stored cube."""
        return self.cfg.files.slabs or 1

    @cached_property
    def footprint(self) -> suite_mask.Footprint | None:
        """The mask of the maps, and the patches in it."""
        return suite_mask.footprint(self.cfg) if self.cfg.files.healpix is None else None

    @cached_property
    def corners(self) -> list[tuple[int, int]]:
        """Of the patches of a stored map, in pixels of training."""
        if self.footprint is not None:
            return list(self.footprint.corners)
        height, width = (int(np.floor(self.layout.length(axis) / self.times + 1e-6)) for axis in ("y", "x"))
        return grid_corners(height, width, self.cfg.data.size)

    @cached_property
    def cutter(self) -> sphere.Cutter | None:
        """What cuts maps of the sphere into patches."""
        return None if self.cfg.files.healpix is None else sphere.cutter(self.cfg, self._array(0, 0))

    @property
    def patches(self) -> int:
        """Patches of a stored map."""
        return len(self.corners) if self.cutter is None else self.cutter.count

    def __len__(self) -> int:
        return len(self.rows) * self.slabs * self.patches

    @property
    def referred(self) -> bool:
        """Whether maps are read where they are; otherwise each is made once, and kept in shards."""
        return self.stack.cheap and self.times == 1 and self.cutter is None and self.slabs == 1

    def stored(self, indices: np.ndarray) -> np.ndarray:
        """Number of the stored map that each map is of."""
        return np.asarray(indices) // (self.slabs * self.patches)

    def theta(self, indices: np.ndarray) -> np.ndarray:
        """Parameters (n, p) of maps."""
        return self.rows[self.stored(indices)]

    def masks(self, indices: np.ndarray) -> np.ndarray | None:
        """Number of the mask, `survey_masks`, that each map is behind; None where any will do."""
        if self.footprint is None:
            return None
        return (np.asarray(indices) % self.patches).astype(np.int32)

    def members(self, group: int) -> np.ndarray:
        """Numbers of the maps of a simulation."""
        each = self.slabs * self.patches
        return (np.flatnonzero(self.group == group)[:, None] * each + np.arange(each)).ravel()

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Maps (n, size, size, channels) float32 in units of training; NaN is refused."""
        size = self.cfg.data.size
        out = np.empty((len(indices), size, size, self.cfg.channels), np.float32)
        where = np.unravel_index(np.asarray(indices), (len(self.rows), self.slabs, self.patches))
        stored, slab, patch = (np.asarray(one) for one in where)
        whole = stored * self.slabs + slab
        for one in np.unique(whole):
            places = np.flatnonzero(whole == one)
            out[places] = self._patches(*divmod(int(one), self.slabs), patch[places])
        return out

    def _patches(self, stored: int, slab: int, which: np.ndarray) -> np.ndarray:
        """Some patches (n, size, size, channels) of a slab of a stored map."""
        size, name = self.cfg.data.size, self.name(stored)
        if self.times == 1 and "pixel" not in self.layout.axes:
            windows = [(slice(y, y + size), slice(x, x + size)) for y, x in (self.corners[int(i)] for i in which)]
            values = np.stack([self._array(stored, slab, *window) for window in windows])
        else:
            whole = self._array(stored, slab)
            if self.cutter is not None:
                values = self.cutter(whole, which)
            else:
                mask = None if self.footprint is None else self.footprint.mask
                if whole.ndim == 2 and mask is not None:
                    whole = unpack(whole, mask)
                image = resampled(whole[None], self.times, mask)[0]
                values = np.stack([image[y : y + size, x : x + size] for y, x in (self.corners[int(i)] for i in which)])
        if self.footprint is not None:  # what lies behind the mask is not looked at
            seen = (self.footprint.patches[which] > 0)[..., None]
            values = np.where(seen, values, 0)
        if not np.isfinite(values).all():
            raise UserError(
                f"{name}: {int((~np.isfinite(values)).sum())} pixels are NaN or infinite; correct these maps, or leave "
                "them out of files.maps"
            )
        return units.convert(self.cfg.files, values, name)

    def _array(self, stored: int, slab: int, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """A stored map (y, x, channels), or its pixels (pixels, channels), or a window of it."""
        place = iter(np.unravel_index(stored, self.layout.lead or (1,)))
        depth = self.layout.length("depth") // self.slabs
        other = {"y": y, "x": x, "depth": slice(slab * depth, (slab + 1) * depth)}
        axes = self.layout.axes
        index = tuple(int(next(place)) if one in layout.COUNTED else other.get(one, slice(None)) for one in axes)
        part = self.stack.take(index)
        left = [one for one in axes if one not in layout.COUNTED]
        if "depth" in left:
            part = part.mean(axis=left.index("depth"), dtype=np.float64).astype(np.float32)
            left.remove("depth")
        order = [left.index(one) for one in ("y", "x", "pixel", "bin") if one in left]
        part = part.transpose(order)
        return part if "bin" in left else part[..., None]

    def name(self, stored: int) -> str:
        """What a stored map is called in messages."""
        place = np.unravel_index(stored, self.layout.lead or (1,))
        if len(self.stack.files) > 1:
            number, *inside = (int(one) for one in place)
            return f"{self.stack.files[number][0]}" + (f", map {','.join(map(str, inside))}" if inside else "")
        return f"{self.stack.files[0][0]}, map {','.join(str(one) for one in place)}"

    def blocks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Maps in order, some at a time."""
        some = max(1, BLOCK // (self.cfg.data.size**2 * self.cfg.channels))
        for start in range(0, len(indices), some):
            yield self.read(indices[start : start + some])

    @cached_property
    def weights(self) -> Weights:
        """Of the simulations (groups,), for files.prior=uniform."""
        return prior.weights(self)

    @cached_property
    def chosen(self) -> dict[str, np.ndarray]:
        """Maps of each split, by number; some of them several times where the prior is made uniform."""
        if self.cfg.files.prior == "as_sampled":
            return groups.chosen(self, np.ones(int(self.group.max()) + 1, bool))
        found, seed = groups.chosen(self, prior.inside(self)), self.cfg.data.seed
        return {split: prior.resampled(self, numbers, seed) for split, numbers in found.items()}

    def of_one_simulation(self, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Maps of the first simulation of the test split, their mean parameters (p,), and the masks they are behind."""
        test = self.chosen["test"]
        groups_of = self.group[self.stored(test)]
        some = test[groups_of == groups_of[0]][:most]
        return self.read(some), self.theta(some).mean(axis=0), self.masks(some)

    def look_at(self, progress: bool = False) -> None:
        """Say what was found, and refuse maps that cannot be what they are taken for; see `checks`."""
        checks.look_at(self, progress)

    @property
    def words(self) -> str:
        """What was found, for people."""
        each = f", {self.patches} patches of each" if self.patches > 1 else ""
        slabs = f", {self.slabs} slabs of each" if self.slabs > 1 else ""
        how = (
            "read where they are" if self.referred else "copied into shards once, because they are resampled or packed"
        )
        count = int(self.group.max()) + 1
        return f"files.maps: {self.layout.words} (files.layout){slabs}{each}; {count} simulations; maps are {how}"

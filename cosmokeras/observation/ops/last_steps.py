"""The last steps, which simulated and real maps share, in `keras.ops`: mask, mean, smoothing, scaling."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops.transforms import compiled, constant, fft2, from_pairs, ifft2, pairs, parts
from cosmokeras.sky.pixels import USED

Tables = dict[str, Any]


class LastSteps:
    """The mean of the observed pixels goes where it is undetermined; maps are scaled up by the root of their seen part.

    The power of a masked map goes with that part, and a network without the scaling would take a full map for one with
    more signal.
    """

    def __init__(self, observer: Observer) -> None:
        self.kind, self.size, self.channels = observer.observed, observer.size, observer.channels
        self.tables: dict[str, np.ndarray] = {}
        self.removed = self.smoothed = False
        if self.kind == "survey":
            self.removed, self.smoothed = observer.removed, observer.beam is not None
            self.tables["scale"] = observer.scale.astype(np.float32)
            if observer.beam is not None:
                self.tables["beam"] = observer.beam.astype(np.complex64)

    @cached_property
    def _compiled(self) -> tuple[Any, Tables]:
        return compiled(self.__call__), {name: constant(one) for name, one in self.tables.items()}

    def whole(self, maps: Any, used: Any) -> Any:
        """The same compiled, with tables of its own."""
        function, tables = self._compiled
        return function(ops.convert_to_tensor(maps), ops.convert_to_tensor(used), tables)

    def used(self, coverage: np.ndarray) -> np.ndarray:
        """Masks (masks, size, size) of coverage."""
        return (coverage >= USED).astype(np.float32)

    def __call__(self, maps: Any, used: Any, tables: Tables) -> Any:
        """Maps (n, size, size, channels) behind masks `used` (n, size, size)."""
        if self.kind == "plain":
            return maps
        if self.kind == "standardised":
            # float32 squares of a faint field underflow gently; its own largest value keeps them in range
            maps = maps / ops.max(ops.abs(maps), axis=(1, 2), keepdims=True)
            return maps / ops.std(maps, axis=(1, 2), keepdims=True)
        part = ops.maximum(ops.mean(used, axis=(1, 2), keepdims=True), 1 / self.size**2)[..., None]
        used = used[..., None]
        maps = maps * used
        if self.removed:
            mean = ops.mean(maps, axis=(1, 2), keepdims=True) / part
            maps = (maps - mean) * used
        if self.smoothed:
            # a real, even multiplier serves two channels in one complex field
            smooth = ifft2(fft2(pairs(maps, self.channels)) * tables["beam"])
            maps = from_pairs(*parts(smooth), self.channels) * used
        return maps * (tables["scale"] * ops.rsqrt(part))

"""Noise-free maps in, maps as a survey shows them out, in `keras.ops`: for the training step of every backend.

    forward = Forward(cfg)
    which = pick(seed, numbers, forward.masks)          # a mask for each map, once and for all
    signal = forward.signal(maps, which)                # once a map; identity where a survey maps no shear
    keys = rows(seed, step, count, first)               # with each batch, on the host
    observed = forward(signal, which, keys)             # in every step, on the device

Pure functions: what comes out follows from the arguments, and for each map from its own row alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops import turns
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.observation.ops.noise import noise_of
from cosmokeras.observation.ops.signal import ShearSignal
from cosmokeras.observation.ops.transforms import compiled, constant
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires
from cosmokeras.params.config import Config

Tables = dict[str, Any]


class Forward:
    """What a survey does to a map.

    Maps are turned with their masks when they are augmented, and the noise is drawn for the turned mask: its own
    directions, those of HEALPix pixels, stay as they are on the sky.
    """

    def __init__(self, cfg: Config, noise: float = 1.0, observer: Observer | None = None) -> None:
        """For the survey of `cfg`, with `noise` times its shape noise: 0 for none.

        `observer` holds other constants than those of `cfg`.
        """
        observer = observer or Observer(cfg)
        self.size, self.channels, self.periodic = observer.size, observer.channels, cfg.periodic
        self.last = LastSteps(observer)
        self.survey = observer.observed == "survey"
        self.masks = len(observer.masks) if self.survey else 1
        # arrays that a step needs, and those that `signal` needs
        self.arrays = dict(self.last.tables)
        self.arrays["turns"] = turns.turn_table(self.size)
        self.signal_arrays: dict[str, np.ndarray] = {}
        if not self.survey:
            return
        mapping = observer.mass_mapping
        self.noise = noise_of(cfg, mapping)
        coverage, margin = observer.masks.astype(np.float32), mapping.margin
        edge = margin - (self.noise.wide - self.size) // 2
        inner, middle = _cut(edge, coverage), _cut(margin, coverage)
        depth = None if observer.depth is None else _cut(edge, observer.depth)
        self.coverage = middle
        self.arrays |= self.noise.tables
        if cfg.from_files and cfg.files.noise == "included":
            noise = 0.0  # the maps have theirs
        self.arrays["sigma"] = (noise * observer.sigma).astype(np.float32)
        self.arrays["weight"] = self.noise.weight(inner, depth).astype(np.float32)
        self.arrays["used"] = self.last.used(middle)
        if self.noise.wide != self.size:
            self.arrays["wide_turns"] = turns.turn_table(self.noise.wide)
        if isinstance(mapping, SphericalKaiserSquires | FlatKaiserSquires):
            self.shear = ShearSignal(mapping, self.channels)
            self.signal_arrays = self.shear.tables | {"window": self.shear.window(coverage).astype(np.float32)}

    @property
    def through_shear(self) -> bool:
        """Whether the signal of a map is another than the map."""
        return bool(self.signal_arrays)

    @cached_property
    def tables(self) -> Tables:
        """`arrays` as tensors of the backend."""
        return {name: constant(one) for name, one in self.arrays.items()}

    @cached_property
    def _signal_tables(self) -> Tables:
        return {name: constant(one) for name, one in self.signal_arrays.items()}

    def prepare(self, signal: bool = True) -> None:
        """Make the tensors that a step needs, and those that `signal` needs."""
        _ = self._compiled, self.tables, self._signal_tables if signal else {}

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        functions: dict[str, Callable[..., Any]] = {
            "signal": self._signal,
            "turned": self._turned,
            "still": self._still,
            "noisy": self._unfinished,
        }
        return {name: compiled(one) for name, one in functions.items()}

    def signal(self, maps: Any, which: Any) -> Any:
        """Signal (n, size, size, channels) of noise-free maps behind masks `which` (n,), before the last steps."""
        if not self.signal_arrays:
            return ops.cast(maps, "float32")
        which = ops.minimum(ops.convert_to_tensor(which), self.masks - 1)
        return self._compiled["signal"](ops.convert_to_tensor(maps), which, self._signal_tables)

    def __call__(self, signal: Any, which: Any, keys: Any, turned: bool = True, tables: Tables | None = None) -> Any:
        """Observed maps (n, size, size, channels) float32.

        `signal` as `signal` makes it, of any float type; `which` mask of each, int32 (n,); `keys` int32 (n, 3), see
        `counters.rows`; `turned`: each by a random symmetry, and periodic ones shifted; `tables`: `arrays` as tensors
        or weights, by default constants.
        """
        signal, which, keys = (ops.convert_to_tensor(one) for one in (signal, which, keys))
        which = ops.minimum(which, self.masks - 1)  # trial runs of models on torch are made with ones
        function = self._compiled["turned" if turned else "still"]
        return function(signal, which, keys, self.tables if tables is None else tables)

    def still(self, maps: Any, which: Any, keys: Any) -> Any:
        """Observed maps of noise-free ones, neither turned nor shifted."""
        return self(self.signal(maps, which), which, keys, turned=False)

    def unfinished(self, maps: Any, which: Any, keys: Any) -> Any:
        """Noisy maps of noise-free ones, in physical units, before the last steps; of surveys alone."""
        signal = self.signal(maps, which)
        return self._compiled["noisy"](signal, *(ops.convert_to_tensor(one) for one in (which, keys)), self.tables)

    def _signal(self, maps: Any, which: Any, tables: Tables) -> Any:
        return self.shear(maps, ops.take(tables["window"], which, axis=0), tables)

    def _still(self, signal: Any, which: Any, keys: Any, tables: Tables) -> Any:
        signal = ops.cast(signal, "float32")
        if not self.survey:
            return self.last(signal, None, tables)
        weight, used = (ops.take(tables[name], which, axis=0) for name in ("weight", "used"))
        return self.last(self._noisy(signal, weight, keys, tables), used, tables)

    def _unfinished(self, signal: Any, which: Any, keys: Any, tables: Tables) -> Any:
        return self._noisy(signal, ops.take(tables["weight"], which, axis=0), keys, tables)

    def _turned(self, signal: Any, which: Any, keys: Any, tables: Tables) -> Any:
        code = turns.turns(keys)
        shift = turns.shifts(keys, self.size) if self.periodic else None
        source = turns.sources(tables["turns"], code, shift)
        row = ops.cumsum(ops.ones_like(code)) - 1
        shape = (-1, self.size, self.size)
        signal = ops.reshape(ops.cast(turns.taken(signal, row, source), "float32"), (*shape, self.channels))
        if not self.survey:
            return self.last(signal, None, tables)
        used = ops.reshape(turns.taken(tables["used"], which, source), shape)
        wide = self.noise.wide
        if wide != self.size:
            source = turns.sources(tables["wide_turns"], code)
        weight = ops.reshape(turns.taken(tables["weight"], which, source), (-1, wide, wide))
        return self.last(self._noisy(signal, weight, keys, tables), used, tables)

    def _noisy(self, signal: Any, weight: Any, keys: Any, tables: Tables) -> Any:
        return signal + self.noise(weight, keys, tables) * tables["sigma"]


_LAST: list[tuple[Config, Forward]] = []


def forward_of(cfg: Config) -> Forward:
    """Forward model of these parameters: for the same object the same, as to make and compile it takes seconds."""
    if not (_LAST and _LAST[0][0] is cfg):
        _LAST[:] = [(cfg, Forward(cfg))]
    return _LAST[0][1]


def _cut(edge: int, maps: np.ndarray) -> np.ndarray:
    """Maps (n, y, x) without `edge` pixels on each side."""
    return maps[:, edge : maps.shape[1] - edge, edge : maps.shape[2] - edge]

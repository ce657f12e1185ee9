"""Simulators: (parameters, seed) -> noise-free maps. One module each, one line in `cosmokeras.params.registry` each.

A simulator module has

- `prepare(cfg, progress=False)`: what all its cosmologies share;
- `maps(cfg, prepared, theta, rng_of, count)`: the first `count` realisations of one cosmology (a row of free
  parameters), (count, size, size, channels) float32; `rng_of(r)` is the random number generator of realisation r, new
  at each call;
- `spectrum(cfg, theta, k)`: what the spectra of its maps should be, (n, channels, len(k)), for rows of free parameters,
  or None where that is not known; optional `LABELS`, what axes of such a picture are called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.registry import KINDS

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

# First word of a map's seed after the master seed: no two splits ever share a random number
SPLITS = {"train": 0, "validation": 1, "test": 2, "user": 3, "mock": 4, "fresh": 5, "calibration": 6}
BLOCK = 16  # realisations that share a seed sequence


def simulator(kind: str) -> ModuleType:
    """The module of a simulator."""
    if kind not in KINDS:
        raise UserError(f"kind={arguments.shown(kind)}: no such kind of maps; allowed: {', '.join(KINDS)}")
    return import_module(KINDS[kind].module)


def simulator_of(cfg: Config) -> ModuleType:
    """The module of the maps of these parameters."""
    simulator(cfg.data.kind)  # refuses what is no kind
    return import_module(cfg.kind.module)


class _SeedState(ISeedSequence):
    """Seed material that was made already: the four words of 64 bits that a PCG64 asks for."""

    def __init__(self, words: np.ndarray) -> None:
        self.words = words

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> np.ndarray:
        """The words."""
        return self.words


def realisations(seed: int, split: int, cosmology: int) -> Callable[[int], np.random.Generator]:
    """`rng_of` of one cosmology: each realisation's random number generator, whatever the order of the calls.

    A seed sequence takes as long as a small map's random numbers: one serves BLOCK realisations.
    """
    seed, split = arguments.whole("seed", seed), arguments.whole("split", split)
    cosmology = arguments.whole("cosmology", cosmology)

    @cache
    def block(number: int) -> np.ndarray:
        sequence = np.random.SeedSequence([seed, split, cosmology, number])
        return sequence.generate_state(4 * BLOCK, np.uint64).reshape(BLOCK, 4)

    def rng_of(realisation: int) -> np.random.Generator:
        number, row = divmod(realisation, BLOCK)
        state = _SeedState(block(number)[row])
        # the stubs know of SeedSequence only, and not of what it implements
        return np.random.Generator(np.random.PCG64(state))  # type: ignore[arg-type]

    return rng_of


def simulate(cfg: Config, theta: np.ndarray, seed: int) -> np.ndarray:
    """Noise-free maps in physical units, one for each row of `theta`.

    Parameters
    ----------
    theta : (n, p) free parameters inside the prior box, columns `cfg.parameter_names`; (p,) for one map
    seed : master seed, 0 or more; map i depends on (theta[i], seed, i) alone

    Returns
    -------
    (n, size, size, channels) float32
    """
    theta, seed = checked.cosmologies(cfg, theta), arguments.whole("seed", seed)
    if cfg.from_files:
        raise UserError(
            "data.kind=files: maps are those of files.maps, and no others are simulated; choose another kind"
        )
    module = simulator_of(cfg)
    prepared = module.prepare(cfg)
    generators = [realisations(seed, SPLITS["user"], i) for i in range(len(theta))]
    return np.concatenate(
        [module.maps(cfg, prepared, row, rng_of, 1) for row, rng_of in zip(theta, generators, strict=True)]
    )


def __getattr__(name: str) -> ModuleType:
    """`cosmokeras.simulators.lpt` without an import of its own."""
    if f"{__name__}.{name}" in {kind.module for kind in KINDS.values()}:
        return import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)

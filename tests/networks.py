"""A small problem in memory, and a network trained on it for seconds and calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset.shards import Split
from cosmokeras.inference.estimator import Estimator
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.simulators import grf as simulator

MakeSplit = Callable[[Config, int, int, int], Split]


@pytest.fixture(scope="session")
def grf(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config(tiny)


@pytest.fixture(scope="session")
def make_split() -> MakeSplit:
    """`make_split(cfg, cosmologies, realisations, seed)`: `grf` maps in memory, as `open_split` would give them."""

    def make(cfg: Config, cosmologies: int, realisations: int, seed: int) -> Split:
        theta, rng, grid = sample_prior(cfg, cosmologies, seed), np.random.default_rng(seed), simulator.prepare(cfg)
        maps = np.concatenate([simulator.maps(cfg, grid, row, lambda r: rng, realisations) for row in theta])
        which = np.repeat(np.arange(cosmologies), realisations)
        return Split([maps], np.array([0]), theta[which], which)

    return make


@pytest.fixture(scope="session")
def splits(grf: Config, make_split: MakeSplit) -> dict[str, Split]:
    return {
        "train": make_split(grf, 1024, 1, 0),
        "validation": make_split(grf, 400, 1, 1),
        "test": make_split(grf, 64, 2, 2),
    }


@pytest.fixture(scope="session")
def estimator(grf: Config, splits: dict[str, Split], once: Callable[..., Path]) -> Estimator:
    """Trained for a few epochs, calibrated; once for all workers."""

    def make(folder: Path) -> None:
        made = trained(grf, splits)
        made.save(folder)
        maps = splits["test"].head(8).read(np.arange(8))
        assert np.array_equal(Estimator.load(folder).mean(maps), made.mean(maps))

    return replace(Estimator.load(once("estimator", make)), cfg=grf)


def trained(grf: Config, splits: dict[str, Split]) -> Estimator:
    """The estimator, in memory."""
    import keras

    from cosmokeras import models
    from cosmokeras.dataset.observed import observed
    from cosmokeras.inference.calibrate import calibrate
    from cosmokeras.models.heads import MixtureLoss
    from cosmokeras.observation.ops.forward import Forward

    keras.utils.set_random_seed(1)
    model = models.build(grf)
    maps = observed(splits["train"], Forward(grf), 0)
    models.standardise(model, maps)
    model.compile(keras.optimizers.AdamW(5e-3), MixtureLoss(grf.model.components), jit_compile=False)
    model.fit(maps, models.encode(grf, splits["train"].theta), batch_size=32, epochs=5, verbose=0)
    return calibrate(Estimator(grf, model), splits["train"], splits["validation"])

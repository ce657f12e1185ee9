"""Summary statistics of maps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset.observed import BATCH, observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference import shapes
from cosmokeras.inference.features import observed_features, spectra
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config


def test_spectra_of_white_noise() -> None:
    """Logs of one in the autos, zero in the cross; more maps than one batch."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((300, 32, 32, 2)).astype(np.float32)
    found = spectra(noise, 4)
    assert found.shape == (300, 12)
    assert np.exp(found[:, :8]).mean(axis=0) == pytest.approx(np.ones(8), abs=0.1)
    assert found[:, 8:].mean(axis=0) == pytest.approx(np.zeros(4), abs=0.1)
    assert found[256:] == pytest.approx(spectra(noise[256:], 4), abs=1e-5)


@pytest.mark.slow
def test_features_in_a_stream_are_those_of_observed_maps(grf: Config, splits: dict[str, Split]) -> None:
    """More maps than one batch; features of any sort."""
    split, forward = splits["validation"].head(300), Forward(grf)
    maps = observed(split, forward, 1)
    found = observed_features(split, forward, lambda obs: spectra(obs, 5), [1, 2])
    assert found.shape == (2, 300, 5)
    assert found[0] == pytest.approx(spectra(maps, 5), abs=1e-5)
    other = partial(shapes.measure, weights=np.ones(1, np.float32))
    assert observed_features(split, forward, other, [1])[0] == pytest.approx(other(maps), abs=1e-5)


@pytest.mark.slow
def test_each_seed_is_another_noise_draw(config: Callable[..., Config], tiny: dict[str, Any]) -> None:
    cfg = config({**tiny, "data.kind": "lensing", "lensing.survey": "cosmos", "real.source": "cosmos"})
    split = Split([np.zeros((4, 32, 32, 1), np.float32)], np.array([0]), np.zeros((4, 1)), np.arange(4))
    found = observed_features(split, Forward(cfg), partial(spectra, bins=4), [1, 2, 1])
    assert np.array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).min() > 0


def test_memory_is_that_of_a_block_and_not_of_all_maps(grf: Config) -> None:
    maps = np.zeros((32 * BATCH, grf.data.size, grf.data.size, grf.channels), np.float16)
    split = Split([maps], np.array([0]), np.zeros((len(maps), 1)), np.arange(len(maps)))
    tracemalloc.start()
    try:
        observed_features(split, Forward(grf), lambda block: block.mean(axis=(1, 2)), [1, 2])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * BATCH * maps[0].size * 4  # of 32 blocks of float32

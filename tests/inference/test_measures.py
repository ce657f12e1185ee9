"""All that is measured in a map, each number with its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.inference.measures import Measures, kept_bands, spectrum_names
from cosmokeras.inference.shapes import signal_weights, smoothed_channels
from cosmokeras.params.config import Config

RNG = np.random.default_rng(4)


def weights(maps: np.ndarray) -> np.ndarray:
    return signal_weights(smoothed_channels(maps))


@pytest.mark.parametrize("kind", ["lensing", "grf"])
def test_features_sizes_and_names_agree(config: Callable[..., Config], kind: str) -> None:
    cfg = config({"data.kind": kind, "data.size": 32, "model.spectrum_bins": 6})
    maps = RNG.standard_normal((40, 32, 32, cfg.channels)).astype(np.float32)
    summaries = RNG.standard_normal((40, 7))
    measures = Measures.fit(weights(maps), summaries, kept_bands(cfg))
    found, sizes = measures(maps, summaries), measures.sizes
    assert found.shape == (40, sizes.sum())
    assert len(measures.names(cfg)) == sizes.sum()
    assert len(spectrum_names(cfg)) == sizes[0]


def test_spectra_are_named_in_the_units_of_their_maps(config: Callable[..., Config]) -> None:
    lensing = spectrum_names(config())
    assert lensing[0] == "spectrum of bin 1, ell 34 to 101"
    assert lensing[kept_bands(config())].startswith("spectrum of bin 2, ")
    assert lensing[4 * kept_bands(config())].startswith("cross-spectrum of bins 1 and 2, ")
    assert spectrum_names(config({"data.kind": "grf"}))[0] == "spectrum, k 0.012 to 0.037 h/Mpc"


def test_dead_and_repeated_summaries_are_left_out() -> None:
    maps = RNG.standard_normal((300, 16, 16, 1)).astype(np.float32)
    two = RNG.standard_normal((300, 2)) * [5.0, 0.5]
    summaries = np.column_stack([two, two @ [1.0, 2.0], np.full(300, 3.0)])
    measures = Measures.fit(weights(maps), summaries, 4)
    assert measures.components.shape == (4, 2)
    learned = measures(maps, summaries)[:, -2:]
    assert np.cov(learned.T) == pytest.approx(np.eye(2), abs=1e-6)


def test_bands_beyond_the_lmax_of_the_maps_are_not_judged(config: Callable[..., Config]) -> None:
    """There is next to nothing there, and what there is depends on details of the cutter."""
    size, kept = 64, 7
    cfg = config()
    assert kept_bands(cfg) == kept
    names = spectrum_names(cfg)
    assert len(names) == kept * 10
    assert max(int(name.split()[-1]) for name in names) < 1.1 * cfg.survey.lmax
    assert kept_bands(config({"data.kind": "grf"})) == 8
    rng = np.random.default_rng(0)
    maps, summaries = rng.normal(size=(64, size, size, 4)).astype(np.float32), rng.normal(size=(64, 5))
    measures = Measures.fit(weights(maps), summaries, kept)
    assert measures(maps, summaries).shape[1] == measures.sizes.sum()
    assert measures.sizes[0] == len(names)

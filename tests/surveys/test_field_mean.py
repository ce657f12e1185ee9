"""Maps without their mean are not taken for maps that have one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.surveys.field_mean import check_mean, mean_words
from cosmokeras.surveys.sky import RealSky

BASE = {"lensing.survey": "hsc_y3_fair", "real.source": "mock", "lensing.mask": "none"}


def sky(maps: np.ndarray) -> RealSky:
    coverage = np.ones(maps.shape[:3], np.float32)
    coverage[:, :8] = 0.0
    where = np.zeros(len(maps))
    return RealSky(
        name="array", observed=False, maps=maps, coverage=coverage, ra=where, dec=where, provenance={}, truth=None
    )


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.03, (6, 64, 64, 1)).astype(np.float32)


def test_a_mean_that_was_removed_is_noticed(config: Callable[..., Config]) -> None:
    cfg, maps = config(BASE), noise()
    check_mean(cfg, sky(maps))
    patchwise = maps - maps[:, 8:].mean(axis=(1, 2), keepdims=True, dtype=float)
    with pytest.raises(UserError, match="lensing.mean=removed_patch$"):
        check_mean(cfg, sky(patchwise))
    check_mean(config({**BASE, "lensing.mean": "removed_patch"}), sky(patchwise))
    whole = maps - maps[:, 8:].mean(dtype=float)
    with pytest.raises(UserError, match="lensing.mean=removed_field and lensing.field_deg$"):
        check_mean(cfg, sky(whole))
    field = config({**BASE, "lensing.mean": "removed_field", "lensing.field_deg": 10.0})
    check_mean(field, sky(whole))
    assert mean_words(field) == "the mean of the field that was inverted is removed (a square of 10 deg)"


def test_patches_inverted_by_themselves_have_no_mean_on_either_side(config: Callable[..., Config]) -> None:
    maps = noise()
    check_mean(
        config({**BASE, "lensing.survey": "kids_1000"}), sky(maps - maps.mean(axis=(1, 2), keepdims=True, dtype=float))
    )


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"lensing.mean": "removed_field"}, "needs lensing.field_deg"),
        ({"lensing.mean": "removed_field", "lensing.field_deg": 1.0}, "smaller than a map, 2.13 deg"),
        ({"lensing.mean": "gone"}, "lensing.mean='gone'"),
        (
            {"lensing.field_deg": 10.0},
            "lensing.field_deg=10.0: is for .*, but the mean is kept",
        ),
    ],
)
def test_means_that_cannot_be_simulated(config: Callable[..., Config], keys: dict, line: str) -> None:
    with pytest.raises(UserError, match=line):
        config({**BASE, **keys})


@pytest.mark.slow
def test_the_mean_of_a_field_is_removed_before_maps_are_cut_out(config: Callable[..., Config]) -> None:
    """Long waves that are shorter than the field stay; those as long as the field go."""
    from cosmokeras.simulators import lensing, realisations

    def scatter(**keys: object) -> float:
        cfg = config({**BASE, "data.size": 16, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4, **keys})
        maps = lensing.maps(cfg, lensing.prepare(cfg), np.array([0.3]), realisations(0, 0, 0), 200)
        return float(maps.mean(axis=(1, 2, 3)).std())

    side = 16 * 2 / 60
    kept = scatter()
    whole = scatter(**{"lensing.mean": "removed_field", "lensing.field_deg": side})
    wider = scatter(**{"lensing.mean": "removed_field", "lensing.field_deg": 4 * side})
    widest = scatter(**{"lensing.mean": "removed_field", "lensing.field_deg": 100 * side})
    assert widest == pytest.approx(kept, rel=0.15) and widest > wider
    assert whole < 1e-6
    assert 0.5 * kept < wider < 0.97 * kept

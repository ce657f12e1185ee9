"""Maps through coarse boxes: what they are functions of, biases, spectra; and what is asked of a calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cosmokeras.params.config import Config
from cosmokeras.simulators import lensing, realisations, simulator_of
from cosmokeras.simulators.pm import calibration, light_cone
from cosmokeras.simulators.pm.transfer import LOG_K
from cosmokeras.sky.pixels import ARCMIN
from study import light_cones

COARSE: dict[str, Any] = {
    "lensing.matter": "pm", "lensing.pm": "coarse", "lensing.pixel_arcmin": 10.0, "data.size": 32,
    "model.spectrum_bins": 8, "evaluate.spectrum_bins": 8,
}  # fmt: skip
THETA = np.array([0.3])
pytestmark = pytest.mark.slow  # a calibration is twenty seconds


@pytest.fixture(scope="module", autouse=True)
def few_boxes() -> Iterator[None]:
    """A calibration of five boxes of 64^3."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "NODES_OF_ONE", 5)
        patch.setitem(calibration.PAIRS, "coarse", (2,) * 7)
        yield


@pytest.fixture(scope="module")
def cfg(config: Callable[..., Config]) -> Config:
    return config(COARSE)


@pytest.fixture(scope="module")
def cone(cfg: Config) -> light_cone.LightCone:
    return light_cone.prepare(cfg)


def test_matter_chooses_the_simulator(cfg: Config, config: Callable[..., Config]) -> None:
    assert simulator_of(cfg) is light_cone
    assert simulator_of(config()) is lensing


def test_a_map_depends_on_its_own_number_alone(cfg: Config, cone: light_cone.LightCone) -> None:
    """The first maps of many are those of few, byte for byte; others differ, of other boxes too."""
    few = light_cone.maps(cfg, cone, THETA, realisations(1, 0, 0), 2)
    many = light_cone.maps(cfg, cone, THETA, realisations(1, 0, 0), light_cone.PER_PAIR + 1)
    assert few.shape == (2, 32, 32, 4)
    assert few.dtype == np.float32
    assert few.tobytes() == many[:2].tobytes()
    assert all(np.abs(many[0] - one).max() > 0.1 * many[0].std() for one in many[1:])


def test_shear_bias_scales_maps(cfg: Config, cone: light_cone.LightCone, config: Callable[..., Config]) -> None:
    """By 1 + m, of the same boxes: nuisance parameters ask for no other calibration."""
    biased = config(COARSE | {"prior.m_bias": 0.1})
    plain = light_cone.maps(cfg, cone, THETA, realisations(1, 0, 0), 1)
    found = light_cone.maps(biased, light_cone.prepare(biased), THETA, realisations(1, 0, 0), 1)
    assert found == pytest.approx(1.1 * plain, rel=1e-3, abs=1e-6)


def test_spectra_are_those_of_theory(cfg: Config, cone: light_cone.LightCone) -> None:
    """Auto spectra of 10 pairs of coarse boxes, 250 < ell < 1000, within 15 %: a coarse calibration, few boxes."""
    maps = np.concatenate([light_cone.maps(cfg, cone, THETA, realisations(2, 0, i), 8) for i in range(10)])
    ratio = light_cones.band_powers(maps, 10 * ARCMIN).mean(axis=0) / light_cones.expected(cfg, THETA)
    assert np.einsum("bbl->bl", ratio)[1:, :3] == pytest.approx(1, abs=0.15)


def test_a_calibration_is_read_again(cfg: Config, cone: light_cone.LightCone, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on where it was stopped: what was measured is not measured again."""

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(calibration, "measure", refuse)
    again = light_cone.prepare(cfg)
    values = cfg.cosmology(THETA)
    assert np.array_equal(again.ratios(0, values), cone.ratios(0, values))


def test_the_mean_of_a_field_is_removed(config: Callable[..., Config], cone: light_cone.LightCone) -> None:
    """Of a field as large as the map nothing is left of the mean."""
    removed = config(COARSE | {"lensing.mean": "removed_field", "lensing.field_deg": 32 * 10 / 60})
    found = light_cone.maps(removed, cone, THETA, realisations(1, 0, 0), 1)
    kept = light_cone.maps(config(COARSE), cone, THETA, realisations(1, 0, 0), 1)
    wider = config(COARSE | {"lensing.mean": "removed_field", "lensing.field_deg": 10.0})
    assert np.abs(kept.mean(axis=(1, 2))).max() > 1e-5
    assert light_cone.maps(wider, cone, THETA, realisations(1, 0, 0), 1).std() == pytest.approx(kept.std(), rel=0.3)
    assert found.shape == kept.shape


def test_two_parameters_are_calibrated_together(config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    """Omega_m and sigma8, here by a plane through six nodes: boxes lack more where matter is clumpier."""
    monkeypatch.setitem(calibration.DEGREE, 2, 1)
    cfg = config(COARSE | {"prior.sigma8": [0.6, 1.0]})
    cone = light_cone.prepare(cfg)
    assert cone.ratios.names == ("omega_m", "sigma8")
    low, high = (cone.ratios(1, cfg.cosmology(np.array([0.3, s]))) for s in (0.65, 0.95))
    assert low.shape == (9, len(LOG_K))
    nearest, k = 0, np.exp(LOG_K)
    assert (high - low)[nearest, (k > 0.5) & (k < 1.2)].mean() < 0
    assert light_cone.maps(cfg, cone, np.array([0.3, 0.8]), realisations(1, 0, 0), 1).shape == (1, 32, 32, 4)

"""Shifts by fixed nuisances: of estimators whose shift is known, of real maps, and of nothing where none is fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cosmokeras.evaluation import systematics
from cosmokeras.evaluation.nuisances import fixed_nuisances, nuisances, steps
from cosmokeras.evaluation.systematics import EACH, SEED, Shifts, clean_maps, measured, of_sky, over_the_prior
from cosmokeras.inference.combination import Response
from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import PointPosterior
from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.params.registry import NUISANCES
from cosmokeras.params.survey import load_survey
from cosmokeras.project import changed

MakeConfig = Callable[..., Config]
TINY = {
    "data.size": 16, "lensing.pixel_arcmin": 10.0, "lensing.mask": "none", "model.spectrum_bins": 4,
    "evaluate.spectrum_bins": 4,
}  # fmt: skip
SLOPES = {"a_ia": -0.02, "m_bias": 0.4, "delta_z": 0.5, "baryons": -0.015}  # of the level of toy maps
UNIT = 0.05  # of toy maps: their level over it is what parameters are, far above the noise


@dataclass(frozen=True)
class Toy(Estimator):
    """Answers with `shrink` times the level of a map about the middle of the prior, in an error of 0.02."""

    shrink: float = 1.0

    def posterior(self, obs: np.ndarray) -> PointPosterior:
        level = (obs / forward_of(self.cfg).last.tables["scale"]).mean(axis=(1, 2, 3)) / UNIT
        points = np.repeat(0.3 + self.shrink * (level[:, None] - 0.3), len(self.parameters), axis=1)
        return PointPosterior(points, np.full(len(self.parameters), 0.02), self.bounds)


def level_maps(cfg: Config, theta: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Constant maps of the level that omega_m has, plus SLOPES times the nuisances."""
    level = theta[:, 0] + sum(slope * np.mean(getattr(cfg.prior, name)) for name, slope in SLOPES.items())
    maps = np.ones((len(theta), each, cfg.data.size, cfg.data.size, cfg.channels)) * level[:, None, None, None, None]
    return (UNIT * maps).reshape(-1, *maps.shape[2:]).astype(np.float32)


def toy(cfg: Config, shrink: float = 1.0) -> Toy:
    """The estimator, calibrated by what it says of known parameters."""
    theta = sample_prior(cfg, 512, 1)
    level = theta[:, :1] + 0.02 * np.random.default_rng(1).standard_normal((512, 1))
    estimates = np.repeat(0.3 + shrink * (level - 0.3), len(cfg.targets), axis=1)
    response = Response.fit(estimates[None], theta, cfg.bounds)
    return Toy(cfg, None, response=response, shrink=shrink)  # type: ignore[arg-type]


def inner(cfg: Config, n: int = 12) -> np.ndarray:
    """Cosmologies away from the edges of the prior."""
    middle = cfg.bounds.mean(axis=1)
    return middle + 0.6 * (sample_prior(cfg, n, 3) - middle)


FLAT = {**TINY, "lensing.survey": "hsc_y3_fair"}  # whose constant maps are observed as they are, but for noise


@pytest.fixture(scope="module")
def sky(config: MakeConfig) -> Config:
    return config(TINY)


@pytest.fixture(scope="module")
def flat(config: MakeConfig) -> Config:
    return config(FLAT)


@pytest.mark.slow
def test_an_estimator_whose_mean_shifts_linearly_has_its_shift(flat: Config) -> None:
    """One map: exact but for single precision. A survey undoes the shrinkage, as nobody knows of the nuisance."""
    found = measured(toy(flat, 0.5), inner(flat), 50, maps_of=level_maps)
    assert set(found.patch) == set(found.survey) == set(SLOPES) and not found.refused
    for name, slope in SLOPES.items():
        step = nuisances()[name].width
        assert found.patch[name].value == pytest.approx([0.5 * slope], abs=1e-5 / step)
        assert found.patch[name].error[0] < 1e-5 / step
        # a mean of 4,000 samples of width 0.02 / sqrt(50), before and after, at 12 cosmologies; 5 sigma
        noise = 0.02 / np.sqrt(50) * np.sqrt(2 / 4000 / 12) / step
        assert found.survey[name].value == pytest.approx([slope], abs=5 * noise + 0.02 * abs(slope))


@pytest.mark.slow
def test_twice_the_step_is_twice_the_shift(flat: Config) -> None:
    est, theta = toy(flat), inner(flat)
    one, two = (measured(est, theta, 1, by={"a_ia": step}, maps_of=level_maps).patch["a_ia"] for step in (1.0, 2.0))
    assert 2 * two.value == pytest.approx(2 * one.value, abs=1e-5)


@pytest.mark.slow
def test_maps_of_the_simulator_differ_by_the_nuisance_alone(sky: Config) -> None:
    """Same random numbers and noise: shear bias scales the maps, alignments change them little; and both are linear."""
    theta = inner(sky, 3)
    before = clean_maps(sky, theta, EACH, SEED)
    after = clean_maps(changed(sky, {"prior.m_bias": 0.1}), theta, EACH, SEED)
    assert after == pytest.approx(1.1 * before, abs=float(1e-3 * before.std()))
    for name in ("a_ia", "delta_z", "baryons"):
        moved = clean_maps(changed(sky, {f"prior.{name}": nuisances()[name].width}), theta, EACH, SEED)
        assert np.corrcoef(before.ravel(), moved.ravel())[0, 1] > 0.95, name
        assert not np.array_equal(before, moved)

    class Amplitude(Toy):
        """The logarithm of the mean square of a map, which m moves by no more than 2 m."""

        def posterior(self, obs: np.ndarray) -> PointPosterior:
            points = 0.3 + 0.05 * np.log(np.mean(obs**2, axis=(1, 2, 3)))[:, None]
            return PointPosterior(points, np.array([0.02]), self.bounds)

    est = Amplitude(sky, None)  # type: ignore[arg-type]
    one, two = (measured(est, theta, 1, by={"m_bias": step}).patch["m_bias"] for step in (0.01, 0.02))
    assert two.value == pytest.approx(one.value, rel=0.03)  # it is m + m^2 / 2, and the noise is the same
    obs = [observed_by(forward_of(sky), (1 + m) * before, SEED) for m in (0.0, 0.01)]
    by_hand = np.diff([est.posterior(one).mean().mean() for one in obs])[0] / 0.01
    assert one.value[0] == pytest.approx(by_hand, rel=1e-3)
    assert 0 < one.value[0] < 0.1


@pytest.mark.slow
def test_s8_has_a_shift_where_it_is_known(config: MakeConfig) -> None:
    """A level that moves omega_m and sigma8 alike moves S8 = sigma8 sqrt(omega_m / 0.3) by the sum of both parts."""
    cfg = config({**FLAT, "prior.sigma8": [0.2, 0.6], "prior.omega_m": [0.1, 0.5]})
    found = measured(toy(cfg), np.full((6, 2), 0.3), 1, by={"m_bias": 0.01}, maps_of=level_maps)
    assert found.names == ("omega_m", "sigma8", "S8")
    slope = SLOPES["m_bias"]
    # d S8 = d sigma8 + sigma8 / (2 omega_m) d omega_m; its mean over a posterior of width 0.02 is 0.3 % off
    assert found.patch["m_bias"].value == pytest.approx([slope, slope, 1.5 * slope], rel=0.02)


def test_nothing_is_said_of_free_nuisances_and_of_kinds_without(config: MakeConfig) -> None:
    free = {f"prior.{name}": [0.0, 0.02] for name in NUISANCES if name != "log_t_agn"}  # that is of another model
    assert fixed_nuisances(config({**TINY, **free})) == ()
    assert fixed_nuisances(config({**TINY, **free, "prior.a_ia": 0.5})) == ("a_ia",)
    for kind in ("grf", "2lpt"):
        cfg = config({"data.kind": kind})
        assert fixed_nuisances(cfg) == ()
        est = Estimator(cfg, None)  # type: ignore[arg-type]
        for found in (over_the_prior(est, 256), of_sky(est, np.zeros((3, 64, 64, 1)), 256)):
            assert found.metrics() == {} and found.errors() == {} and found.words() == []


def test_a_lensing_network_can_do_without(config: MakeConfig) -> None:
    est = Estimator(config(TINY), None)  # type: ignore[arg-type]
    assert over_the_prior(est, 0).metrics() == {}


def test_steps_are_published_widths_away_from_what_is_fixed(config: MakeConfig) -> None:
    assert set(nuisances()) == set(NUISANCES)
    cfg = config(TINY)
    assert steps(cfg) == {name: nuisances()[name].width for name in ("a_ia", "m_bias", "delta_z", "baryons")}
    # evolution of alignments matters where there are some; there is no room above the largest strength of baryons
    cfg = config({**TINY, "prior.a_ia": [0.0, 1.0], "prior.baryons": 2.5})
    assert set(steps(cfg)) == {"eta_ia", "m_bias", "delta_z", "baryons"}
    hmcode = config({**TINY, "theory.nonlinear": "hmcode2020", "prior.log_t_agn": 7.8})
    assert steps(hmcode)["log_t_agn"] == pytest.approx(0.2)
    assert steps(cfg)["baryons"] == -nuisances()["baryons"].width


def test_errors_are_widths_times_shifts_in_quadrature() -> None:
    shift = {"a_ia": 0.003, "m_bias": 0.5}
    level = {name: systematics.Shift(np.array([value]), np.array([0.001])) for name, value in shift.items()}
    found = Shifts(("omega_m",), 40, level, level, {"baryons": "no maps"})
    assert found.errors() == {"omega_m": {"error": 0.005, "a_ia": 0.003, "m_bias": 0.004}}
    assert found.metrics()["m_bias"] == {
        "omega_m": 0.5, "omega_m_error": 0.001, "omega_m_survey": 0.5, "omega_m_survey_error": 0.001
    }  # fmt: skip
    line, refused = found.words()
    assert "0.0050 from fixed nuisances, in 40 patches: a_ia +0.0030 by 1, m_bias +0.0040 by 0.008" in line
    assert "baryons" in refused and "no maps" in refused


def test_a_survey_has_the_patches_of_its_footprint(config: MakeConfig) -> None:
    cfg = config()
    area = (64 * 5 / 60) ** 2
    assert systematics.survey_patches(cfg) == pytest.approx(4367 / area, abs=1)  # of the two boxes of DES Y3
    other: Any = {"lensing.survey": "lsst_y1"}
    assert load_survey("lsst_y1").sky == systematics.WHOLE_SKY
    assert systematics.survey_patches(config(other)) == systematics.MANY

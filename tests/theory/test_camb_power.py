"""HMCode-2020, its baryons and massive neutrinos in the theory table, against CAMB by way of CCL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.simulators.pm import calibration
from cosmokeras.theory import camb_power, limber
from cosmokeras.theory.skewness import kappa_skewness
from cosmokeras.theory.table import KR, LAST, theory_table, without_baryons
from study.shells import ccl_angular_cl, cosmology_of_ccl

K = np.geomspace(0.01, 15, 40)
ELL = np.geomspace(30, 3000, 30)
ONE = {
    "prior.omega_m": 0.3,
    "prior.a_ia": [-1.0, 1.0],
    "data.targets": ["a_ia"],
}  # a single cosmology: one call of CAMB
HMCODE = {"theory.nonlinear": "hmcode2020"}
THETA = np.array([0.0])


def spectra(cfg: Config) -> np.ndarray:
    """Auto spectra of the bins, without alignments."""
    return np.einsum("aal->al", limber.angular_cl(cfg, THETA, ELL)[0])


@pytest.fixture(scope="module")
def hmcode(config: Callable[..., Config]) -> Config:
    return config(ONE | HMCODE | {"prior.log_t_agn": 7.8})


def test_without_neutrinos_halofit_of_camb_is_ours(config: Callable[..., Config]) -> None:
    """Within 0.5 % to k = 15 h/Mpc: nothing jumps where m_nu becomes 0."""
    cfg = config(ONE)
    table, values = theory_table(cfg), cfg.cosmology(THETA)
    k, log_power = table.halofit_nodes(values)
    some = (k > 3e-3) & (k < 15)
    found = camb_power.log_powers(values, k[some], table.z, "halofit")
    assert len(found) == 1
    assert found[0] == pytest.approx(log_power[some], abs=5e-3)
    assert table.ratio is None


@pytest.mark.slow
def test_the_table_has_the_power_of_camb(hmcode: Config) -> None:
    """Within 0.3 %, between nodes too; without baryons where they are taken out."""
    values, power = hmcode.cosmology(THETA), theory_table(hmcode).power
    z = np.array([0.0, 0.52, 2.0])
    plain, feedback = (np.exp(one) for one in camb_power.log_powers(values, K, z, "hmcode2020"))
    assert power(values)(K[:, None], z) == pytest.approx(feedback, rel=3e-3)
    assert power(without_baryons(values))(K[:, None], z) == pytest.approx(plain, rel=3e-3)
    assert 0.7 < (feedback / plain).min() < 0.95
    assert np.abs(feedback / plain - 1)[K < 0.05].max() < 0.01


def test_it_goes_on_beyond_the_last_node(hmcode: Config) -> None:
    values, table = hmcode.cosmology(THETA), theory_table(hmcode)
    assert table.ratio is not None
    log_ratio = table.ratio(values, len(KR))
    assert log_ratio.shape == (len(KR), len(table.z))
    assert (log_ratio[LAST:] == log_ratio[LAST - 1]).all()
    assert (table.linear(values)[0][LAST - 1] > 20).all()


@pytest.mark.slow
def test_spectra_change_by_what_the_models_differ(config: Callable[..., Config], hmcode: Config) -> None:
    halofit, plain = spectra(config(ONE)), spectra(config(ONE | HMCODE))
    change = plain / halofit - 1
    assert 0.02 < np.abs(change).max() < 0.06
    assert np.abs(change[:, ELL < 100]).max() < 0.015
    feedback = spectra(hmcode) / plain - 1
    assert -0.2 < feedback.min() < -0.05
    assert np.abs(feedback[:, ELL < 100]).max() < 0.02


@pytest.mark.slow
def test_neutrinos_at_fixed_sigma8_change_little(config: Callable[..., Config]) -> None:
    """0.06 eV changes C_ell by less than a hundredth, and by more than nothing."""
    change = spectra(config(ONE | {"prior.m_nu": 0.06})) / spectra(config(ONE)) - 1
    assert 5e-4 < np.abs(change).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        HMCODE,
        HMCODE | {"prior.log_t_agn": 7.6},
        HMCODE | {"prior.m_nu": 0.3},
        {"prior.m_nu": 0.06},
        {"prior.m_nu": 0.3, "prior.w0": -0.8},
    ],
    ids=str,
)
def test_spectra_are_those_of_ccl(config: Callable[..., Config], keys: dict[str, Any]) -> None:
    """C_ell of all pairs of bins within 0.5 %."""
    cfg = config(ONE | keys)
    mine = limber.angular_cl(cfg, THETA, ELL)[0]
    assert mine == pytest.approx(ccl_angular_cl(cfg, THETA, ELL), rel=5e-3)
    values = cfg.cosmology(THETA)
    cosmo, h = cosmology_of_ccl(cfg, values), values["h"]
    for z in (0.0, 1.0, 2.5):
        theirs = cosmo.nonlin_matter_power(K * h, 1 / (1 + z)) * h**3
        assert theory_table(cfg).power(values)(K, np.full_like(K, z)) == pytest.approx(theirs, rel=5e-3)


@pytest.mark.slow
def test_the_ratio_is_interpolated_over_the_prior(config: Callable[..., Config]) -> None:
    """Within 0.5 % of CAMB at cosmologies that are no nodes."""
    cfg = config(HMCODE)
    table, z = theory_table(cfg), np.array([0.0, 1.0])
    for omega_m in (0.12, 0.21, 0.34, 0.47):
        values = cfg.cosmology([omega_m])
        theirs = np.exp(camb_power.log_powers(values, K, z, "hmcode2020")[0])
        assert table.power(values)(K[:, None], z) == pytest.approx(theirs, rel=5e-3)


def test_a_ratio_is_read_back_and_refuses_what_it_was_not_made_for(hmcode: Config) -> None:
    one, other, values = theory_table(hmcode).ratio, theory_table(hmcode).ratio, hmcode.cosmology(THETA)
    assert one is not None and other is not None
    assert (one(values, 50) == other(values, 50)).all()
    for name, value in (("sigma8", 0.9), ("log_t_agn", 7.9), ("m_nu", 0.1)):
        with pytest.raises(UserError, match=rf"^{name}={value}: the theory table was made for .* \(prior.{name}\)$"):
            one(values | {name: value}, 50)


def test_boxes_are_compared_with_the_power_that_was_chosen(config: Callable[..., Config]) -> None:
    pm = {"lensing.matter": "pm"}
    keys = {calibration._key(config(pm | more), np.zeros((10, 1)), 12) for more in ({}, HMCODE, {"prior.baryons": 1.0})}
    assert len(keys) == 2


def test_skewness_knows_no_neutrinos(config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"^prior.m_nu=0.06: BiHalofit was made for massless neutrinos"):
        kappa_skewness(config(ONE | {"prior.m_nu": 0.06}), THETA, np.array([5.0]))

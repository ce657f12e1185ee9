"""The theory table against fresh calls of CCL at random points of the prior box."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyccl.baryons import BaryonsSchneider15

from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.theory import limber
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.table import TheoryTable, theory_table
from study.shells import ccl_angular_cl

OMEGA_M = np.random.default_rng(5).uniform(0.1, 0.5, 4)
ELL = np.geomspace(30, 3000, 30)


@pytest.fixture(scope="module")
def table(lensing: Config) -> TheoryTable:
    return theory_table(lensing)


@pytest.mark.slow
@pytest.mark.parametrize("omega_m", OMEGA_M)
def test_table_agrees_with_fresh_calls_of_ccl(lensing: Config, table: TheoryTable, omega_m: float) -> None:
    values = lensing.cosmology([omega_m])
    cosmo, h = ccl_cosmology(values), 0.7
    power = table.power(values)
    # up to where CCL takes CAMB's spectrum; beyond it extrapolates
    k = np.geomspace(1e-3, 14, 200)
    for z in (0.0, 0.5, 1.0, 2.0, 3.0):
        fresh = cosmo.nonlin_matter_power(k * h, 1 / (1 + z)) * h**3
        assert power(k, np.full_like(k, z)) == pytest.approx(fresh, rel=5e-3), f"z = {z}"
    wave, linear = table.linear(values)
    some = (wave > 1e-3) & (wave < 14)
    assert linear[some] == pytest.approx(cosmo.linear_matter_power(wave[some] * h, 1.0) * h**3, rel=1e-3)
    # between nodes too, and below the first one
    z = np.concatenate([[0.002, 0.01, 0.02, 0.03, 0.045], np.linspace(0.06, 3.0, 50)])
    chi = cosmo.comoving_radial_distance(1 / (1 + z)) * h
    back = table.background(values)
    assert np.interp(z, back.z, back.chi) == pytest.approx(chi, rel=1e-4)
    assert np.interp(z, back.z, back.growth) == pytest.approx(cosmo.growth_factor(1 / (1 + z)), rel=1e-4)
    assert back.growth[0] == 1.0
    assert back.z_of(chi) == pytest.approx(z, rel=1e-4)
    assert back.chi[0] == 0.0
    assert (np.diff(back.chi) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("free", ["sigma8 n_s w0", pytest.param("h omega_b", marks=pytest.mark.long)])
def test_other_free_parameters_are_as_good(config: Callable[..., Config], free: str) -> None:
    """C_ell of all pairs of bins within 0.5 % of CCL; all six at once are in `make validate`."""
    wide = {"sigma8": [0.6, 1.0], "h": [0.5, 0.9], "omega_b": [0.03, 0.07], "n_s": [0.8, 1.2], "w0": [-1.5, -0.5]}
    cfg = config({"data.targets": ["omega_m"]} | {f"prior.{name}": wide[name] for name in free.split()})
    for row in sample_prior(cfg, 4, seed=11):
        mine = limber.angular_cl(cfg, row[None], ELL)[0]
        assert mine == pytest.approx(ccl_angular_cl(cfg, row, ELL), rel=5e-3), f"{cfg.parameter_names} = {row}"


@pytest.mark.slow
def test_power_broadcasts_and_falls_on_small_scales(lensing: Config, table: TheoryTable) -> None:
    power = table.power(lensing.cosmology([0.3]))
    grid = power(np.array([[0.1], [1.0]]), np.array([0.0, 0.5, 1.0]))
    assert grid.shape == (2, 3)
    assert grid[1, 2] == power(np.array([1.0]), np.array([1.0]))[0]
    slope = np.diff(np.log(power(np.geomspace(20, 400, 10), np.zeros(10)))) / np.log(20) * 9
    assert ((slope < -2) & (slope > -3.2)).all()


@pytest.mark.slow
def test_table_is_read_back_as_it_was_written(lensing: Config, table: TheoryTable) -> None:
    again = theory_table(lensing)
    assert again is not table
    assert (again.z == table.z).all()
    assert (again.shape_names, again.expansion_names) == (("omega_m",), ("omega_m",))
    for name in ("transfer", "log_expansion"):
        for part in ("bounds", "powers", "coefficients"):
            assert (getattr(getattr(again, name), part) == getattr(getattr(table, name), part)).all()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_damaged_table_is_made_again(
    config: Callable[..., Config], damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path))
    cfg = config({"prior.omega_m": 0.3, "prior.sigma8": [0.7, 0.9]})
    made = theory_table(cfg)
    path = next(tmp_path.glob("theory/*/table.npz"))
    path.write_bytes(damage(path.read_bytes()))
    assert (theory_table(cfg).transfer.coefficients == made.transfer.coefficients).all()
    assert np.load(path)["z"].size == made.z.size


@pytest.mark.slow
def test_nuisances_share_the_table_of_their_cosmologies(config: Callable[..., Config], table: TheoryTable) -> None:
    cfg = config({"prior.a_ia": [-2, 2], "prior.m_bias": [-0.02, 0.02], "prior.delta_z": [-0.05, 0.05]})
    assert len(cfg.parameter_names) == 1 + 1 + 4 + 4
    assert (theory_table(cfg).transfer.coefficients == table.transfer.coefficients).all()


def test_shape_may_be_fixed_altogether(config: Callable[..., Config]) -> None:
    cfg = config({"prior.omega_m": 0.3, "prior.a_ia": [-1, 1], "data.targets": ["a_ia"]})
    values = cfg.cosmology([0.5])
    k = np.geomspace(0.01, 5, 30)
    fresh = ccl_cosmology(values).nonlin_matter_power(k * 0.7, 1 / 1.5) * 0.7**3
    assert theory_table(cfg).power(values)(k, np.full_like(k, 0.5)) == pytest.approx(fresh, rel=5e-3)


def test_ccl_is_left_as_it_was() -> None:
    """CCL's halofit finds no non-linear scale at a = 0.01, which nothing needs, in some cosmologies."""
    import pyccl

    before = pyccl.spline_params["A_SPLINE_MINLOG_PK"]
    values = {"omega_m": 0.1, "omega_b": 0.05, "h": 0.5, "n_s": 0.8, "sigma8": 0.6, "w0": -1.0}
    cosmo = ccl_cosmology(values, "eisenstein_hu", z_max=3.0)
    assert np.isfinite(cosmo.nonlin_matter_power(0.1, 0.25))
    assert pyccl.spline_params["A_SPLINE_MINLOG_PK"] == before
    theirs = pyccl.Cosmology(
        Omega_c=0.05, Omega_b=0.05, h=0.5, n_s=0.8, sigma8=0.6, m_nu=0.0,
        transfer_function="eisenstein_hu", matter_power_spectrum="halofit",
    )  # fmt: skip
    with pytest.raises(pyccl.CCLError, match="halofit"):
        theirs.nonlin_matter_power(0.1, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("z", [0.0, 1.0, 3.0])
def test_baryons_never_raise_the_power(lensing: Config, table: TheoryTable, z: float) -> None:
    """The fit of Schneider & Teyssier grows without end on scales that it was not made for: 24 at 300 h/Mpc today."""
    k = np.geomspace(0.01, 300, 400)
    values = lensing.cosmology([0.3])
    plain, one, three = (table.power(values | {"baryons": b})(k, np.full_like(k, z)) for b in (0.0, 1.0, 3.0))
    ratio = one / plain
    assert ratio.max() < 1 + 1e-9
    assert ratio[k > 60] == pytest.approx(1.0, abs=1e-9)
    assert three / plain - 1 == pytest.approx(3 * (ratio - 1), abs=1e-9)
    theirs = BaryonsSchneider15().boost_factor({"h": 1.0}, k, 1 / (1 + z))
    below = (k > 0.1) & (k < 8)
    assert ratio[below] == pytest.approx(theirs[below], abs=1e-3)
    if z == 0:
        assert theirs[-1] > 20 and ratio.min() < 0.83

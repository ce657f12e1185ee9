"""Integrals of n(z) against sums on fine grids, whatever the width."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import Survey
from cosmokeras.redshifts import integrals

PRESET = {"name": "case", "title": "none", "citation": "none", "pixel_arcmin": 5.0, "made_from": "flat"}
GRID = np.linspace(0.0, 3.0, 2001)
FINE = np.linspace(0.0, 3.0, 600_001)  # all nodes of GRID are among these


def survey(*terms: dict, **changes: object) -> Survey:
    """One bin with these terms."""
    return Survey.model_validate(PRESET | {"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": terms}]} | changes)


def gaussian(mean: float, sigma: float, **changes: float) -> dict:
    return {"kind": "gaussian", "weight": 1.0, "mean": mean, "sigma": sigma} | changes


WIDE = [
    pytest.param([gaussian(0.4, 0.1), gaussian(0.9, 0.02, weight=0.3)], id="two gaussians"),
    pytest.param([gaussian(-0.1, 0.4)], id="cut at 0"),
    pytest.param([gaussian(2.9, 0.2)], id="cut at z_max"),
    pytest.param([{"kind": "smail", "weight": 2.0, "alpha": 2.0, "beta": 1.5, "z0": 0.5}], id="smail"),
    pytest.param([{"kind": "smail", "weight": 1.0, "alpha": 0.0, "beta": 0.7, "z0": 0.2}], id="smail from 0"),
]


@pytest.mark.parametrize("shift", [0.0, 0.13, -0.21])
@pytest.mark.parametrize("terms", WIDE)
def test_weights_are_the_integrals_with_the_hat_functions(terms: list[dict], shift: float) -> None:
    one = survey(*terms)
    weights = one.n_z_weights(GRID, shift)[0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    density = one.n_z(FINE, shift)[0]
    for f in (np.sqrt(GRID), np.cos(9 * GRID), np.maximum(1 - GRID / 0.7, 0)):
        exact = np.trapezoid(density * np.interp(FINE, GRID, f), FINE)
        assert weights @ f == pytest.approx(exact, abs=1e-5)  # n(z) may jump between nodes of FINE


@pytest.mark.parametrize("mean", [1.0, 1.0007, 1.0001234])
@pytest.mark.parametrize("sigma", [1e-5, 2e-4, 5e-4, 0.003])
def test_a_distribution_narrower_than_the_grid_counts_in_full(mean: float, sigma: float) -> None:
    weights = survey(gaussian(mean, sigma)).n_z_weights(GRID)[0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert weights @ GRID == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("sigma", [1e-4, 0.1])
def test_trapezium_sums_over_a_coarse_grid_are_exact(sigma: float) -> None:
    z = np.concatenate([np.linspace(0, 1.5, 40), np.linspace(1.6, 3.0, 11)])
    one = survey(gaussian(1.0007, sigma))
    assert np.trapezoid(one.n_z_on(z)[0], z) == pytest.approx(1.0, abs=1e-9)
    assert np.trapezoid(one.n_z_on(z)[0] * z, z) == pytest.approx(1.0007, abs=1e-9)


def test_a_table_is_straight_from_row_to_row() -> None:
    z, n_z = np.array([0.2, 0.5, 0.55, 1.4]), np.array([0.5, 2.0, 0.0, 3.0])
    places = np.array([0.0, 0.2, 0.33, 0.5, 0.52, 1.0, 1.4, 2.5])
    mass, moment = integrals.table_integrals(places, z, n_z)
    fine = np.linspace(0.2, 1.4, 1_200_001)
    density = np.interp(fine, z, n_z)
    for i, end in enumerate(places):
        part = fine <= end + 1e-9
        assert mass[i] == pytest.approx(np.trapezoid(density[part], fine[part]), abs=1e-9)
        assert moment[i] == pytest.approx(np.trapezoid((fine * density)[part], fine[part]), abs=1e-9)


def test_density_of_unit_integral_whatever_the_width() -> None:
    z = 1.0007 + np.linspace(-5e-3, 5e-3, 20001)
    assert np.trapezoid(survey(gaussian(1.0007, 5e-4)).n_z(z)[0], z) == pytest.approx(1.0, abs=1e-6)


def test_a_shift_moves_and_cuts() -> None:
    one = survey(gaussian(0.2, 0.1))
    part, mean = one.n_z_inside(0.1)
    assert (part[0], mean[0]) == pytest.approx((1.0, one.n_z_inside()[1][0] + 0.1), abs=1e-3)
    part, _ = one.n_z_inside(-0.2)
    assert part[0] == pytest.approx(0.5 / 0.97725, abs=1e-4)
    with pytest.raises(UserError, match=r"bins\.0\.n_z moved by -3: nothing of it lies in 0 < z < z_max=3"):
        one.n_z(GRID, -3.0)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ([gaussian(4.0, 0.1)], "100% of n.z. lies beyond z_max=3; set a higher z_max"),
        ([gaussian(3.1, 0.1)], "84% of n.z. lies beyond z_max=3"),
        ([gaussian(-0.5, 0.1)], "0% of n.z. lies above z = 0"),
        ([gaussian(0.01, 0.001)], "mean redshift 0.01; sources nearer than 0.02"),
        ([{"kind": "smail", "weight": 1.0, "alpha": 2.0, "beta": 1.5, "z0": 1e-6}], "sources nearer"),
        ([gaussian(0.5, 0.1), gaussian(8.0, 0.1, weight=3.0)], "75% of n.z. lies beyond"),
    ],
)
def test_what_cannot_be_right_is_refused(terms: list[dict], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        survey(*terms).check_n_z()
    assert "bins.0.n_z" in str(error.value)


def test_a_few_per_cent_beyond_the_end_are_said() -> None:
    assert survey(gaussian(1.0, 0.3)).check_n_z() == []
    (line,) = survey(gaussian(2.67, 0.2)).check_n_z()
    assert "4.9% of n(z) lies beyond z_max=3" in line

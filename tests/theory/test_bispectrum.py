"""BiHalofit against another code's, and against second-order perturbation theory, which it must be on large scales."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cosmokeras.params.config import Config
from cosmokeras.theory.bbks import bbks_power
from cosmokeras.theory.bispectrum import LinearMatter, bihalofit, linear_matter, tree_level
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.table import theory_table

Z = np.array([0.0, 0.5, 1.0, 2.0])
TRIANGLES = np.array([
    [0.02, 0.02, 0.02], [0.05, 0.1, 0.12], [0.1, 0.1, 0.1], [0.5, 0.5, 0.02], [0.3, 0.5, 0.6], [1, 1, 1], [1, 2, 2.8],
    [5, 5, 5], [0.1, 5, 5],
])  # fmt: skip
USUAL = {"omega_m": 0.3, "omega_b": 0.05, "h": 0.7, "n_s": 0.965, "sigma8": 0.8, "w0": -1.0}
EMPTY = {"omega_m": 0.12, "omega_b": 0.03, "h": 0.6, "n_s": 0.9, "sigma8": 0.7, "w0": -1.0}
# B [(Mpc/h)^6] of these triangles at Z, by fastnc 1.1.22 (Sugiyama 2024, arXiv:2407.01798), of a BBKS spectrum:
# fastnc.halofit.Halofit, get_bihalofit, with growth factors of CCL
FASTNC = {
    "usual": (USUAL, [
        [3.161852e08, 1.058698e08, 5.522047e07, 2.376759e07, 3.768414e06, 1.165684e06, 3.451794e05, 1.719607e04,
         3.938916e05],
        [1.150150e08, 3.856135e07, 1.914843e07, 6.827937e06, 8.504931e05, 2.168297e05, 7.585285e04, 3.694202e03,
         1.140957e05],
        [4.546565e07, 1.512070e07, 7.273552e06, 2.183026e06, 2.259621e05, 4.526325e04, 1.809792e04, 9.493533e02,
         3.668384e04],
        [1.028056e07, 3.393265e06, 1.580776e06, 3.823935e05, 3.085103e04, 3.443988e03, 1.672394e03, 1.076427e02,
         6.408828e03],
    ]),
    "empty": (EMPTY, [
        [4.760490e09, 2.496088e08, 8.694232e07, 8.598856e07, 3.140394e06, 5.444620e05, 1.357941e05, 2.705660e03,
         2.529020e05],
        [2.453309e09, 1.399170e08, 5.062992e07, 4.000397e07, 1.453310e06, 2.621046e05, 7.967405e04, 1.983473e03,
         1.383928e05],
        [1.226961e09, 8.327208e07, 3.346962e07, 2.089828e07, 8.399096e05, 1.204199e05, 4.462938e04, 1.686369e03,
         8.315079e04],
        [3.800406e08, 3.815640e07, 1.816786e07, 2.113118e07, 2.292663e06, 6.038130e04, 2.255031e04, 1.310606e03,
         4.450030e04],
    ]),
}  # fmt: skip


def matter_of(values: dict[str, Any], z: np.ndarray = Z) -> LinearMatter:
    """Matter of a BBKS spectrum, with growth of CCL."""
    k = np.geomspace(1e-5, 500, 3000)
    x = 8 * k
    top_hat = 3 * np.where(x < 1e-2, 1 / 3 - x**2 / 30, (np.sin(x) - x * np.cos(x)) / x**3)
    power = bbks_power(k, values["omega_m"], values["h"], values["n_s"])
    power *= values["sigma8"] ** 2 / np.sum(power * k**3 / (2 * np.pi**2) * top_hat**2 * np.log(k[1] / k[0]))
    growth = ccl_cosmology(values, "bbks").growth_factor(1 / (1 + z))
    dense = values["omega_m"] * (1 + z) ** 3
    return LinearMatter(k, power, values["n_s"], values["sigma8"], z, growth, dense / (dense + 1 - values["omega_m"]))


def sides(triangles: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.broadcast_to(side, (count, len(triangles))) for side in triangles.T]


@pytest.mark.parametrize("case", FASTNC)
def test_agrees_with_another_code(case: str) -> None:
    values, wanted = FASTNC[case]
    assert bihalofit(*sides(TRIANGLES, len(Z)), matter_of(values)) == pytest.approx(np.array(wanted), rel=3e-4)


def test_is_tree_level_on_large_scales_and_not_on_small_ones() -> None:
    """Within 3 % at k = 0.02 h/Mpc and below, 1.5 % at z = 2; and at k = 1 h/Mpc a hundred times as much today."""
    matter, equal = matter_of(USUAL), np.array([[0.005], [0.01], [0.02], [1.0]]) * np.ones(3)
    ratio = bihalofit(*sides(equal, len(Z)), matter) / tree_level(*sides(equal, len(Z)), matter)
    assert ratio[:, :3] == pytest.approx(1, abs=0.035)
    assert ratio[3, :3] == pytest.approx(1, abs=0.015)
    assert ratio[0, 3] > 100


def test_tree_level_of_equal_sides_is_twelve_sevenths_of_the_squared_power() -> None:
    """F2 of equal sides is 2/7 (Fry 1984, ApJ 279, 499), and Q = 4/7."""
    matter = matter_of(USUAL)
    k = np.broadcast_to(np.array([0.01, 0.1, 1.0]), (len(Z), 3))
    power = matter.at(k) * matter.growth[:, None] ** 2
    assert tree_level(k, k, k, matter) / (3 * power**2) == pytest.approx(4 / 7, rel=1e-12)


def test_sides_may_come_in_any_order() -> None:
    matter, triangles = matter_of(USUAL), TRIANGLES[[1, 4, 6, 8]]
    first = bihalofit(*sides(triangles, len(Z)), matter)
    for order in itertools.permutations(range(3)):
        assert bihalofit(*sides(triangles[:, order], len(Z)), matter) == pytest.approx(first, rel=1e-12)


def test_is_tree_level_where_it_was_not_fitted() -> None:
    """Beyond z = 10, and where nothing is non-linear; redshifts do not mix."""
    some = sides(TRIANGLES, 2)
    early = matter_of(USUAL, np.array([1.0, 12.0]))
    found = bihalofit(*some, early)
    assert found[1] == pytest.approx(tree_level(*some, early)[1], rel=1e-12)
    assert found[0] == pytest.approx(bihalofit(*(k[:1] for k in some), matter_of(USUAL, Z[2:3]))[0], rel=1e-12)
    smooth = matter_of(USUAL | {"sigma8": 0.2}, np.array([0.0, 8.0]))
    smooth = LinearMatter(smooth.k, smooth.power / 100, 0.965, 0.02, smooth.z, smooth.growth, smooth.omega_m)
    assert np.isinf(smooth.scale[0]).any()
    calm = np.isinf(smooth.scale[0])
    assert bihalofit(*some, smooth)[calm] == pytest.approx(tree_level(*some, smooth)[calm], rel=1e-12)


def test_power_beyond_the_table_is_a_power_law() -> None:
    matter = matter_of(USUAL)
    short = LinearMatter(
        matter.k[500:2200], matter.power[500:2200], 0.965, 0.8, matter.z, matter.growth, matter.omega_m
    )
    assert short.at(np.array([0.1])) == pytest.approx(matter.at(np.array([0.1])), rel=1e-6)
    for end, sign in ((short.k[0], -1), (short.k[-1], 1)):
        log_power = np.log(short.at(end * np.exp(sign * np.array([0.0, 1e-3, 1.0, 2.0]))))
        slope = np.diff(log_power) / np.array([1e-3, 0.999, 1.0])
        assert slope == pytest.approx(slope[0], rel=1e-3)


def test_matter_of_the_theory_table_is_that_of_ccl(config: Callable[..., Config]) -> None:
    cfg = config()
    values = cfg.cosmology(np.array([0.3]))
    matter = linear_matter(theory_table(cfg), values, Z)
    cosmo = ccl_cosmology(values)
    k = np.geomspace(1e-3, 10, 20)
    assert matter.at(k) == pytest.approx(cosmo.linear_matter_power(k * 0.7, 1.0) * 0.7**3, rel=2e-3)
    assert matter.growth == pytest.approx(cosmo.growth_factor(1 / (1 + Z)), rel=1e-3)
    assert matter.omega_m == pytest.approx(cosmo.omega_x(1 / (1 + Z), "matter"), rel=1e-3)

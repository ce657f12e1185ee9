"""Our halofit against CCL's, on CCL's own linear spectra, in cosmologies far from each other."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.halofit import FINE, halofit, non_linear_scale

CASES = {
    "usual": {"omega_m": 0.3, "omega_b": 0.05, "h": 0.7, "n_s": 0.965, "sigma8": 0.8, "w0": -1.0},
    "empty": {"omega_m": 0.12, "omega_b": 0.03, "h": 0.6, "n_s": 0.9, "sigma8": 0.7, "w0": -1.0},
    "dark": {"omega_m": 0.25, "omega_b": 0.05, "h": 0.7, "n_s": 1.0, "sigma8": 0.9, "w0": -0.7},
    "phantom": {"omega_m": 0.45, "omega_b": 0.06, "h": 0.8, "n_s": 1.1, "sigma8": 1.0, "w0": -1.4},
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_ccl(case: str) -> None:
    values = CASES[case]
    cosmo, h, w0 = ccl_cosmology(values, "eisenstein_hu"), values["h"], values["w0"]
    z = np.array([0.0, 0.5, 1.0, 3.0])
    growth = cosmo.growth_factor(1 / (1 + z))
    matter = values["omega_m"] * (1 + z) ** 3
    omega_m = matter / (matter + (1 - values["omega_m"]) * (1 + z) ** (3 * (1 + w0)))
    delta2 = FINE**3 * cosmo.linear_matter_power(FINE * h, 1.0) * h**3 / (2 * np.pi**2)
    k = np.geomspace(1e-3, 14, 200)
    linear = cosmo.linear_matter_power(k * h, 1.0) * h**3
    found = halofit(k, linear, growth, non_linear_scale(delta2, growth), omega_m, w0)
    wanted = np.array([cosmo.nonlin_matter_power(k * h, 1 / (1 + one)) * h**3 for one in z]).T
    assert found == pytest.approx(wanted, rel=3e-3)
    # and it is not the linear spectrum that agrees
    assert found[-1, 0] > 5 * linear[-1]


def test_what_never_becomes_non_linear_stays_linear() -> None:
    delta2 = 1e-4 * FINE / (1 + FINE)
    growth = np.array([1.0, 0.5])
    scale = non_linear_scale(delta2, growth)
    assert np.isinf(scale[0]).all()
    k = np.geomspace(0.01, 10, 20)
    found = halofit(k, 1 / k, growth, scale, np.array([0.3, 0.8]), -1.0)
    assert found == pytest.approx(growth**2 / k[:, None])

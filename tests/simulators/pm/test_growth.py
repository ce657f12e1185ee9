"""Growth factors against another code and against a universe of matter alone."""

from __future__ import annotations

import numpy as np
import pyccl
import pytest

from cosmokeras.simulators.pm.growth import growth


@pytest.mark.parametrize(("omega_m", "w0"), [(0.12, -1.0), (0.3, -1.0), (0.48, -0.8)])
def test_first_order_is_that_of_ccl(omega_m: float, w0: float) -> None:
    """Within 0.1 %; CCL is given no radiation."""
    cosmo = pyccl.Cosmology(
        Omega_c=omega_m - 0.05, Omega_b=0.05, h=0.7, n_s=0.96, sigma8=0.8, w0=w0, T_CMB=0.01, transfer_function="bbks"
    )
    z = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
    found = growth({"omega_m": omega_m, "w0": w0})
    assert found.first(z) == pytest.approx(cosmo.growth_factor(1 / (1 + z)), rel=1e-3)
    assert found.redshift(found.first(z)) == pytest.approx(z, rel=1e-6)


def test_matter_alone_has_the_known_second_order() -> None:
    """D = a, E = -3/7 D^2, to 1e-5."""
    found = growth({"omega_m": 1.0, "w0": -1.0})
    assert found.d == pytest.approx(found.a, rel=1e-5)
    for d in (1e-4, 0.1, 0.7, 1.0):
        e, slope = found.second(d)
        assert e == pytest.approx(-3 / 7 * d**2, rel=1e-5)
        assert slope == pytest.approx(-6 / 7 * d, rel=1e-5)


def test_second_order_follows_the_fit_of_bouchet() -> None:
    """E = -3/7 D^2 Omega_m(z)^(-1/143) within 0.2 % for 0.1 < Omega_m (Bouchet et al. 1995, A&A 296, 575)."""
    found = growth({"omega_m": 0.3, "w0": -1.0})
    assert found.second(1.0)[0] == pytest.approx(-3 / 7 * 0.3 ** (-1 / 143), rel=2e-3)

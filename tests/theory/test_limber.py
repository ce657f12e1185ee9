"""Angular spectra against CCL's own Limber integrals, and their limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.theory import limber, matter
from cosmokeras.theory.bbks import bbks_power
from study.shells import ccl_angular_cl

ELL = np.geomspace(30, 3000, 40)


@pytest.mark.slow
@pytest.mark.parametrize("omega_m", [0.13, 0.2775, 0.45])
def test_angular_cl_agrees_with_ccl_in_all_pairs_of_bins(lensing: Config, omega_m: float) -> None:
    mine = limber.angular_cl(lensing, np.array([[omega_m]]), ELL)
    assert mine.shape == (1, 4, 4, len(ELL))
    assert mine[0] == pytest.approx(ccl_angular_cl(lensing, omega_m, ELL), rel=1e-3)


NUISANCES = {
    "alignment": {"prior.a_ia": 1.0},
    "evolving alignment": {"prior.a_ia": -2.0, "prior.eta_ia": 3.0},
    "shear bias": {"prior.m_bias": [-0.1, 0.1]},
    "photo-z shift": {"prior.delta_z": [-0.1, 0.1]},
    "baryons": {"prior.baryons": 1.0},
    "all": {"prior.a_ia": [0, 2], "prior.m_bias": [0, 0.1], "prior.delta_z": [0, 0.1], "prior.baryons": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NUISANCES)
def test_nuisances_do_to_angular_cl_what_ccl_says(config: Callable[..., Config], name: str) -> None:
    """Within 1 % in all pairs of bins, and by something to be seen."""
    cfg, plain = config(NUISANCES[name]), config()
    low, high = cfg.bounds.T
    row = low + (high - low) * np.random.default_rng(3).uniform(size=len(low))
    row[0] = 0.3
    mine, before = limber.angular_cl(cfg, row[None], ELL)[0], limber.angular_cl(plain, np.array([[0.3]]), ELL)[0]
    assert mine == pytest.approx(ccl_angular_cl(cfg, row, ELL), rel=0.01, abs=1e-14)
    change = ccl_angular_cl(cfg, row, ELL) / ccl_angular_cl(plain, 0.3, ELL)
    assert mine / before == pytest.approx(change, rel=0.01, abs=1e-4)
    assert np.abs(change - 1).max() > 0.03


def test_angular_cl_is_symmetric_and_positive_definite(lensing: Config) -> None:
    spectra = np.moveaxis(limber.angular_cl(lensing, np.array([[0.3], [0.2]]), ELL), -1, 1)
    assert spectra == pytest.approx(np.swapaxes(spectra, -1, -2))
    assert np.linalg.eigvalsh(spectra).min() > 0


def test_higher_bins_and_more_matter_lens_more(lensing: Config) -> None:
    low, high = limber.angular_cl(lensing, np.array([[0.2], [0.4]]), ELL)
    autos = np.einsum("aal->al", low)
    assert (np.diff(autos, axis=0) > 0).all()
    assert (np.einsum("aal->al", high)[:, ELL > 100] > autos[:, ELL > 100]).all()


def test_power_of_grf_is_bbks(config: Callable[..., Config]) -> None:
    cfg = config({"data.kind": "grf", "prior.h": [0.6, 0.8]})
    k = np.geomspace(0.02, 1, 20)
    out = matter.power(cfg, np.array([[0.2, 0.65], [0.3, 0.7]]), k)
    assert out[0] == pytest.approx(bbks_power(k, 0.2, 0.65, 0.965))
    assert out[1] == pytest.approx(bbks_power(k, 0.3, 0.7, 0.965))


def test_multipoles_beyond_the_table_are_refused(lensing: Config) -> None:
    """Their wavenumbers all had the power of the last tabulated one: at 1e6, 80 to 99 % of C_ell."""
    theta, ell = np.array([[0.3]]), np.array([20_000.0, 0.0, 1000.0])
    c_ell = limber.angular_cl(lensing, theta, ell)
    assert (limber.angular_cl(lensing, theta, np.sort(ell))[..., [2, 0, 1]] == c_ell).all()
    for bad in ([1e6], [3e5, 100.0], [1e9]):
        with pytest.raises(UserError, match=r"^ell=.* of bin 1 comes from wavenumbers beyond .* h/Mpc") as error:
            limber.angular_cl(lensing, theta, np.array(bad))
        assert "\n" not in str(error.value)

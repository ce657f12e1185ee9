"""Angular spectra against CCL's own Limber integrals, and their limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras import theory
from cosmokeras.config import Config
from cosmokeras.cosmology import bbks_power

ELL = np.geomspace(30, 3000, 40)


@pytest.mark.parametrize("omega_m", [0.13, 0.2775, 0.45])
def test_angular_cl_agrees_with_ccl_in_all_pairs_of_bins(
    lensing: Config, ccl_angular_cl: Callable[..., np.ndarray], omega_m: float
) -> None:
    mine = theory.angular_cl(lensing, np.array([[omega_m]]), ELL)
    assert mine.shape == (1, 4, 4, len(ELL))
    assert mine[0] == pytest.approx(ccl_angular_cl(lensing, omega_m, ELL), rel=1e-3)


def test_angular_cl_is_symmetric_and_positive_definite(lensing: Config) -> None:
    spectra = np.moveaxis(theory.angular_cl(lensing, np.array([[0.3], [0.2]]), ELL), -1, 1)
    assert spectra == pytest.approx(np.swapaxes(spectra, -1, -2))
    assert np.linalg.eigvalsh(spectra).min() > 0


def test_higher_bins_and_more_matter_lens_more(lensing: Config) -> None:
    low, high = theory.angular_cl(lensing, np.array([[0.2], [0.4]]), ELL)
    autos = np.einsum("aal->al", low)
    assert (np.diff(autos, axis=0) > 0).all()
    assert (np.einsum("aal->al", high)[:, ELL > 100] > autos[:, ELL > 100]).all()


def test_power_of_grf_is_bbks(config: Callable[..., Config]) -> None:
    cfg = config({"data.kind": "grf", "prior.h": [0.6, 0.8]})
    k = np.geomspace(0.02, 1, 20)
    out = theory.power(cfg, np.array([[0.2, 0.65], [0.3, 0.7]]), k)
    assert out[0] == pytest.approx(bbks_power(k, 0.2, 0.65, 0.965))
    assert out[1] == pytest.approx(bbks_power(k, 0.3, 0.7, 0.965))

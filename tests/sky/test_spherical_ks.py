"""Shear to convergence on the sphere: exact where it should be, with the signs of lensing, and fair to noise."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.sky.spherical_ks import kaiser_squires_sphere, shear_factor, shear_sphere

healpy = pytest.importorskip("healpy", reason="healpy is not installed: the sphere is not tested")
NSIDE = 32
NPIX = 12 * NSIDE**2


def gaussian_kappa(lmax: int, seed: int = 0) -> np.ndarray:
    """A Gaussian field of multipoles 2 to `lmax`."""
    rng = np.random.default_rng(seed)
    alm = rng.standard_normal((2, healpy.Alm.getsize(lmax))) / 2**0.5
    alm = np.where(healpy.Alm.getlm(lmax)[1] == 0, alm[0], alm[0] + 1j * alm[1])
    ell = np.arange(lmax + 1)
    return healpy.alm2map(healpy.almxfl(alm, (ell > 1) / (ell + 10.0)), NSIDE, lmax=lmax, pixwin=False)


def test_shear_of_a_known_convergence_gives_it_back() -> None:
    lmax = 2 * NSIDE
    kappa = gaussian_kappa(lmax)
    e, b = kaiser_squires_sphere(*shear_sphere(kappa, lmax), lmax=lmax)
    assert np.abs(e - kappa).max() < 1e-3 * kappa.std()
    assert np.abs(b).max() < 1e-3 * kappa.std()


@pytest.mark.parametrize(("lmax", "e_error", "b_error"), [(None, 2e-6, 2e-6), (2 * 64, 2e-6, 2e-6), (160, 3e-4, 3e-5)])
def test_errors_are_those_that_are_stated(lmax: int | None, e_error: float, b_error: float) -> None:
    """Equal power in all multipoles, and shear out of the harmonics, which no transform of ours has made."""
    nside, highest = 64, lmax or 128
    rng = np.random.default_rng(4)
    ell, order = healpy.Alm.getlm(highest)
    alm = rng.standard_normal(ell.size) + 1j * rng.standard_normal(ell.size) * (order > 0)
    alm[ell < 2] = 0
    lensed = healpy.almxfl(alm, shear_factor(highest))
    g1, g2 = healpy.alm2map_spin([lensed, 0 * lensed], nside, 2, highest)
    kappa = healpy.alm2map(alm, nside, lmax=highest, pixwin=False)
    e, b = kaiser_squires_sphere(g1, g2, lmax)
    assert (e - kappa).std() < e_error * kappa.std()
    assert b.std() < b_error * kappa.std()


@pytest.mark.parametrize("lmax", [3 * NSIDE - 1, 81])
def test_multipoles_that_cannot_be_inverted_are_refused(lmax: int) -> None:
    with pytest.raises(UserError, match=rf"lmax={lmax}: .*NSIDE 32 goes up to 2\.5 NSIDE = 80") as error:
        kaiser_squires_sphere(*np.zeros((2, NPIX)), lmax=lmax)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=f"lmax={lmax}"):
        shear_sphere(np.zeros(NPIX), lmax)
    assert len(kaiser_squires_sphere(*np.zeros((2, NPIX)), lmax=80)) == 2


def test_the_other_sign_of_one_component_mixes_e_and_b() -> None:
    lmax = 2 * NSIDE
    kappa = gaussian_kappa(lmax)
    g1, g2 = shear_sphere(kappa, lmax)
    e, b = kaiser_squires_sphere(g1, -g2, lmax)
    assert e.std() == pytest.approx(b.std(), rel=0.1)
    minus, _ = kaiser_squires_sphere(-g1, -g2, lmax)
    np.testing.assert_allclose(minus, -kappa, atol=1e-3 * kappa.std())


def test_shear_about_a_mass_is_tangential() -> None:
    """On the equator, x to the east and y to the north."""
    peak = np.zeros(NPIX)
    peak[healpy.ang2pix(NSIDE, 0, 0, lonlat=True)] = 1.0
    kappa = healpy.smoothing(peak, sigma=0.05, iter=1)
    g1, g2 = shear_sphere(kappa)
    size = kappa.max()
    at = {place: healpy.ang2pix(NSIDE, *place, lonlat=True) for place in [(8, 0), (0, 8), (6, 6), (6, -6)]}
    assert g1[at[8, 0]] < -0.1 * size  # east of it: stretched from north to south
    assert g1[at[0, 8]] > 0.1 * size
    assert g2[at[6, 6]] < -0.1 * size  # north-east of it: stretched from north-west to south-east
    assert g2[at[6, -6]] > 0.1 * size


def test_noise_has_as_much_e_as_b_and_the_modes_below_lmax() -> None:
    rng = np.random.default_rng(1)
    e, b = kaiser_squires_sphere(*rng.standard_normal((2, NPIX)))
    expected = (2 * NSIDE + 1) / np.sqrt(NPIX)  # root of (lmax + 1)^2 modes of 12 nside^2
    assert e.std() == pytest.approx(expected, rel=0.03)
    assert b.std() == pytest.approx(expected, rel=0.03)
    assert abs(np.corrcoef(e, b)[0, 1]) < 0.05


def test_factor_of_high_multipoles_is_minus_one() -> None:
    factor = shear_factor(1000)
    assert (factor[:2] == 0).all()
    assert factor[2] == pytest.approx(-np.sqrt(4 / 6))
    assert factor[-1] == pytest.approx(-1, abs=1e-5)


def test_components_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        kaiser_squires_sphere(np.zeros(48), np.zeros(12))


@pytest.mark.parametrize("lmax", [0, 1, -1, 2.5, True, "64"])
def test_lmax_is_a_whole_number_from_2(lmax: int) -> None:
    """Of 0 and 1 the library beneath ends the whole program."""
    shear = np.zeros(NPIX), np.zeros(NPIX)
    for call in (lambda: kaiser_squires_sphere(*shear, lmax), lambda: shear_sphere(shear[0], lmax)):
        with pytest.raises(UserError, match="lmax=.*: must be a whole number, 2 or more"):
            call()


@pytest.mark.parametrize("value", [np.nan, healpy.UNSEEN])
def test_marks_of_missing_pixels_are_no_shear(value: float) -> None:
    bad = np.where(np.arange(NPIX) < 10, value, 0.01)
    with pytest.raises(UserError, match="g2: 10 of 12288 pixels are NaN, UNSEEN"):
        kaiser_squires_sphere(np.zeros(NPIX), bad)
    with pytest.raises(UserError, match="kappa: 10 of 12288 pixels .* set them to 0"):
        shear_sphere(bad)

"""From convergence on the sphere to shear, to flat patches of it, and back by flat Kaiser-Squires: one set of axes."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.sky.kaiser_squires import kaiser_squires
from cosmokeras.sky.spherical_ks import shear_sphere
from cosmokeras.surveys import cut_patches, cut_shear_patches

healpy = pytest.importorskip("healpy", reason="healpy is not installed: patches of shear are not tested")
NSIDE, SIZE, PIXEL, EDGE = 128, 40, 30.0, 6
NPIX = 12 * NSIDE**2


@pytest.fixture(scope="module")
def sky() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convergence, and its shear: mostly waves shorter than a patch, as flat maps are taken for periodic."""
    lmax = 2 * NSIDE
    rng = np.random.default_rng(1)
    ell, order = healpy.Alm.getlm(lmax)
    alm = (rng.standard_normal(ell.size) + 1j * rng.standard_normal(ell.size) * (order > 0)) * (ell > 1) / (ell + 200.0)
    kappa = healpy.alm2map(alm, NSIDE, lmax=lmax, pixwin=False)
    return kappa, *shear_sphere(kappa, lmax)


def cap(ra: float, dec: float, radius: float = 18.0) -> np.ndarray:
    mask = np.zeros(NPIX, bool)
    mask[healpy.query_disc(NSIDE, healpy.ang2vec(ra, dec, lonlat=True), np.radians(radius))] = True
    return mask


def inner(maps: np.ndarray) -> np.ndarray:
    """Away from the edges, beyond which flat maps are taken for periodic."""
    return (maps - maps.mean(axis=(1, 2), keepdims=True))[:, EDGE:-EDGE, EDGE:-EDGE].ravel()


@pytest.mark.parametrize("dec", [0.0, -55.0, 75.0])
def test_flat_kaiser_squires_of_cut_shear_is_the_cut_convergence(
    sky: tuple[np.ndarray, np.ndarray, np.ndarray], dec: float
) -> None:
    kappa, g1, g2 = sky
    mask = cap(40.0, dec)
    truth, shear = cut_patches(kappa, mask, SIZE, PIXEL), cut_shear_patches(g1, g2, mask, SIZE, PIXEL)
    np.testing.assert_array_equal(shear.coverage, truth.coverage)
    np.testing.assert_array_equal(shear.dec, truth.dec)
    wanted = inner(truth.maps[..., 0])
    e, b = (inner(one) for one in kaiser_squires(shear.g1[..., 0], shear.g2[..., 0]))
    assert np.corrcoef(e, wanted)[0, 1] > 0.95
    assert e @ wanted / (wanted @ wanted) == pytest.approx(1.0, abs=0.06)
    assert abs(np.corrcoef(b, wanted)[0, 1]) < 0.15
    assert b.std() < 0.3 * e.std()
    plain = cut_patches(np.stack([g1, g2]), mask, SIZE, PIXEL).maps
    east, _ = kaiser_squires(plain[..., 0], plain[..., 1])
    assert abs(np.corrcoef(inner(east), wanted)[0, 1]) < 0.3, "x to the east is another field"
    if abs(dec) > 60:
        unturned = inner(kaiser_squires(plain[..., 0], -plain[..., 1])[1])
        assert unturned.std() > 1.2 * b.std(), "north of the sky is not north of the patch: B modes"


def test_shear_about_a_mass_is_tangential_on_a_patch_near_the_pole() -> None:
    """The tangential part about a point is the same in any axes."""
    peak = np.zeros(NPIX)
    peak[healpy.ang2pix(NSIDE, 100.0, 70.0, lonlat=True)] = 1.0
    kappa = healpy.smoothing(peak, sigma=0.03, iter=1)
    patches = cut_shear_patches(*shear_sphere(kappa), cap(100.0, 70.0, 15.0), SIZE, PIXEL, 0.3)
    where = cut_patches(kappa, cap(100.0, 70.0, 15.0), SIZE, PIXEL, 0.3).maps[..., 0]
    number, row, column = np.unravel_index(where.argmax(), where.shape)
    y, x = np.mgrid[:SIZE, :SIZE]
    phase = np.exp(-2j * np.arctan2(y - row, x - column))
    shear = -(patches.g1[number, ..., 0] + 1j * patches.g2[number, ..., 0]) * phase
    ring = np.abs(np.hypot(y - row, x - column) - 6) < 1.5
    assert ring.sum() > 40
    assert shear[ring].real.min() > 0.5 * shear[ring].real.mean() > 0
    assert np.abs(shear[ring].imag).max() < 0.25 * shear[ring].real.mean()


def test_channels_and_holes_stay_their_own(sky: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, g1, g2 = sky
    mask = cap(200.0, -30.0)
    mask[np.flatnonzero(mask)[::9]] = False
    one = cut_shear_patches(np.where(mask, g1, np.nan), np.where(mask, g2, healpy.UNSEEN), mask, SIZE, PIXEL, 0.3)
    both = cut_shear_patches(np.stack([g2, g1]), np.stack([g1, g2]), mask, SIZE, PIXEL, 0.3)
    assert both.g1.shape == (*one.coverage.shape, 2) and both.g1.dtype == np.float32
    np.testing.assert_allclose(both.g1[..., 1:], one.g1, atol=1e-7)
    np.testing.assert_allclose(both.g2[..., 1:], one.g2, atol=1e-7)
    hidden = one.coverage < 0.5
    assert (one.g1[hidden] == 0).all() and (one.g2[hidden] == 0).all()


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match="one shape"):
        cut_shear_patches(np.zeros(NPIX), np.zeros(48), np.ones(NPIX, bool))
    with pytest.raises(UserError, match="NSIDE 64"):
        cut_shear_patches(np.zeros(NPIX), np.zeros(NPIX), np.ones(NPIX // 4, bool))
    none = cut_shear_patches(np.zeros(NPIX), np.zeros(NPIX), cap(0.0, 0.0, 3.0), 12, 60.0, 0.0)
    assert none.g1.shape == none.g2.shape == (0, 12, 12, 1)

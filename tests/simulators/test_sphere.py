"""The GLASS mock sky: spectra against CCL, noise."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.params.survey import Survey, load_survey
from cosmokeras.project import load_params
from cosmokeras.simulators import glass_theory, sphere
from cosmokeras.sky import pixels
from cosmokeras.sky.nulls import skewness
from cosmokeras.sky.pixels import ARCMIN, healpix_side, pixel_window
from cosmokeras.theory import limber
from cosmokeras.theory.lognormal_shift import shift_table
from cosmokeras.theory.table import theory_table

hp = pytest.importorskip("healpy", reason="healpy is not installed: the mock sky is not tested")
NSIDE, LMAX = 128, 256


@pytest.fixture(scope="module")
def survey() -> Survey:
    return load_survey("des_y3", Path(__file__).parents[2] / "data" / "surveys")


@pytest.fixture(scope="module")
def kappa(survey: Survey) -> np.ndarray:
    pytest.importorskip(
        "glass", reason="GLASS is not installed (pip install 'cosmokeras[sphere]'): no mock sky to test"
    )
    return sphere.full_sky_kappa(sphere.FIDUCIAL, survey, NSIDE, LMAX, np.random.default_rng(5))


@pytest.mark.slow
def test_the_planes_add_up_to_the_limber_spectra_of_ccl(survey: Survey) -> None:
    """What the maps have on average, without cosmic variance: shells of 100 Mpc/h are thin enough."""
    glass = pytest.importorskip("glass", reason="GLASS is not installed: its planes are not compared with CCL")
    flat = glass_theory.background(sphere.FIDUCIAL)
    edges = np.arange(47) * 100.0 / sphere.FIDUCIAL["h"]
    shells = glass.tophat_windows(np.concatenate([[0.0], flat.inv_comoving_distance(edges[1:])]))
    spectra = np.array([cl for cl in glass_theory.shell_spectra(flat, shells, 2048) if cl.size])
    z = np.linspace(0, survey.z_max, 1501)
    weights = glass.multi_plane_weights(glass.partition(z, survey.n_z(z), shells, method="restrict"), shells, flat)
    ell = np.unique(np.geomspace(100, 2048, 20).astype(int))
    summed = np.einsum("sa,sb,sl->abl", weights, weights, spectra[:, ell])
    np.testing.assert_allclose(summed / glass_theory.theory_cl(sphere.FIDUCIAL, survey, ell), 1.0, atol=0.012)


@pytest.mark.slow
def test_shells_have_the_shifts_of_the_flat_sky(lensing: Config, survey: Survey) -> None:
    """By CCL's spectra at one cosmology and by the table over the prior; 2 %, shells differ a little at their ends."""
    glass = pytest.importorskip("glass", reason="GLASS is not installed: no shells")
    flat = glass_theory.background(sphere.FIDUCIAL)
    edges = np.arange(31) * 100.0 / sphere.FIDUCIAL["h"]
    shells = glass.tophat_windows(np.concatenate([[0.0], flat.inv_comoving_distance(edges[1:])]))
    found = glass_theory.bihalofit_shifts(flat, shells, survey.pixel_arcmin)
    values = lensing.cosmology(np.array([sphere.FIDUCIAL["omega_m"]]))
    far = theory_table(lensing).background(values).chi[-1]
    x, w = np.polynomial.legendre.leggauss(4)
    chi = 100.0 * (np.arange(30)[:, None] + (1 + x) / 2)
    inside = np.broadcast_to(w / 2, chi.shape)
    wanted = shift_table(lensing).shifts(values, chi / far, inside, 100.0 * w / 2)
    assert list(found) == [shell.zeff for shell in shells]
    assert np.array(list(found.values())) == pytest.approx(wanted, rel=0.02)


@pytest.mark.slow
def test_a_sky_of_bihalofit_is_more_skewed_and_has_the_same_spectra(survey: Survey, kappa: np.ndarray) -> None:
    skewed = sphere.full_sky_kappa(
        sphere.FIDUCIAL, survey, NSIDE, LMAX, np.random.default_rng(5), third_moment="bihalofit"
    )
    for one, other in zip(skewed, kappa, strict=True):
        assert one.std() == pytest.approx(other.std(), rel=0.03)
        assert skewness(one) > 1.2 * skewness(other)


@pytest.mark.slow
def test_the_full_sky_has_the_spectra_of_ccl_times_the_pixel_window(survey: Survey, kappa: np.ndarray) -> None:
    assert kappa.dtype == np.float32
    edges = np.array([30, 60, 100, 160, 250])
    assert pixel_window(np.array([200.0]), healpix_side(NSIDE))[0] ** 2 < 0.85  # maps without the window would fail
    ratio = sphere.spectra_ratio(kappa, sphere.FIDUCIAL, survey, edges)
    scatter = np.sqrt(2 / (edges[1:] ** 2 - edges[:-1] ** 2))  # of a Gaussian field; lognormal maps scatter a bit more
    assert (np.abs(ratio - 1) < 0.02 + 3.5 * scatter).all(), ratio


@pytest.mark.slow
def test_the_convergence_is_skewed_and_its_mean_is_zero(kappa: np.ndarray) -> None:
    for row in kappa.astype(float):
        assert abs(row.mean()) < 1e-5
        assert ((row - row.mean()) ** 3).mean() / row.std() ** 3 > 0.1  # lognormal, not Gaussian


@pytest.mark.slow
def test_the_seed_decides(survey: Survey) -> None:
    pytest.importorskip("glass", reason="GLASS is not installed: its seeds are not tested")
    one, same, other = (
        sphere.full_sky_kappa(sphere.FIDUCIAL, survey, 16, 32, np.random.default_rng(seed), shell_mpc_h=1000.0)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(np.corrcoef(one[0], other[0])[0, 1]) < 0.3


@pytest.mark.slow
def test_without_lmax_the_maps_hold_all_they_can(survey: Survey) -> None:
    pytest.importorskip("glass", reason="GLASS is not installed: the highest multipole is not tested")
    one, other = (
        sphere.full_sky_kappa(sphere.FIDUCIAL, survey, 16, lmax, np.random.default_rng(1), shell_mpc_h=1000.0)
        for lmax in (None, 24)
    )
    high = [hp.anafast(maps[0].astype(float), lmax=40, iter=1)[32:].sum() for maps in (one, other)]
    assert pixels.full_lmax(16) == 47
    assert high[0] > 20 * high[1]


def test_a_missing_glass_is_named_with_the_way_to_get_it(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "glass", None)
    with pytest.raises(UserError, match=r"pip install 'cosmokeras\[sphere\]'"):
        sphere.full_sky_kappa(sphere.FIDUCIAL, survey, 16, 32, np.random.default_rng(1))


def test_noise_without_an_lmax_is_white_and_of_the_survey_depth(survey: Survey) -> None:
    nside = 128
    mask = np.arange(hp.nside2npix(nside)) % 2 == 0
    white = survey.model_copy(update={"lmax": None})
    noise = sphere.add_noise(np.zeros((4, mask.size), np.float32), white, mask, np.random.default_rng(3))
    assert (noise[:, ~mask] == 0).all()
    pixel = (healpix_side(nside) / ARCMIN) ** 2  # [arcmin^2]
    np.testing.assert_allclose(noise[:, mask].std(axis=1), survey.sigma_e / np.sqrt(survey.n_eff * pixel), rtol=0.01)
    assert np.abs(np.corrcoef(noise[:, mask]) - np.eye(4)).max() < 0.02  # bins independent


@pytest.mark.parametrize(("lmax", "kept"), [(64, 65**2), (2048, 81**2)])  # of 2048, nside 32 holds 2.5 nside
def test_noise_of_kaiser_squires_ends_at_lmax(survey: Survey, lmax: int, kept: int) -> None:
    nside, banded = 32, survey.model_copy(update={"lmax": lmax})
    mask = np.ones(hp.nside2npix(nside), bool)
    noise = sphere.add_noise(np.zeros((4, mask.size), np.float32), banded, mask, np.random.default_rng(3))
    np.testing.assert_allclose(noise.std(axis=1), banded.kappa_noise(nside), rtol=0.04)
    np.testing.assert_allclose(banded.kappa_noise(nside) / survey.healpix_noise(nside), np.sqrt(kept / mask.size))
    power = hp.anafast(noise[0].astype(float), lmax=95)
    assert power[lmax + 4 :].sum() < 0.02 * power.sum()


def test_theory_is_that_of_convergence(survey: Survey) -> None:
    """A Limber integral without the factor of shear, against our own of the flat sky; ell = 0 and 1 have no shear."""
    root = Path(__file__).parents[2]
    cfg = load_params(root / "params.yaml", {f"prior.{k}": v for k, v in sphere.FIDUCIAL.items() if k != "omega_m"})
    ell = np.array([2.0, 5, 12, 30, 100])
    ours = limber.angular_cl(cfg, np.array([[sphere.FIDUCIAL["omega_m"]]]), ell)[0]
    ratio = glass_theory.theory_cl(sphere.FIDUCIAL, survey, ell) / ours
    np.testing.assert_allclose(ratio[..., 1:], 1.0, atol=0.01)  # that of shear is 9 % lower at ell = 5
    np.testing.assert_allclose(ratio[..., 0], 1.0, atol=0.05)  # 39 % at 2
    with pytest.raises(ValueError, match="from 2 on"):
        glass_theory.theory_cl(sphere.FIDUCIAL, survey, np.array([1.0, 30.0]))


def test_a_sky_that_cannot_be_inverted_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written."""
    surveys = tmp_path / "data" / "surveys"
    surveys.mkdir(parents=True)
    preset = yaml12.read(Path(__file__).parents[2] / "data" / "surveys" / "des_y3.yaml")
    (surveys / "high.yaml").write_text(yaml12.dumps(preset | {"lmax": 3000}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"lmax=3000: .*NSIDE 1024 goes up to 2\.5 NSIDE = 2560"):
        sphere.main(["--survey", "high", "--nside", "1024", "--out", "mock", "--masks", "masks"])
    assert [one.name for one in tmp_path.iterdir()] == ["data"]

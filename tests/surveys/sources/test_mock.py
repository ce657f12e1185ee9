"""The mock sky on disk: what is written comes back, the committed one is what it says, damage is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import pixel_noise
from cosmokeras.params.registry import KINDS
from cosmokeras.params.survey import load_survey
from cosmokeras.project import load_params
from cosmokeras.readers import mock_sky
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.sources import mock

pytest.importorskip("healpy", reason="healpy is not installed: the mock sky is not tested")
ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "data" / "mock" / "des_y3_mock.fits.gz"
LIBRARY = ROOT / "data" / "masks" / "des_y3_like.npy"
TRUTH = {"omega_m": 0.27, "sigma8": 0.8, "h": 0.7, "omega_b": 0.05, "n_s": 0.965, "w0": -1.0, "seed": 1, "lmax": 64}
SIGMA = np.array([0.1, 0.2, 0.15, 0.05])
NSIDE = 32


def config(root: Path, survey: str = "des_y3", size: int = 64) -> SimpleNamespace:
    return SimpleNamespace(
        root=str(root),
        survey=load_survey(survey, ROOT / "data" / "surveys"),
        kind=KINDS["lensing"],
        data=SimpleNamespace(kind="lensing", size=size),
        pixel_arcmin=5.0,
        real=SimpleNamespace(max_masked=0.1, mock="lognormal"),
    )


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    pytest.importorskip("glass", reason="GLASS is not installed: no mock sky is written")
    rng = np.random.default_rng(2)
    mask = rng.uniform(size=12 * NSIDE**2) < 0.4
    maps = (SIGMA[:, None] * rng.standard_normal((4, mask.size))).astype(np.float32)
    path = tmp_path / "data" / "mock" / "des_y3_mock.fits.gz"
    mock_sky.write_mock(path, maps, mask, SIGMA, "des_y3", TRUTH)
    return path, maps, mask


def test_what_was_written_comes_back_within_half_a_step(written: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, maps, mask = written
    read, seen, header = mock_sky.read_mock(path)
    np.testing.assert_array_equal(seen, mask)
    error = np.abs(read - maps)[:, mask].max(axis=1)
    assert (error < SIGMA / 16 * 1.0001).all()
    assert (error > SIGMA / 17).all()  # the steps are as coarse as they claim to be
    assert (read[:, ~mask] == 0).all()
    assert header["OMEGA_M"] == 0.27
    assert header["MOCK"] is True
    assert [path.name for path in path.parent.iterdir()] == ["des_y3_mock.fits.gz"]


def test_the_same_sky_is_the_same_bytes(written: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, maps, mask = written
    again = path.with_name("again.fits.gz")
    mock_sky.write_mock(again, maps, mask, SIGMA, "des_y3", TRUTH)
    assert again.read_bytes() == path.read_bytes()


def test_healpy_reads_the_file_too(written: tuple[Path, np.ndarray, np.ndarray]) -> None:
    import healpy as hp

    path, _, mask = written
    ours, _, _ = mock_sky.read_mock(path)
    theirs = np.array(hp.read_map(path, field=None, partial=True))
    np.testing.assert_allclose(theirs[:, mask], ours[:, mask], atol=1e-6)
    assert (theirs[:, ~mask] == hp.UNSEEN).all()


def test_an_outlier_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("glass", reason="GLASS is not installed: no mock sky is written")
    maps = np.full((4, 12 * NSIDE**2), 2.0, np.float32)
    with pytest.raises(UserError, match="KAPPA_1 goes beyond"):
        mock_sky.write_mock(tmp_path / "m.fits.gz", maps, np.ones(maps.shape[1], bool), SIGMA, "des_y3", TRUTH)
    assert not list(tmp_path.iterdir())


def test_an_n_body_sky_is_cut_at_the_same_footprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its pixels hold: `tests/simulators/pm/test_sky.py` has what they should."""
    pytest.importorskip("glass", reason="GLASS is not installed: no mock sky is written")
    mask = np.zeros(12 * NSIDE**2, bool)
    mask[: mask.size // 2] = True
    path = tmp_path / "data" / "mock" / "des_y3_mock.fits.gz"
    mock_sky.write_mock(path, np.zeros((4, mask.size), np.float32), mask, SIGMA, "des_y3", TRUTH)
    made = np.where(mask, 0.02, 0.0).astype(np.float32) * np.ones((4, 1), np.float32)
    monkeypatch.setattr("cosmokeras.simulators.pm.mock.noisy_sky", lambda cfg, seen: (made * seen, {"omega_m": 0.27}))
    cfg = config(tmp_path)
    cfg.real.mock, cfg.pixel_arcmin, cfg.data.size = "pm", 30.0, 16
    found = mock.load(cfg)
    cfg.real.mock = "lognormal"
    before = mock.load(cfg)
    assert (found.ra == before.ra).all() and (found.coverage == before.coverage).all()
    assert found.maps[found.coverage == 1] == pytest.approx(0.02)
    assert found.truth == {"omega_m": 0.27} and found.observed is False
    assert "particle-mesh" in found.provenance["statement"] and str(path) in found.provenance["files"]


def test_a_missing_mock_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dvc pull data\.dvc"):
        mock.load(config(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_a_damaged_mock_is_named_in_one_line(written: tuple[Path, np.ndarray, np.ndarray], damage: str) -> None:
    path, _, _ = written
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes({"truncated": content[:-1000], "flipped": content, "text": b"not a map"}[damage])
    with pytest.raises(UserError, match="damaged") as error:
        mock_sky.read_mock(path)
    assert "\n" not in str(error.value)


def test_a_mock_of_another_survey_is_refused(written: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, maps, mask = written
    mock_sky.write_mock(path, maps, mask, SIGMA, "des_y9", TRUTH)
    with pytest.raises(UserError, match=r"4 bins of des_y9, but lensing\.survey asks for 4 bins of des_y3"):
        mock.load(config(path.parents[2]))


@pytest.fixture(scope="module")
def sky() -> RealSky:
    if not COMMITTED.exists():
        pytest.skip(f"{COMMITTED} is missing (dvc pull data.dvc): the committed mock is not tested")
    return mock.load(config(ROOT))


def test_the_committed_mock_is_small_and_says_that_it_is_simulated(sky: RealSky) -> None:
    assert COMMITTED.stat().st_size < 8e6
    assert not sky.observed
    assert sky.truth == {name: TRUTH[name] for name in mock_sky.PARAMETERS}
    assert "SIMULATION" in sky.provenance["statement"]
    assert sky.provenance["command"].startswith("python -m cosmokeras.simulators.sphere --nside 1024")
    (digest,) = sky.provenance["files"].values()
    assert len(digest) == 64


def test_the_patches_of_the_committed_mock_have_the_noise_of_the_survey(sky: RealSky) -> None:
    """That of `observation.pixel_noise`: noise above lmax is cut off, and a flat pixel averages over what is left."""
    assert len(sky.maps) > 60
    assert sky.maps.shape[1:] == (64, 64, 4)
    full = sky.coverage == 1
    expected = pixel_noise(config(ROOT)) ** 2
    measured = np.array([sky.maps[..., channel][full].astype(float).var() for channel in range(4)])
    signal = np.array([0.8e-5, 2.2e-5, 4.9e-5, 7.3e-5])  # sum of CCL's C_ell times both pixel windows
    np.testing.assert_allclose(measured, expected + signal, rtol=0.03)


def test_the_mask_library_is_made_of_good_patches() -> None:
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is missing (dvc pull data.dvc): the masks are not tested")
    masks = np.load(LIBRARY, allow_pickle=False)
    assert masks.shape == (128, 96, 96)
    assert masks.dtype == np.float16
    assert masks.min() >= 0
    assert masks.max() == 1
    masked = (masks[:, 16:-16, 16:-16] < 0.5).mean(axis=(1, 2))
    assert masked.max() <= 0.1
    assert 0.005 < masked.mean() < 0.05  # star holes in the interior, a few edges
    assert len(np.unique(masks.reshape(128, -1), axis=0)) == 128


@pytest.mark.slow
@pytest.mark.parametrize("survey", ["kids_1000", "lsst_y1"])
def test_a_survey_without_a_mock_sky_gets_maps_of_its_own_simulator(params: Path, survey: str) -> None:
    cfg = load_params(params, {"lensing.survey": survey, "data.size": 32})
    assert cfg.survey.mock is None
    sky = mock.load(cfg)
    assert sky.maps.shape == (16, 32, 32, len(cfg.survey.bins))
    assert not sky.observed
    assert sky.truth is not None
    assert 0.1 <= sky.truth["omega_m"] <= 0.5
    assert "SIMULATION" in sky.provenance["statement"]
    # noise of the survey's depth, with signal below it
    noise = cfg.survey.sigma_e / np.sqrt(cfg.survey.n_eff * cfg.pixel_arcmin**2)
    ratio = sky.maps.std(axis=(0, 1, 2)) / noise
    assert ((ratio > 0.6) & (ratio < 1.6)).all()

"""The COSMOS catalogue, read as any other: columns, binning, footprint, E/B test, and the way to a patch.

Tests on the real file take it from COSMOKERAS_REAL_DATA or ../shared/real beside the repository.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import load_survey
from cosmokeras.sky import shear_catalogue
from cosmokeras.sky.kaiser_squires import shear_from_kappa
from cosmokeras.surveys.catalogue import masks as command
from cosmokeras.surveys.catalogue import tables
from cosmokeras.surveys.sources import catalogue as source

REPOSITORY = Path(__file__).parents[3]
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or REPOSITORY.parent / "shared/real")
FILES = ("ra", "dec", "e1", "e2", "nhweight_int")
NAMES = ("ra", "dec", "e1", "e2", "weight")
needs_real = pytest.mark.skipif(
    not (REAL / "cosmos/ra.fits").exists(), reason=f"no COSMOS catalogue in {REAL}; set COSMOKERAS_REAL_DATA"
)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("COSMOKERAS_REAL_DATA", raising=False)


@pytest.fixture(scope="module")
def real():
    columns = (fits.getdata(REAL / f"cosmos/{name}.fits").astype(float) for name in FILES)
    return shear_catalogue.Catalogue(*columns)


def mock(n: int = 40_000, seed: int = 17, half: float = 0.3, dec0: float = 2.0) -> shear_catalogue.Catalogue:
    """A square of sky `2 half` degrees wide with shape noise only."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-half, half, size=(2, n))
    e1, e2 = rng.normal(scale=0.25, size=(2, n))
    return shear_catalogue.Catalogue(150.0 + x / np.cos(np.radians(dec0)), dec0 + y, e1, e2, rng.uniform(0.2, 1.8, n))


def lensed(
    catalogue: shear_catalogue.Catalogue, size: int, pixel: float, amplitude: float, seed: int = 1
) -> shear_catalogue.Catalogue:
    """The catalogue with the shear of a random convergence field of standard deviation `amplitude` added to it."""
    rng = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(2 * size)[:, None], np.fft.fftfreq(2 * size))
    kappa = np.fft.ifft2(np.fft.fft2(rng.normal(size=k.shape)) * np.exp(-((k / 0.12) ** 2))).real
    g1, g2 = (g[:size, :size].ravel() for g in shear_from_kappa(kappa * amplitude / kappa.std()))
    number, inside = shear_catalogue.pixel_index(catalogue, size, pixel)
    assert inside.all()
    # the catalogue's frame has east left: e2 changes sign
    return replace(catalogue, e1=catalogue.e1 + g1[number], e2=catalogue.e2 - g2[number])


def configuration(size=64, pixel=1.5, mirror=None, **survey) -> SimpleNamespace:
    preset = load_survey("cosmos").model_copy(update=survey)
    real = SimpleNamespace(source="cosmos", path=None, mask=None, mirror=mirror, offline=False)
    return SimpleNamespace(data=SimpleNamespace(size=size), pixel_arcmin=pixel, survey=preset, real=real, root=".")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"e1": np.zeros(3)}, "one length"),
        ({name: np.zeros(0) for name in NAMES}, "no galaxies"),
        ({"dec": np.array([0.0, np.nan])}, "1 values of column dec are not finite"),
        ({"weight": np.array([1.0, -1.0])}, "non-negative"),
        ({"weight": np.zeros(2)}, "some positive"),
    ],
)
def test_bad_catalogues_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        shear_catalogue.Catalogue(**{**{name: np.ones(2) for name in NAMES}, **change})


def test_reader_names_the_file(tmp_path):
    paths = {name: tmp_path / f"{name}.fits" for name in FILES}
    for path in paths.values():
        fits.PrimaryHDU(np.arange(5.0, dtype=np.float32) + 1).writeto(path)
    (piece,) = tables.image_chunks(paths, FILES)
    assert piece["ra"].dtype == np.float64 and piece["ra"].tolist() == [1, 2, 3, 4, 5]
    assert [one["e1"].size for one in tables.image_chunks(paths, FILES, rows=2)] == [2, 2, 1]
    fits.PrimaryHDU(np.arange(4.0)).writeto(paths["e2"], overwrite=True)
    with pytest.raises(UserError, match="e2.fits: column e2 .* of one length"):
        list(tables.image_chunks(paths, FILES))
    paths["e2"].write_text("not FITS")
    with pytest.raises(UserError, match="e2.fits: damaged or not a FITS image"):
        list(tables.image_chunks(paths, FILES))
    del paths["e2"]
    with pytest.raises(UserError, match="no column e2"):
        list(tables.image_chunks(paths, FILES))


def test_binning_is_a_weighted_mean_in_the_right_pixel():
    # medians at RA 10, Dec 0: three galaxies there, one 3 arcmin east and 1 south of them, one far away
    ra = np.array([10.0, 10.0, 10.0, 10.0 + 3 / 60, 11.0])
    dec = np.array([0.0, 0.0, 0.0, -1 / 60, 0.0])
    catalogue = shear_catalogue.Catalogue(
        ra, dec, np.array([0.1, 0.4, 0.4, 0.2, 9]), np.full(5, 0.3), np.array([2.0, 1, 1, 1, 1])
    )
    maps = shear_catalogue.bin_shear(catalogue, 9, 1.0)
    assert maps.g1[4, 4] == pytest.approx(0.25)
    assert maps.weight[4, 4] == 4 and maps.counts[4, 4] == 3
    assert maps.g1[3, 7] == pytest.approx(0.2), "RA grows to the right, Dec upwards"
    assert maps.g2[3, 7] == pytest.approx(-0.3), "east is right here and left in the catalogue: -e2"
    assert maps.counts.sum() == 4 and np.count_nonzero(maps.g1) == 2


def test_projection_shrinks_ra_by_cos_dec():
    wide = mock(dec0=60.0)
    x, y = shear_catalogue.positions(wide, "tangent")
    assert np.ptp(x) == pytest.approx(36.0, rel=0.01) and np.ptp(y) == pytest.approx(36.0, rel=0.01)
    assert np.ptp(shear_catalogue.positions(wide, "plain")[0]) == pytest.approx(72.0, rel=0.01)
    furthest = max(np.abs(x).max(), np.abs(y).max())
    assert shear_catalogue.extent_arcmin(wide) == 2 * furthest, "about the median position"


def test_coverage_keeps_holes_and_fills_fluctuations():
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 40), bool)
    truth[5:35, 5:35] = True
    truth[15:18, 20:23] = False  # a bright star
    for density in (6, 150):
        used = shear_catalogue.coverage(rng.poisson(density * truth))
        assert set(np.unique(used)) == {0.0, 1.0} and used.dtype == np.float32
        assert (used == truth).mean() > 0.985
        assert not used[16, 21]
    deep = 150 * truth.astype(int)
    deep[10, 10] = 60  # 7 sigma short: a real hole even though it stands alone
    assert shear_catalogue.coverage(deep)[10, 10] == 0
    with pytest.raises(UserError, match="no galaxy"):
        shear_catalogue.coverage(np.zeros((4, 4)))


def test_rotation_keeps_shapes_and_loses_the_signal():
    catalogue = replace(mock(), e1=np.full(40_000, 0.2), e2=np.zeros(40_000))
    turned = shear_catalogue.rotated_noise(catalogue, np.random.default_rng(0))
    np.testing.assert_allclose(np.hypot(turned.e1, turned.e2), 0.2)
    assert abs(turned.e1.mean()) < 4 * 0.2 / np.sqrt(2 * 40_000)
    again = shear_catalogue.rotated_noise(catalogue, np.random.default_rng(0))
    np.testing.assert_array_equal(turned.e1, again.e1)


def test_eb_test_on_noise_signal_and_wrong_sign():
    grid = {"size": 32, "pixel_arcmin": 1.25, "margin_arcmin": 2.5, "rotations": 60}
    noise = mock()
    quiet = shear_catalogue.eb_test(noise, **grid)
    assert abs(quiet["e_excess_sigma"]) < 4 and abs(quiet["b_excess_sigma"]) < 4
    # 0.25 shape noise, 40,000 galaxies in 36 arcmin, weights uniform in 0.2-1.8: n_eff = n / (1 + var(w)) = n / 1.213
    expected = 0.25 / np.sqrt(40_000 / 36**2 * 1.25**2 / 1.213)
    assert quiet["pixel_noise"] == pytest.approx(expected, rel=0.04)

    signal = lensed(noise, 32, 1.25, 0.03)
    good = shear_catalogue.eb_test(signal, **grid)
    assert good["e_excess_sigma"] > 10
    assert good["b_excess_sigma"] < 4
    assert shear_catalogue.eb_test(replace(signal, e2=-signal.e2), **grid)["b_excess_sigma"] > 5
    assert shear_catalogue.eb_test(signal, **grid) == good, "seeded"


def test_eb_test_refuses_too_little():
    with pytest.raises(UserError, match="rotations=10"):
        shear_catalogue.eb_test(mock(), rotations=10)
    with pytest.raises(UserError, match="margin_arcmin=60"):
        shear_catalogue.eb_test(mock(), margin_arcmin=60)


def test_load_passes_on_where_files_may_come_from(monkeypatch):
    asked = []

    def refuse(name, mirror=None, manifest=None, offline=False):
        asked.append((name, mirror, offline))
        raise UserError("not here")

    monkeypatch.setattr("cosmokeras.surveys.catalogue.files.fetch_file", refuse)
    cfg = configuration(mirror="/somewhere")
    cfg.real.offline = True
    with pytest.raises(UserError, match="not here"):
        source.load(cfg)
    assert asked == [("cosmos/ra.fits", "/somewhere", True)]


def written(folder: Path, one: shear_catalogue.Catalogue) -> dict[str, str]:
    """A catalogue as an image for each column, and the names of the files."""
    for name, ours in zip(FILES, NAMES, strict=True):
        fits.PrimaryHDU(getattr(one, ours)).writeto(folder / f"{name}.fits")
    return {name: str(folder / f"{name}.fits") for name in FILES}


def test_load_checks_before_it_shows_anything(monkeypatch, tmp_path):
    preset = load_survey("cosmos")
    files = written(tmp_path, mock())
    layout = preset.catalogue.model_copy(update={"files": files})
    with pytest.raises(UserError, match="needs at least 36"):
        source.load(configuration(size=32, pixel=1.0, catalogue=layout))
    with pytest.raises(UserError, match="--size 48 --pixel 1"):
        source.load(configuration(size=48, pixel=1.0, catalogue=layout))  # a mask of another size
    with pytest.raises(
        UserError,
        match=r"agrees with the catalogue's footprint in \d+.\d% of pixels.*catalogue.masks --survey cosmos",
    ):
        source.load(configuration(catalogue=layout))  # the preset's mask is not that of this small field
    with pytest.raises(UserError, match="has no mask"):
        source.load(configuration(mask=None, catalogue=layout))
    with pytest.raises(UserError, match="none.npy.* missing"):
        source.load(configuration(mask="../masks/none.npy", catalogue=layout))
    with pytest.raises(UserError, match="no block `catalogue`"):
        source.load(configuration(catalogue=None))
    with pytest.raises(UserError, match="catalogue.bins has 1 bins, the preset 2"):
        source.load(configuration(bins=2 * preset.bins))

    small = preset.model_copy(update={"catalogue": layout, "mask": str(tmp_path / "small.npy")})
    command.write_flat(tmp_path / "small.npy", small, {name: Path(path) for name, path in files.items()}, 48, 1.0)
    sky = source.load(configuration(size=48, pixel=1.0, mask=str(tmp_path / "small.npy"), catalogue=layout))
    assert sky.maps.shape == (1, 48, 48, 1)
    assert sky.observed and set(sky.provenance["files"]) == set(files.values())


@needs_real
def test_binned_maps_are_the_published_ones(real):
    maps = shear_catalogue.bin_shear(real, 360, 0.29, projection="plain")
    for ours, name in ((maps.g1, "e1"), (maps.g2, "e2")):
        published = fits.getdata(REAL / f"cosmos/cosmos_full_{name}_0.29arcmin360.fits")
        np.testing.assert_allclose(ours, published, atol=1e-7)  # float32 numbers
    published = fits.getdata(REAL / "cosmos/cosmos_full_mask_0.29arcmin360.fits") > 0
    np.testing.assert_array_equal(maps.weight > 0, published)


@pytest.mark.slow
@needs_real
def test_the_sky_has_e_modes_and_no_b_modes(real):
    result = shear_catalogue.eb_test(real)
    assert result["e_excess_sigma"] >= 10
    assert abs(result["b_excess_sigma"]) <= 3
    wrong = shear_catalogue.eb_test(replace(real, e2=-real.e2), rotations=60)
    assert wrong["b_excess_sigma"] > 5, "with the wrong sign of e2 the B mode must stand out"


@pytest.mark.slow
@needs_real
def test_the_presets_noise_is_that_of_the_catalogue(real):
    survey = load_survey("cosmos")
    measured = shear_catalogue.eb_test(real, rotations=50)["pixel_noise"]
    expected = survey.sigma_e[0] / np.sqrt(survey.n_eff[0] * survey.pixel_arcmin**2)
    assert expected == pytest.approx(measured, rel=0.03)


@needs_real
def test_x_ray_groups_sit_on_convergence_peaks(real):
    table = np.loadtxt(REAL / "cosmos/xray.txt", comments="#", usecols=(1, 2))
    maps = shear_catalogue.bin_shear(real, 128, 0.75)
    used = shear_catalogue.coverage(maps.counts)
    e, b = (gaussian_filter(k, 1.0 / 0.75) for k in shear_catalogue.convergence(maps, used))
    a = 60 * (table[:, 0] - np.median(real.ra)) * np.cos(np.radians(np.median(real.dec)))
    d = 60 * (table[:, 1] - np.median(real.dec))
    column, row = (np.floor(p / 0.75 + 64).astype(int) for p in (a, d))
    inside = (column >= 0) & (column < 128) & (row >= 0) & (row < 128)
    column, row = column[inside], row[inside]
    seen = used[row, column] > 0
    assert seen.sum() > 30
    error = e[used > 0].std() / np.sqrt(seen.sum())
    assert e[row, column][seen].mean() > 5 * error
    assert abs(b[row, column][seen].mean()) < 3 * error


@pytest.mark.slow
@needs_real
def test_load_gives_one_observed_patch(real):
    """The general road and the functions for flat fields, called by hand: the same maps to the last bit."""
    sky = source.load(configuration(mirror=str(REAL)))
    assert sky.observed and sky.truth is None
    assert sky.maps.shape == (1, 64, 64, 1) and sky.maps.dtype == np.float32
    maps = shear_catalogue.bin_shear(real, 64, 1.5)
    used = shear_catalogue.coverage(maps.counts)
    kappa, _ = shear_catalogue.convergence(maps, used)
    np.testing.assert_array_equal(sky.maps[0, :, :, 0], kappa.astype(np.float32))
    np.testing.assert_array_equal(sky.coverage[0], used)
    assert (sky.ra[0], sky.dec[0]) == (np.median(real.ra), np.median(real.dec))
    expected = shear_catalogue.eb_test(real, 64, 1.5)
    assert {key: sky.null_tests[key] for key in expected} == expected
    assert sky.null_tests["mirrored_sigma"] < 5
    assert sky.null_tests["e_excess_sigma"] >= 10 and abs(sky.null_tests["b_excess_sigma"]) <= 3
    assert len(sky.provenance["files"]) == 5 and "Schrabback" in sky.provenance["citation"]
    np.testing.assert_array_equal(sky.coverage, np.load("data/masks/cosmos_64x1.5.npy"))


@pytest.mark.slow
@needs_real
def test_with_the_wrong_sign_the_sky_is_refused():
    layout = load_survey("cosmos").catalogue.model_copy(update={"signs": (1, 1)})
    with pytest.raises(UserError, match="turn round the second of catalogue.signs"):
        source.load(configuration(mirror=str(REAL), catalogue=layout))


@needs_real
def test_the_command_writes_the_mask_and_the_depth(tmp_path, capsys):
    survey = ["--survey", "cosmos", "--mirror", str(REAL), "--pixel", "1.5"]
    assert command.main([*survey, "--out", str(tmp_path / "new/mask.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "new/mask.npy"), np.load("data/masks/cosmos_64x1.5.npy"))
    assert "2600 of 4096" in capsys.readouterr().out
    assert command.main([*survey, "--out", str(tmp_path / "deep.npz")]) == 0
    with np.load(tmp_path / "deep.npz") as stored:
        np.testing.assert_array_equal(stored["coverage"], np.load("data/masks/cosmos_64x1.5.npy"))
        # n_eff of the preset is the harmonic mean over the used pixels, so the mean square is 1 there
        square = float(np.mean(stored["noise"][stored["coverage"] > 0] ** 2))
    assert square == pytest.approx(1, abs=0.01)
    with pytest.raises(SystemExit) as stop:
        arguments = [*survey, "--out", str(tmp_path / "small.npy"), "--size", "32"]
        cli.entry(lambda: command.main(arguments))
    assert stop.value.code == 2 and "needs at least" in capsys.readouterr().err
    assert not (tmp_path / "small.npy").exists()

"""Survey presets: the fits of n(z) against the distributions they are made from, and what is said of broken presets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import load_survey
from cosmokeras.surveys import fit_nz

if TYPE_CHECKING:
    import pyccl as ccl

ROOT = Path(__file__).parents[2]
SURVEYS = ROOT / "data" / "surveys"
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA", ROOT.parent / "shared" / "real"))
KIDS = REAL / "des_y3" / "DES-Y3_xipm_and_KiDS-1000_COSEBIs.fits"
SOURCES = {  # what each preset is fitted to, as fit_nz names it
    "des_y3": [str(REAL / "des_y3" / f"desy3_nz_metacal_bin{number}.txt") for number in range(1, 5)],
    "kids_1000": [f"{KIDS}:nz_source_kids"],
    "hsc_y3": [str(REAL / "hsc_y3" / "tomographic_binning_dnnz.dat")],
    "lsst_y1": ["lsst_y1"],
    "lsst_y10": ["lsst_y10"],
}
PRESET = {
    "name": "tiny",
    "title": "one bin",
    "citation": "none",
    "pixel_arcmin": 5.0,
    "made_from": "shear",
    "bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [{"kind": "gaussian", "weight": 1.0, "mean": 0.5, "sigma": 0.1}]}],
}


def write(folder: Path, preset: dict) -> Path:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(preset))
    return folder


def tables(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The distributions that preset `name` is fitted to, on one grid; skips where the files are not at hand."""
    for source in SOURCES[name]:
        path = Path(source.partition(":")[0])
        if source not in fit_nz.LSST and not path.exists():
            pytest.skip(f"{path.name} is not in {path.parent}: the fit of {name} is not compared with it")
    z = np.linspace(0, 6, 3001)
    read = [fit_nz.read(source) for source in SOURCES[name]]
    n_z = np.array([np.interp(z, grid, one, left=0, right=0) for grid, bins in read for one in bins])
    return z, n_z / np.trapezoid(n_z, z)[:, None]


@pytest.fixture(scope="module", params=[0.15, 0.45])
def theory(request: pytest.FixtureRequest) -> ccl.Cosmology:
    import pyccl as ccl

    return ccl.Cosmology(
        Omega_c=request.param - 0.05,
        Omega_b=0.05,
        h=0.7,
        sigma8=0.8,
        n_s=0.965,
        transfer_function="eisenstein_hu",
        matter_power_spectrum="halofit",
    )


def largest_deviation(theory: ccl.Cosmology, z: np.ndarray, fitted: np.ndarray, published: np.ndarray) -> float:
    """Of C_ell of all pairs of bins between two sets of n(z), each (bins, len(z)), over 30 < ell < 3000."""
    import pyccl as ccl

    ell = np.geomspace(30, 3000, 25)
    ours = [ccl.WeakLensingTracer(theory, dndz=(z, one)) for one in fitted]
    theirs = [ccl.WeakLensingTracer(theory, dndz=(z, one)) for one in published]
    pairs = [(i, j) for i in range(len(ours)) for j in range(i + 1)]
    got = np.array([ccl.angular_cl(theory, ours[i], ours[j], ell) for i, j in pairs])
    want = np.array([ccl.angular_cl(theory, theirs[i], theirs[j], ell) for i, j in pairs])
    return float(np.abs(got / want - 1).max())


@pytest.mark.parametrize("name", SOURCES)
def test_spectra_agree_with_those_of_the_distributions_fitted(name: str, theory: ccl.Cosmology) -> None:
    z, published = tables(name)
    fitted = load_survey(name, SURVEYS).n_z(z)
    assert len(fitted) == len(published)
    assert largest_deviation(theory, z, fitted, published) < 5e-3


def test_the_comparison_of_spectra_sees_a_shift_of_redshifts(theory: ccl.Cosmology) -> None:
    z, published = tables("lsst_y1")
    shifted = np.array([np.interp(z - 0.005, z, one, left=0) for one in published])
    assert largest_deviation(theory, z, shifted, published) > 5e-3


@pytest.mark.parametrize(
    ("name", "mean", "tolerance"),
    [
        ("des_y3", [0.336, 0.521, 0.741, 0.936], 0.003),  # of the published tables
        ("kids_1000", [0.26, 0.40, 0.56, 0.79, 0.98], 0.006),  # Asgari et al. 2021, A&A 645, A104, table A.1
        ("hsc_y3", [0.463, 0.766, 1.084, 1.330], 0.003),  # PhotZ of Rau et al. 2023, in Choppin de Janvry et al. 2025
    ],
)
def test_mean_redshifts_are_the_published_ones(name: str, mean: list[float], tolerance: float) -> None:
    survey = load_survey(name, SURVEYS)
    z = np.linspace(0, survey.z_max, 3001)
    np.testing.assert_allclose(np.trapezoid(z * survey.n_z(z), z), mean, atol=tolerance)


@pytest.mark.parametrize("name", SOURCES)
def test_distributions_are_normalised_and_not_negative(name: str) -> None:
    survey = load_survey(name, SURVEYS)
    z = np.linspace(0, survey.z_max, 3001)
    n_z = survey.n_z(z)
    np.testing.assert_allclose(np.trapezoid(n_z, z), 1.0, rtol=1e-6)
    assert (n_z >= 0).all()


@pytest.mark.parametrize(
    ("name", "n_eff", "sigma_e"),
    [
        ("des_y3", [1.476, 1.479, 1.484, 1.461], [0.243, 0.262, 0.259, 0.301]),  # Amon et al. 2022, table 1
        ("kids_1000", [0.62, 1.18, 1.85, 1.26, 1.31], [0.27, 0.26, 0.27, 0.25, 0.27]),  # Giblin et al. 2021
        ("hsc_y3", [3.77, 5.07, 4.00, 2.12], [0.24] * 4),  # Rau et al. 2023; sigma_e is our approximation
        ("lsst_y1", [2.0] * 5, [0.26] * 5),  # arXiv:1809.01669
        ("lsst_y10", [5.4] * 5, [0.26] * 5),  # the same
    ],
)
def test_densities_and_dispersions_are_the_published_ones(name: str, n_eff: list, sigma_e: list) -> None:
    survey = load_survey(name, SURVEYS)
    np.testing.assert_allclose(survey.n_eff, n_eff, atol=0.0051 if name == "kids_1000" else 1e-9)
    np.testing.assert_allclose(survey.sigma_e, sigma_e, atol=0.0051 if name == "kids_1000" else 1e-9)


def test_kids_densities_are_those_of_its_file_per_unmasked_area() -> None:
    from astropy.io import fits

    tables("kids_1000")
    header = fits.getheader(KIDS, "nz_source_kids")
    survey = load_survey("kids_1000", SURVEYS)
    n_gal = np.array([header[f"NGAL_{number}"] for number in range(1, 6)])
    np.testing.assert_allclose(survey.n_eff, n_gal * 866.924 / 777.406, atol=6e-4)
    np.testing.assert_allclose(survey.sigma_e, [header[f"SIG_E_{number}"] for number in range(1, 6)], atol=6e-4)


def test_lsst_bins_are_those_of_galaxies_drawn_and_sorted_by_photometric_redshift() -> None:
    z, n_z = fit_nz.lsst_bins("lsst_y1")
    np.testing.assert_allclose(np.trapezoid(n_z, z), 0.2, atol=1e-4)
    rng = np.random.default_rng(0)
    # z^2 exp(-(z / z0)^a) is a Gamma distribution of shape 3 / a in (z / z0)^a
    true = 0.13 * rng.gamma(3 / 0.78, size=400_000) ** (1 / 0.78)
    true = true[true < 3.5]
    photometric = true + 0.05 * (1 + true) * rng.normal(size=true.size)
    which = np.searchsorted(np.quantile(photometric, [0.2, 0.4, 0.6, 0.8]), photometric)
    mean, width = np.array([(true[which == b].mean(), true[which == b].std()) for b in range(5)]).T
    moments = np.trapezoid(n_z[:, None] * np.array([z, z**2]), z) / np.trapezoid(n_z, z)[:, None]
    np.testing.assert_allclose(moments[:, 0], mean, rtol=5e-3)
    np.testing.assert_allclose(np.sqrt(moments[:, 1] - moments[:, 0] ** 2), width, rtol=1e-2)


def test_terms_of_a_fits_table_are_printed_as_a_preset_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from astropy.io import fits

    z = np.linspace(0.05, 2.95, 59)
    bins = [np.exp(-0.5 * ((z - mean) / 0.15) ** 2) for mean in (0.6, 1.1)]
    columns = [
        fits.Column(name, "D", array=one) for name, one in zip(["Z_MID", "BIN1", "BIN2"], [z, *bins], strict=True)
    ]
    fits.BinTableHDU.from_columns(columns, name="nz").writeto(tmp_path / "two.fits")
    fit_nz.main([f"{tmp_path / 'two.fits'}:nz", "--terms", "1"])
    said = capsys.readouterr().out
    assert "  - n_z:  # two.fits:nz, bin 1; sum 7.519, integral 0.3759 (0.00% beyond z = 3), made 1\n" in said
    printed = yaml.safe_load(said)
    preset = PRESET | {"bins": [one | {"n_eff": 1.0, "sigma_e": 0.3} for one in printed]}
    survey = load_survey("tiny", write(tmp_path, preset))
    np.testing.assert_allclose([one.n_z[0].mean for one in survey.bins], [0.6, 1.1], atol=2e-3)
    for source, said in [(f"{tmp_path / 'two.fits'}:xip", "two.fits:xip"), (str(tmp_path / "none.txt"), "missing")]:
        with pytest.raises(UserError, match=said):
            fit_nz.main([source])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_distribution_of_nothing_is_not_fitted(value: float) -> None:
    z = np.linspace(0, 1, 11)
    with pytest.raises(UserError, match="n.z. integrates to .*; finite numbers and more than 0 are allowed"):
        fit_nz.fit(z, np.full(11, value))


@pytest.mark.parametrize(("number", "total"), enumerate([0.994, 0.980, 0.976, 0.963]))
def test_columns_of_des_y3_say_what_they_sum_up_to(number: int, total: float) -> None:
    """As they are published, shares of a step each; the preset makes each an integral of 1."""
    tables("des_y3")
    z, bins = fit_nz.read(str(SOURCES["des_y3"][number]))
    assert bins[0].sum() == pytest.approx(total, abs=5e-4)
    assert f"sum {bins[0].sum():.4g}, integral" in fit_nz.normalised(z, bins[0], 3.0)


@pytest.mark.slow
def test_the_fit_makes_up_for_what_lies_beyond_its_end() -> None:
    z, fine = np.linspace(0, 5, 501), fit_nz.grid(5.0)
    n_z = 0.99 / 0.1 * np.exp(-0.5 * ((z - 0.5) / 0.1) ** 2) + 0.01 / 0.2 * np.exp(-0.5 * ((z - 3.5) / 0.2) ** 2)
    terms = fit_nz.fit(z, n_z, terms=3, tries=3, z_max=3.0)
    table, seen = np.interp(fine, z, n_z), (fine > 0.1) & (fine < 0.6)

    def error(one: np.ndarray) -> float:  # of the lensing kernel, when a distribution is cut off at 3
        one = np.where(fine <= 3.0, one, 0.0)
        ours, theirs = (fit_nz.lensing_kernel(n / np.trapezoid(n, fine), fine)[seen] for n in (one, table))
        return float(np.abs(ours / theirs - 1).max())

    assert error(sum(term(fine) for term in terms)) < 0.03
    assert error(table) > 0.2


def test_n_z_is_zero_outside_its_range(tmp_path: Path) -> None:
    survey = load_survey("tiny", write(tmp_path, PRESET))
    np.testing.assert_array_equal(survey.n_z(np.array([-0.1, survey.z_max + 0.1])), 0.0)


def test_the_fit_finds_gaussians_back() -> None:
    z = np.linspace(0, 3, 301)
    n_z = 0.7 * np.exp(-0.5 * ((z - 0.4) / 0.1) ** 2) + 0.3 * np.exp(-0.5 * ((z - 0.9) / 0.2) ** 2)
    low, high = fit_nz.fit(z, n_z, terms=2, tries=3)
    np.testing.assert_allclose([low.mean, low.sigma, high.mean, high.sigma], [0.4, 0.1, 0.9, 0.2], rtol=0.01)
    assert low.weight + high.weight == pytest.approx(1.0, abs=1e-3)


def test_the_lensing_kernel_of_one_source_plane_is_the_textbook_one() -> None:
    source = np.exp(-0.5 * ((fit_nz.FINE - 1.0) / 0.005) ** 2)
    kernel = fit_nz.lensing_kernel(source / np.trapezoid(source, fit_nz.FINE), omega_m=1.0)
    chi = 2 * (1 - 1 / np.sqrt(1 + fit_nz.FINE))  # Einstein-de Sitter, in units of c / H0
    far = 2 * (1 - 1 / np.sqrt(2.0))
    below = fit_nz.FINE < 0.95
    np.testing.assert_allclose(kernel[below], ((1 + fit_nz.FINE) * chi * (1 - chi / far))[below], atol=2e-4)


def test_an_unknown_survey_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'des_y9'.*known: tiny$"):
        load_survey("des_y9", write(tmp_path, PRESET))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"n_sidee": 3}, "n_sidee"),
        ({"pixel_arcmin": -1.0}, "pixel_arcmin"),
        ({"made_from": "magic"}, "made_from"),
        ({"made_from": "healpix", "nside": 64, "lmax": 192}, "from nside to 3 nside - 1"),
        ({"made_from": "healpix", "nside": None}, "needs the nside"),
        ({"lmax": 64}, "nside is None"),
        ({"bins": []}, "bins"),
        ({"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [{"kind": "gauss"}]}]}, "bins.0.n_z.0"),
        ({"bins": 3}, "not a survey preset"),
    ],
)
def test_a_broken_preset_is_refused_in_one_line_that_names_the_key(tmp_path: Path, change: dict, where: str) -> None:
    with pytest.raises(UserError) as error:
        load_survey("tiny", write(tmp_path, PRESET | change))
    assert "tiny.yaml" in str(error.value)
    assert where in str(error.value)
    assert "\n" not in str(error.value)


def with_table(column: int) -> dict:
    term = {"kind": "table", "file": "n_z.txt", "n_column": column}
    return PRESET | {"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [term]}]}


def test_a_table_of_n_z_is_read_and_normalised(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "n_z.txt", [[0.2, 0.0], [0.5, 7.0], [0.8, 0.0]])
    z = np.linspace(0, 3, 3001)
    n_z = load_survey("tiny", write(tmp_path, with_table(1))).n_z(z)[0]
    assert np.trapezoid(n_z, z) == pytest.approx(1.0, rel=1e-6)
    assert z[n_z.argmax()] == pytest.approx(0.5)


def test_a_table_with_too_few_columns_or_none_at_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"n_z\.txt is missing"):
        load_survey("tiny", write(tmp_path, with_table(2)))
    np.savetxt(tmp_path / "n_z.txt", [[0.2, 0.0], [0.5, 7.0]])
    with pytest.raises(UserError, match="has 2 columns, but column 2"):
        load_survey("tiny", write(tmp_path, with_table(2)))


@pytest.mark.parametrize("name", ["../n_z.txt", "/etc/passwd", "a/../../b.txt", "..", "", "."])
def test_a_table_outside_of_the_folder_of_presets_is_refused(tmp_path: Path, name: str) -> None:
    term = {"kind": "table", "file": name}
    preset = PRESET | {"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [term]}]}
    with pytest.raises(UserError, match=r"bins\.0\.n_z\.0\.table\.file: .*must be a file in the folder of the preset"):
        load_survey("tiny", write(tmp_path, preset))


NUMBERS = [
    ("weight", float("nan")), ("weight", float("inf")), ("weight", 0.0), ("mean", float("nan")),
    ("mean", float("inf")), ("sigma", float("inf")), ("sigma", float("nan")), ("sigma", 0.0), ("sigma", 1e-9),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), NUMBERS)
def test_numbers_of_a_term_are_finite_and_resolved(tmp_path: Path, key: str, value: float) -> None:
    term = PRESET["bins"][0]["n_z"][0] | {key: value}
    with pytest.raises(UserError, match=rf"bins\.0\.n_z\.0\.gaussian\.{key}: "):
        load_survey("tiny", write(tmp_path, PRESET | {"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [term]}]}))


@pytest.mark.parametrize("change", [{"n_eff": float("inf")}, {"sigma_e": float("nan")}])
def test_noise_is_finite(tmp_path: Path, change: dict) -> None:
    with pytest.raises(UserError, match="finite number"):
        load_survey("tiny", write(tmp_path, PRESET | {"bins": [PRESET["bins"][0] | change]}))


def test_what_lies_beyond_the_end_is_refused_when_read_or_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = PRESET["bins"][0]["n_z"][0] | {"mean": 4.0}
    with pytest.raises(UserError, match="100% of n.z. lies beyond z_max=3"):
        load_survey("tiny", write(tmp_path, PRESET | {"bins": [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [far]}]}))
    assert load_survey("tiny", write(tmp_path, PRESET | {"z_max": 0.66})) is not None
    assert "5.5% of n(z) lies beyond z_max=0.66" in capsys.readouterr().err

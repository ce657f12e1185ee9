"""Survey presets: the DES Y3 fit of n(z) against the published tables, and what is said about broken presets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmokeras.errors import UserError
from cosmokeras.surveys import fit_nz
from cosmokeras.surveys.presets import load_survey

ROOT = Path(__file__).parents[2]
SURVEYS = ROOT / "data" / "surveys"
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA", ROOT.parent / "shared" / "real"))
TABLES = [REAL / "des_y3" / f"desy3_nz_metacal_bin{number}.txt" for number in range(1, 5)]
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


@pytest.fixture(scope="module")
def tables() -> list[np.ndarray]:
    if not all(path.exists() for path in TABLES):
        pytest.skip(f"the DES Y3 n(z) tables are not in {REAL / 'des_y3'}: the fit is not compared with them")
    return [np.loadtxt(path).T for path in TABLES]


@pytest.mark.parametrize("omega_m", [0.15, 0.45])
def test_des_y3_spectra_agree_with_those_of_the_published_n_z(tables: list[np.ndarray], omega_m: float) -> None:
    import pyccl as ccl

    theory = ccl.Cosmology(
        Omega_c=omega_m - 0.05,
        Omega_b=0.05,
        h=0.7,
        sigma8=0.8,
        n_s=0.965,
        transfer_function="eisenstein_hu",
        matter_power_spectrum="halofit",
    )
    z = np.linspace(0, 3, 1501)
    published = [np.interp(z, *table, left=0, right=0) for table in tables]
    published = [ccl.WeakLensingTracer(theory, dndz=(z, one / np.trapezoid(one, z))) for one in published]
    fitted = [ccl.WeakLensingTracer(theory, dndz=(z, one)) for one in load_survey("des_y3", SURVEYS).n_z(z)]
    ell = np.geomspace(30, 3000, 25)
    for i in range(4):
        for j in range(i + 1):
            ours = ccl.angular_cl(theory, fitted[i], fitted[j], ell)
            theirs = ccl.angular_cl(theory, published[i], published[j], ell)
            np.testing.assert_allclose(ours, theirs, rtol=5e-3, err_msg=f"bins {i + 1} {j + 1}")


def test_des_y3_numbers() -> None:
    survey = load_survey("des_y3", SURVEYS)
    z = np.linspace(0, survey.z_max, 3001)
    n_z = survey.n_z(z)
    np.testing.assert_allclose(np.trapezoid(n_z, z), 1.0, rtol=1e-6)
    assert (n_z >= 0).all()
    # mean redshifts of the published tables
    np.testing.assert_allclose(np.trapezoid(z * n_z, z), [0.336, 0.521, 0.741, 0.936], atol=0.003)
    np.testing.assert_allclose(survey.n_eff, [1.476, 1.479, 1.484, 1.461])
    np.testing.assert_allclose(survey.sigma_e, [0.243, 0.262, 0.259, 0.301])


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
    survey = load_survey("tiny", write(tmp_path, with_table(2)))
    with pytest.raises(UserError, match=r"n_z\.txt is missing"):
        survey.n_z(np.linspace(0, 1, 5))
    np.savetxt(tmp_path / "n_z.txt", [[0.2, 0.0], [0.5, 7.0]])
    with pytest.raises(UserError, match="has 2 columns, but column 2"):
        survey.n_z(np.linspace(0, 1, 5))

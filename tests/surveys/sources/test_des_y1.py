"""The mass maps of DES Y1, on stand-ins at low resolution that are SIMULATIONS under the names of the real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.params.survey import load_survey
from cosmokeras.sky.spherical_ks import kaiser_squires_sphere, shear_sphere
from cosmokeras.surveys.download.manifest import load_manifest

healpy = pytest.importorskip("healpy", reason="healpy is not installed: sources of HEALPix maps are not tested")
from astropy.io import fits  # noqa: E402

ROOT = Path(__file__).parents[3]
BINS = ("0.2_0.43", "0.43_0.63", "0.63_0.9", "0.9_1.3")
MASK = "y1a1_spt_mcal_0.2_1.3_mask.fits"


def table(place: Any, name: str, column: str, values: np.ndarray, **header: Any) -> None:
    """A table as the makers of the maps write theirs: one column, and by default not a word on NSIDE or ORDERING."""
    kind = {"f": "D", "i": "K"}[values.dtype.kind]
    hdu = fits.BinTableHDU.from_columns([fits.Column(name=column, format=kind, array=values)])
    hdu.header.update(header)
    path = place.mirror / "des_y1" / name
    path.parent.mkdir(exist_ok=True)
    hdu.writeto(path, overwrite=True)


@pytest.fixture(scope="module")
def kappa(signal: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E and B modes of noisy shear, up to l = 2 NSIDE and not 0 outside the mask, (4, npix) each."""
    nside, rng = healpy.get_nside(mask), np.random.default_rng(7)
    sigma = load_survey("des_y1", ROOT / "data" / "surveys").healpix_noise(nside)
    shear = np.array([shear_sphere(one) for one in signal]) + sigma[:, None, None] * rng.standard_normal(
        (4, 2, mask.size)
    )
    e, b = zip(*(kaiser_squires_sphere(*(one * mask), lmax=2 * nside) for one in shear), strict=True)
    return np.array(e), np.array(b)


@pytest.fixture
def des(place: Any, kappa: tuple[np.ndarray, np.ndarray], mask: np.ndarray) -> Any:
    for name, e, b in zip(BINS, *kappa, strict=True):
        table(place, f"y1a1_spt_mcal_{name}_kE.fits", "kE", e)
        table(place, f"y1a1_spt_mcal_{name}_kB.fits", "kB", b)
    table(place, MASK, "mask", mask.astype(float))
    place.publish()
    place.change_preset("des_y1", lmax=2 * place.nside)
    place.overrides = {"real.source": "des_y1", "lensing.survey": "des_y1", "real.mirror": str(place.mirror)}
    return place


def test_maps_are_those_of_the_footprint(des: Any, kappa: tuple[np.ndarray, np.ndarray], mask: np.ndarray) -> None:
    sky = des.fetch()
    assert (sky.name, sky.observed) == ("des_y1", True)
    assert len(sky.provenance["files"]) == 9
    assert sky.provenance["warnings"] == []
    for number in range(1, 5):
        # at the edges a part of the noise leaks out of the footprint
        assert sky.null_tests[f"bin_{number}_b_std"] == pytest.approx(0.95, abs=0.05)
        assert sky.null_tests[f"bin_{number}_std"] > sky.null_tests[f"bin_{number}_b_std"]
    own = des.own((kappa[0] * mask).astype(np.float32), mask).fetch(**{"lensing.survey": "des_y1"})
    np.testing.assert_array_equal(sky.maps, own.maps)


def test_an_ordering_that_a_header_names_counts(des: Any, kappa: tuple[np.ndarray, np.ndarray]) -> None:
    plain = des.fetch()
    nested = healpy.reorder(kappa[0][1], r2n=True)
    table(des, "y1a1_spt_mcal_0.43_0.63_kE.fits", "kE", nested, ORDERING="NESTED", NSIDE=des.nside)
    des.publish()
    np.testing.assert_array_equal(des.fetch().maps, plain.maps)


def test_names_of_columns_in_capitals_and_masks_of_counts_say_the_same(
    des: Any, kappa: tuple[np.ndarray, np.ndarray], mask: np.ndarray
) -> None:
    plain = des.fetch()
    table(des, "y1a1_spt_mcal_0.2_0.43_kE.fits", "KE", kappa[0][0])
    table(des, MASK, "MASK", np.where(mask, 17.0, healpy.UNSEEN))
    des.publish()
    sky = des.fetch()
    np.testing.assert_array_equal(sky.maps, plain.maps)
    np.testing.assert_array_equal(sky.coverage, plain.coverage)


def _all_coarse(place: Any, e: np.ndarray, mask: np.ndarray) -> None:
    for name in BINS:
        for column in ("kE", "kB"):
            table(place, f"y1a1_spt_mcal_{name}_{column}.fits", column, healpy.ud_grade(e[0], 32))
    table(place, MASK, "mask", 1.0 * (healpy.ud_grade(mask.astype(float), 32) > 0.9))


FIRST, THIRD = "y1a1_spt_mcal_0.2_0.43_kE.fits", "y1a1_spt_mcal_0.63_0.9_kB.fits"
# What is wrong with the files, and the words that the line must hold.
BAD: dict[str, tuple[Callable[[Any, np.ndarray, np.ndarray], Any], list[str]]] = {
    "another column": (lambda p, e, m: table(p, FIRST, "kappa", e[0]), [FIRST, "no map 'kE'", "it has kappa"]),
    "no B mode": (lambda p, e, m: table(p, THIRD, "kE", e[2]), [THIRD, "no map 'kB'", "it has kE"]),
    "no mask column": (lambda p, e, m: table(p, MASK, "kE", 1.0 * m), [MASK, "no map 'mask'", "it has kE"]),
    "mask of another NSIDE": (
        lambda p, e, m: table(p, MASK, "mask", 1.0 * (healpy.ud_grade(1.0 * m, 32) > 0.9)),
        [MASK, "NSIDE 32", "NSIDE 64"],
    ),
    "one of another NSIDE": (
        lambda p, e, m: table(p, THIRD, "kB", healpy.ud_grade(e[2], 32)),
        [THIRD, "12288 pixels", "49152", "replace the one that differs"],
    ),
    "all of another NSIDE": (_all_coarse, [FIRST, "NSIDE 32, but", "des_y1 are simulated for NSIDE 64"]),
    "no HEALPix map": (lambda p, e, m: table(p, FIRST, "kE", e[0][:-1]), [FIRST, "49151 pixels do not make"]),
    "integers": (lambda p, e, m: table(p, FIRST, "kE", (1e5 * e[0]).astype(int)), [FIRST, "int64", "small fraction"]),
    "empty mask": (lambda p, e, m: table(p, MASK, "mask", 0.0 * m), [MASK, "empty"]),
    "per cent": (lambda p, e, m: table(p, FIRST, "kE", 100 * e[0]), [FIRST, "rms", "percent"]),
    "text": (lambda p, e, m: (p.mirror / "des_y1" / FIRST).write_text("kappa\n"), [FIRST, "not a readable FITS"]),
    "no file": (lambda p, e, m: (p.mirror / "des_y1" / THIRD).unlink(), [THIRD]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_line(des: Any, kappa: tuple[np.ndarray, np.ndarray], mask: np.ndarray, case: str) -> None:
    change, words = BAD[case]
    change(des, kappa[0], mask)
    des.publish()
    message = des.complaint()
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def test_maps_need_their_own_preset(des: Any) -> None:
    message = des.complaint(**{"lensing.survey": "des_y3"})
    assert "lensing.survey=des_y1" in message
    assert "real.source=des_y1" in message


def test_files_of_the_release_are_in_the_manifest() -> None:
    names = [f"y1a1_spt_mcal_{one}_{column}.fits" for one in BINS for column in ("kE", "kB")]
    manifest = load_manifest(ROOT / "data" / "manifest.yaml")
    for name in (*names, MASK):
        assert manifest[f"des_y1/{name}"]["url"].endswith(f"/y1a1_files/mass_maps/{name}")


def test_the_preset_is_that_of_the_maps_and_of_the_published_tables() -> None:
    survey = load_survey("des_y1", ROOT / "data" / "surveys")
    assert (survey.made_from, survey.nside, survey.lmax) == ("healpix", 1024, 2048)
    z = np.linspace(0, survey.z_max, 3001)
    mean = np.trapezoid(z * survey.n_z(z), z)
    np.testing.assert_allclose(mean, [0.390, 0.526, 0.744, 0.967], atol=0.003)  # of the table fitted
    np.testing.assert_allclose(survey.n_eff, [1.50, 1.52, 1.59, 0.79])
    np.testing.assert_allclose(survey.sigma_e, [0.26, 0.29, 0.27, 0.29])

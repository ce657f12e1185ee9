"""What FITS headers say is believed: a contradiction to params.yaml, or a frame that is not celestial, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import pytest
from astropy.io import fits

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.readers import headers
from cosmokeras.readers.healpix import read_healpix
from cosmokeras.surveys import fetch
from cosmokeras.surveys.healpix_files import read_mask

NSIDE = 16
PIXELS = np.arange(700, 900)


def table(path: Path, columns: dict[str, np.ndarray], extra: dict[str, Any] | None = None, **header: Any) -> Path:
    made = [fits.Column(n, {"i": "K", "f": "E", "b": "L"}[a.dtype.kind], array=a) for n, a in columns.items()]
    hdu = fits.BinTableHDU.from_columns(made)
    words = {"PIXTYPE": "HEALPIX", "ORDERING": "RING", "NSIDE": NSIDE, "INDXSCHM": "EXPLICIT", "COORDSYS": "C"}
    for key, value in (words | header | (extra or {})).items():
        if value is not None:
            hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def partial(path: Path, **header: Any) -> Path:
    return table(path, {"PIXEL": PIXELS, "SIGNAL": np.linspace(-1, 1, len(PIXELS))}, **header)


@pytest.mark.parametrize("system", [None, "", "C", "Q", "EQ", "equatorial", "CEL", "J2000", "FK5", "ICRS", " icrs "])
def test_celestial_coordinates_have_many_names(tmp_path: Path, system: str | None) -> None:
    assert np.flatnonzero(read_healpix(partial(tmp_path / "a.fits", COORDSYS=system))[0] > -2).tolist() == [*PIXELS]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"COORDSYS": "G"}, r'COORDSYS is G, galactic; rotate.*coord=\["G", "C"\]'),
        ({"COORDSYS": "galactic"}, "GALACTIC, galactic; rotate"),
        ({"COORDSYS": "E"}, r'COORDSYS is E, ecliptic; rotate.*coord=\["E", "C"\]'),
        ({"COORDSYS": "ECLIPTIC"}, "ecliptic"),
        ({"COORDSYS": "S"}, "COORDSYS is S, which is not known"),
        ({"COORDSYS": None, "RADESYS": "FK4"}, "B1950"),
        ({"EQUINOX": 1950.0}, "B1950"),
        ({"EQUINOX": "B1950"}, "B1950"),
        ({"NSIDE": "sixteen"}, "NSIDE is 'sixteen'; it must be a whole number"),
        ({"NSIDE": 16.5}, "NSIDE is 16.5"),
        ({"NSIDE": True}, "NSIDE is True"),
        ({"TUNIT2": "%"}, "TUNIT of SIGNAL = '%' says that the map is in per cent"),
        ({"TUNIT2": "mK"}, "in mK"),
    ],
)
def test_headers_that_contradict_are_refused(tmp_path: Path, words: dict[str, Any], message: str) -> None:
    path = partial(tmp_path / "a.fits", extra=words)
    with pytest.raises(UserError, match=message) as caught:
        read_healpix(path)
    assert "a.fits" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [{"NSIDE": "16"}, {"NSIDE": 16.0}, {"EQUINOX": 2000.0}, {"RADESYS": "FK5"}])
def test_harmless_forms_are_read(tmp_path: Path, words: dict[str, Any]) -> None:
    assert read_healpix(partial(tmp_path / "a.fits", extra=words)).shape == (1, 12 * NSIDE**2)


@pytest.mark.parametrize("scheme", ["EXPLICIT", None])
@pytest.mark.parametrize("ordering", ["RING", "NESTED"])
@pytest.mark.parametrize("name", ["PIXEL", "hpix_16", "HEALPIX_ID", "ipix"])
def test_a_footprint_may_be_a_list_of_pixels(tmp_path: Path, name: str, ordering: str, scheme: str | None) -> None:
    mask = read_mask(table(tmp_path / "a.fits", {name: PIXELS}, INDXSCHM=scheme, ORDERING=ordering))
    expected = healpy.nest2ring(NSIDE, PIXELS) if ordering == "NESTED" else PIXELS
    assert np.flatnonzero(mask).tolist() == sorted(expected)


@pytest.mark.parametrize("scheme", ["EXPLICIT", None])
def test_pixel_numbers_are_found_by_name(tmp_path: Path, scheme: str | None) -> None:
    plain = read_healpix(partial(tmp_path / "a.fits"))
    values = np.linspace(-1, 1, len(PIXELS))
    path = table(tmp_path / "b.fits", {"SIGNAL": values, "PIXEL": PIXELS}, INDXSCHM=scheme)
    np.testing.assert_array_equal(read_healpix(path), plain)
    path = table(tmp_path / "c.fits", {"PIXEL": PIXELS.astype(float), "SIGNAL": values}, INDXSCHM=scheme)
    np.testing.assert_array_equal(read_healpix(path), plain)


def test_pixel_numbers_that_come_twice_must_agree(tmp_path: Path) -> None:
    twice, values = np.append(PIXELS, PIXELS[:3]), np.linspace(-1, 1, len(PIXELS))
    read_healpix(table(tmp_path / "a.fits", {"PIXEL": twice, "SIGNAL": np.append(values, values[:3])}))
    with pytest.raises(UserError, match=r"b.fits: \d pixel numbers are repeated with different values"):
        read_healpix(table(tmp_path / "b.fits", {"PIXEL": twice, "SIGNAL": np.append(values, values[3:6])}))
    with pytest.raises(UserError, match="c.fits: its column of pixel numbers holds 700.5"):
        read_healpix(table(tmp_path / "c.fits", {"PIXEL": PIXELS + 0.5, "SIGNAL": values}))


def test_one_table_of_several_is_named(tmp_path: Path) -> None:
    whole = np.arange(12.0 * NSIDE**2)
    one, two = (fits.open(table(tmp_path / f"{i}.fits", {"T": whole + i}, INDXSCHM="IMPLICIT"))[1] for i in (1, 2))
    one.name, two.name = "NOISE", "KAPPA"
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="X"), two]).writeto(path)
    np.testing.assert_array_equal(read_healpix(path)[0], whole + 2)
    fits.HDUList([fits.PrimaryHDU(), one, two]).writeto(path, overwrite=True)
    with pytest.raises(UserError, match=r"a.fits: holds 2 tables \(HDUs 1 NOISE, 2 KAPPA\); say which, e.g. "):
        read_healpix(path)
    for key, added in (("NOISE", 1), ("kappa", 2), ("2", 2)):
        np.testing.assert_array_equal(read_healpix(f"{path}[{key}]")[0], whole + added)
    with pytest.raises(UserError, match=r"a.fits: \[0\] is none of its tables"):
        read_healpix(f"{path}[0]")


def test_only_fits_tells_the_ordering(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(12 * NSIDE**2))
    with pytest.raises(UserError, match="a.npy: neither a FITS nor a HealSparse file .* state their ordering"):
        read_healpix(tmp_path / "a.npy")


def wcs(step: float = 2 / 60, **words: Any) -> fits.Header:
    """Header of a tangent plane with pixels of `step` degrees, and other words; None takes one out."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": -30.0})
    header.update({"CDELT1": -step, "CDELT2": step})
    for key, value in words.items():
        if value is None:
            header.remove(key)
        else:
            header[key] = value
    return header


NO_STEP: dict[str, Any] = {"CDELT1": None, "CDELT2": None}
TURNED = {"CD1_1": -0.0266667, "CD1_2": 0.02, "CD2_1": 0.02, "CD2_2": 0.0266667}  # 2 arcmin, by 37 degrees
PLAIN: dict[str, Any] = {"CTYPE1": None, "CTYPE2": None}
ARCMIN = {"CUNIT1": "arcmin", "CUNIT2": "arcmin"}


@pytest.mark.parametrize(
    ("header", "arcmin"),
    [
        (wcs(), 2.0),
        (wcs(5 / 60), 5.0),
        (wcs(**NO_STEP, **TURNED), 2.0),
        (wcs(120.0, CUNIT1="arcsec", CUNIT2="arcsec"), 2.0),
        (wcs(5.0, **PLAIN, **ARCMIN), 5.0),
        (wcs(1.0, **PLAIN), None),
        (wcs(1.0, **PLAIN, CUNIT1="Mpc", CUNIT2="Mpc"), None),
        (wcs(**NO_STEP), None),
        (fits.Header(), None),
    ],
)
def test_headers_tell_pixels(header: fits.Header, arcmin: float | None) -> None:
    found = headers.pixel_arcmin("a.fits", header)
    assert found is None if arcmin is None else found == pytest.approx(arcmin, rel=1e-4)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (wcs(5 / 60), "header says pixels of 5 arcmin, but real.pixel_arcmin=2"),
        (wcs(CDELT2=3 / 60), "pixels of 2 x 3 arcmin"),
        (wcs(BUNIT="%"), "BUNIT = '%' says that the map is in per cent"),
        (wcs(BUNIT="K"), "is in K"),
        (wcs(BUNIT="kappa"), None),
        (wcs(BUNIT=""), None),
        (wcs(BUNIT="1"), None),
        (wcs(**NO_STEP, **TURNED), None),
    ],
)
def test_flat_maps_must_be_what_their_headers_say(
    tmp_path: Path, config: Callable[..., Config], header: fits.Header, message: str | None
) -> None:
    maps = np.random.default_rng(0).normal(0, 0.0258, (64, 96)).astype(np.float32)
    path = str(tmp_path / "kappa.fits")
    fits.PrimaryHDU(maps, header).writeto(path)
    keys = {"data.size": 32, "lensing.survey": "hsc_y3_fair", "lensing.mask": "none", "model.spectrum_bins": 6}
    own = {"real.source": "array", "real.path": path, "real.pixel_arcmin": 2.0, "evaluate.spectrum_bins": 6}
    if message is None:
        assert len(fetch(config(keys | own)).maps) == 6
        return
    with pytest.raises(UserError, match=message) as caught:
        fetch(config(keys | own))
    assert "kappa.fits" in str(caught.value) and "\n" not in str(caught.value)


def test_maps_and_mask_must_lie_on_one_grid(tmp_path: Path, config: Callable[..., Config]) -> None:
    maps = np.random.default_rng(0).normal(0, 0.0258, (64, 96)).astype(np.float32)
    grid = {"CRPIX1": 48.0, "CRPIX2": 32.0}
    fits.PrimaryHDU(maps, wcs(**grid)).writeto(tmp_path / "kappa.fits")
    keys = {"data.size": 32, "lensing.survey": "hsc_y3_fair", "lensing.mask": "none", "model.spectrum_bins": 6}
    own = {"real.source": "array", "real.path": str(tmp_path / "kappa.fits"), "real.pixel_arcmin": 2.0}
    cfg = config(keys | own | {"evaluate.spectrum_bins": 6, "real.mask": str(tmp_path / "mask.fits")})
    for header, good in (
        (wcs(**grid), True),
        (fits.Header(), True),
        (wcs(**grid, CRVAL1=10.01), True),
        (wcs(**grid, CRVAL1=11.0), False),
        (wcs(**grid, CDELT1=2 / 60), False),  # mirrored
        (wcs(CRPIX1=10.0, CRPIX2=32.0), False),
    ):
        fits.PrimaryHDU(np.ones((64, 96), np.uint8), header).writeto(tmp_path / "mask.fits", overwrite=True)
        if good:
            assert len(fetch(cfg).maps) == 6
        else:
            with pytest.raises(UserError, match=r"mask.fits: header puts its pixels up to .* away from .*kappa.fits"):
                fetch(cfg)

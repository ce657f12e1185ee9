"""Patches of HEALPix maps: places, masks, noise, errors; the reader of HEALPix files."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cosmokeras.common.errors import UserError
from cosmokeras.readers.healpix import open_healpix, read_healpix
from cosmokeras.sky.patches import cut_patches
from cosmokeras.sky.pixels import healpix_side, pixel_window

NSIDE = 64
NPIX = healpy.nside2npix(NSIDE)
ALL = np.ones(NPIX, dtype=bool)


def tangent(ra: float, dec: float, size: int, pixel_arcmin: float) -> WCS:
    """The same projection by astropy: rows to the north, columns to the west."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-pixel_arcmin / 60, pixel_arcmin / 60]
    return wcs


def sky(nside: int = NSIDE) -> tuple[np.ndarray, np.ndarray]:
    return healpy.pix2ang(nside, np.arange(healpy.nside2npix(nside)), lonlat=True)


def cap(ra: float, dec: float, radius: float, nside: int = NSIDE) -> np.ndarray:
    mask = np.zeros(healpy.nside2npix(nside), dtype=bool)
    mask[healpy.query_disc(nside, healpy.ang2vec(ra, dec, lonlat=True), np.radians(radius))] = True
    return mask


@pytest.mark.parametrize("centre", [(3.0, 0.0), (120.0, -55.0), (359.0, 70.0)])
def test_a_smooth_function_is_recovered_in_place(centre):
    ra, dec = sky(256)
    size, pixel = 16, 30.0

    def smooth(ra, dec):
        x, y, z = healpy.ang2vec(ra, dec, lonlat=True).T
        return 1.0 + x + 0.5 * y * z + 0.3 * z

    patches = cut_patches(np.stack([smooth(ra, dec), dec]), cap(*centre, 20.0, 256), size, pixel)
    assert len(patches.maps) >= 2
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    for one, covered, a, d in zip(*patches, strict=True):
        world_ra, world_dec = tangent(a, d, size, pixel).pixel_to_world_values(columns, rows)
        used = covered == 1.0  # a half-covered pixel is a mean over its observed half
        # NSIDE 256 pixels are 14 arcmin: each sub-point is off by up to 0.16 deg, their mean by far less
        np.testing.assert_allclose(one[..., 0][used], smooth(world_ra, world_dec)[used], atol=2e-3)
        np.testing.assert_allclose(one[..., 1][used], world_dec[used], atol=0.12)
        assert (np.diff(one[4:12, 4:12, 1], axis=0) > 0).all(), "rows must grow to the north"


def test_a_point_source_lands_where_astropy_puts_it():
    ra, dec = sky(512)
    source = healpy.ang2pix(512, 41.3, -33.7, lonlat=True)
    one = np.zeros(ra.size)
    one[source] = 1.0
    size, pixel = 48, 10.0
    patches = cut_patches(one, cap(41.0, -33.0, 14.0, 512), size, pixel, max_masked=0.3)
    hit = np.unravel_index(patches.maps.argmax(), patches.maps.shape)
    wcs = tangent(patches.ra[hit[0]], patches.dec[hit[0]], size, pixel)
    column, row = wcs.world_to_pixel_values(ra[source], dec[source])
    assert abs(hit[1] - row) <= 1 and abs(hit[2] - column) <= 1
    assert np.count_nonzero(patches.maps) <= 9


@pytest.mark.parametrize(("size", "pixel"), [(16, 40.0), (15, 100.0), (8, 60.0)])
def test_patches_never_overlap_and_tile_the_sphere(size, pixel):
    patches = cut_patches(np.zeros(NPIX), ALL, size, pixel)
    points = np.random.default_rng(0).normal(size=(3, 20_000))
    points /= np.linalg.norm(points, axis=0)
    a, d = np.radians(patches.ra), np.radians(patches.dec)
    centre = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=1)
    depth = centre @ points
    half = np.radians(size * pixel / 60) / 2
    inside = depth > 0
    for axis in (east, np.cross(centre, east)):
        inside &= np.abs(axis @ points) <= half * depth * (1 - 1e-9)
    assert inside.sum(axis=0).max() == 1
    assert inside.any(axis=0).mean() > (0.75 if size * pixel > 1000 else 0.88)


def test_a_field_across_ra_zero_is_not_split():
    mask = cap(0.0, -40.0, 4.0)
    patches = cut_patches(np.ones(NPIX), mask, 10, 24.0, max_masked=0.1)
    assert len(patches.maps) >= 1
    assert min(patches.ra.min(), 360 - patches.ra.max()) < 4


def test_masked_values_never_enter():
    mask = cap(50.0, -30.0, 12.0, 128)
    holes = mask & (np.random.default_rng(1).random(mask.size) < 0.1)
    one = np.where(mask & ~holes, 2.0, np.nan)
    one[holes] = healpy.UNSEEN
    patches = cut_patches(one, mask & ~holes, 12, 30.0, max_masked=0.2)
    assert len(patches.maps) >= 2
    used = patches.coverage >= 0.5
    assert (patches.maps[..., 0][used] == 2.0).all()
    assert (patches.maps[..., 0][~used] == 0.0).all()
    assert ((patches.coverage * 16) % 1 == 0).all()
    assert patches.coverage.mean() == pytest.approx(0.9, abs=0.06)
    masked = (~used).mean(axis=(1, 2))
    assert masked.max() <= 0.2
    assert masked.max() > 0, "the test must have masked pixels to say anything"


def test_max_masked_selects():
    mask = cap(200.0, 20.0, 9.0)
    number = [len(cut_patches(np.ones(NPIX), mask, 8, 40.0, m).maps) for m in (0.0, 0.3, 1.0)]
    assert number[0] < number[2] and number[0] <= number[1] <= number[2]
    # a mask too small for any patch is no error here: the caller says what to do about it
    assert cut_patches(np.ones(NPIX), cap(0, 0, 3.0), 12, 60.0, 0.0).maps.shape == (0, 12, 12, 1)


def test_tiling_depends_on_the_mask_alone():
    mask = cap(10.0, 0.0, 25.0)
    one, other = (cut_patches(np.random.default_rng(s).normal(size=(s + 1, NPIX)), mask, 8, 60.0) for s in (0, 1))
    np.testing.assert_array_equal(one.ra, other.ra)
    np.testing.assert_array_equal(one.coverage, other.coverage)
    assert other.maps.shape[-1] == 2 and one.maps.dtype == np.float32


def test_noise_power_is_that_of_the_pixel_windows():
    """White noise per HEALPix pixel has C_ell = sigma^2 Omega, times the windows of both pixels (10 deg patches)."""
    nside, size, pixel = 128, 20, 30.0
    noise = np.random.default_rng(2).normal(size=(3, healpy.nside2npix(nside)))
    patches = cut_patches(noise, np.ones(noise.shape[1], bool), size, pixel)
    side = np.radians(pixel / 60)
    maps = patches.maps - patches.maps.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2).mean(axis=(0, 3)) * side**2 / size**2
    k = np.fft.fftfreq(size, side) * 2 * np.pi
    white = 4 * np.pi / noise.shape[1]

    def windows(ell):
        # the mean over 4 x 4 sub-points is the mean over the pixel without the window of a sub-pixel: the sub-points
        # pick values of the HEALPix map, they do not average it
        flat = pixel_window(ell, side) / pixel_window(ell, side / 4)
        return pixel_window(ell, healpix_side(nside)) ** 2 * flat**2

    # sampling folds higher frequencies back: sum over the aliases
    fold = 2 * np.pi / side * np.arange(-2, 3)
    expected = white * sum(windows(np.hypot(k[:, None] + x, k[None, :] + y)) for x in fold for y in fold)
    ell = np.hypot(k[:, None], k[None, :])
    for low, high in [(60, 160), (160, 260), (260, 360)]:
        ring = (ell >= low) & (ell < high)
        assert power[ring].mean() == pytest.approx(expected[ring].mean(), rel=0.035)
    assert power[ell > 260].mean() < 0.6 * white, "without windows the prediction must fail"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones(healpy.nside2npix(32), bool)}, "mask has NSIDE 32, the map has NSIDE 64"),
        ({"healpix_map": np.zeros(NPIX - 1)}, "not HEALPix"),
        ({"mask": np.ones(NPIX + 1, bool)}, "not HEALPix"),
        ({"mask": np.ones((2, NPIX), bool)}, "not HEALPix"),
        ({"mask": np.zeros(NPIX, bool)}, "empty"),
        ({"mask": np.full(NPIX, 0.3)}, "True/False"),
        ({"size": 64, "pixel_arcmin": 40.0}, "larger than the sphere"),
        ({"size": 0}, "size=0"),
        ({"max_masked": 1.2}, "max_masked=1.2"),
        ({"max_masked": -0.1}, "max_masked=-0.1"),
    ],
)
def test_errors_are_one_line(change, message):
    arguments = {"healpix_map": np.zeros(NPIX), "mask": ALL, "size": 8, "pixel_arcmin": 60.0, "max_masked": 0.1}
    with pytest.raises(UserError, match=message) as error:
        cut_patches(**{**arguments, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, healpy.UNSEEN])
def test_bad_pixels_inside_the_mask_are_refused(value):
    one = np.zeros((2, NPIX))
    one[1, 1234] = value
    with pytest.raises(UserError, match="NaN or UNSEEN in 1 pixels inside the mask .first: pixel 1234"):
        cut_patches(one, ALL, 8, 60.0)
    mask = ALL.copy()
    mask[1234] = False
    cut_patches(one, mask, 8, 60.0)


@pytest.mark.parametrize("nest", [False, True])
@pytest.mark.parametrize("partial", [False, True])
def test_read_healpix_gives_ring(tmp_path, nest, partial):
    ring = np.random.default_rng(3).normal(size=(2, NPIX)).astype(np.float32)
    if partial:
        ring[:, ~cap(0, 90, 30.0)] = healpy.UNSEEN
    stored = healpy.reorder(ring, r2n=True) if nest else ring
    path = tmp_path / "map.fits"
    healpy.write_map(path, stored, nest=nest, partial=partial, coord="C", dtype=np.float32, column_names=["A", "B"])
    np.testing.assert_array_equal(read_healpix(path), ring)
    np.testing.assert_array_equal(read_healpix(path, fields="B"), ring[1:])
    np.testing.assert_array_equal(read_healpix(path, fields=(1, 0)), ring[::-1])
    some = np.random.default_rng(4).choice(NPIX, 1000)
    found = open_healpix(path).at(some)
    np.testing.assert_array_equal(found, ring[:, some])
    assert found.dtype == np.float32 and found.dtype.isnative
    for wrong in ("C", 2):
        with pytest.raises(UserError, match="it has A, B"):
            read_healpix(path, fields=wrong)


def test_read_healpix_keeps_logical_masks(tmp_path):
    mask = cap(10, 10, 30.0)
    column = fits.Column(name="T", format="1024L", array=mask.reshape(-1, 1024))
    table = fits.BinTableHDU.from_columns([column])
    table.header.update({"ORDERING": "RING", "NSIDE": NSIDE})
    table.writeto(tmp_path / "mask.fits")
    read = read_healpix(tmp_path / "mask.fits")
    assert read.dtype == bool
    np.testing.assert_array_equal(read[0], mask)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ORDERING", None, "ORDERING is missing"),
        ("ORDERING", "SPIRAL", "ORDERING is spiral"),
        ("NSIDE", 32, "NSIDE 32"),
        ("COORDSYS", "G", "COORDSYS is G"),
    ],
)
def test_read_healpix_refuses_bad_headers(tmp_path, key, value, message):
    path = tmp_path / "bad.fits"
    healpy.write_map(path, np.zeros(NPIX), coord="C", dtype=np.float64)
    with fits.open(path, mode="update") as file:
        if value is None:
            del file[1].header[key]
        else:
            file[1].header[key] = value
    with pytest.raises(UserError, match=message) as error:
        read_healpix(path)
    assert "bad.fits" in str(error.value) and "\n" not in str(error.value)


def test_read_healpix_refuses_what_is_no_map(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_healpix(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("not FITS")
    with pytest.raises(UserError, match="text.fits: not a readable FITS"):
        read_healpix(tmp_path / "text.fits")
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(UserError, match="not a table"):
        read_healpix(tmp_path / "image.fits")
    index, value = (fits.Column(name=n, format="1J", array=[0, 10**6]) for n in ("PIXEL", "V"))
    table = fits.BinTableHDU.from_columns([index, value])
    table.header.update({"ORDERING": "RING", "NSIDE": 8, "INDXSCHM": "EXPLICIT"})
    table.writeto(tmp_path / "outside.fits")
    with pytest.raises(UserError, match="do not fit NSIDE 8"):
        read_healpix(tmp_path / "outside.fits")

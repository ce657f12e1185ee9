"""Footprints: the invented one of mock skies, and masks made from a true one."""

from __future__ import annotations

import os
from pathlib import Path

import healpy as hp
import numpy as np
import pytest

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.observation.masks import survey_masks
from cosmokeras.project import load_params
from cosmokeras.sky.footprint import HOLE_FRACTION, des_like_footprint, write_masks
from cosmokeras.sky.patches import MARGIN
from cosmokeras.surveys import cut_patches
from cosmokeras.surveys.footprint import main
from cosmokeras.surveys.healpix_files import read_mask

ROOT = Path(__file__).parents[2]


def test_the_footprint_has_the_area_of_des_and_three_percent_of_holes() -> None:
    nside = 512
    whole = des_like_footprint(nside, np.random.default_rng(1), hole_fraction=0.0)
    holed = des_like_footprint(nside, np.random.default_rng(1))
    area = np.degrees(np.degrees(hp.nside2pixarea(nside))) * np.count_nonzero(whole)
    assert 4000 < area < 5000
    assert not (holed & ~whole).any()
    assert 1 - holed.sum() / whole.sum() == pytest.approx(HOLE_FRACTION, abs=0.004)
    ra, dec = hp.pix2ang(nside, np.flatnonzero(whole), lonlat=True)
    assert -67 < dec.min() < dec.max() < 8
    assert ((ra < 101) | (ra > 299)).all()


def write_cap(path: Path, nside: int = 64, radius: float = 40.0) -> np.ndarray:
    """A round footprint in a FITS file."""
    mask = np.zeros(hp.nside2npix(nside))
    mask[hp.query_disc(nside, hp.ang2vec(30.0, -40.0, lonlat=True), np.radians(radius))] = 1
    hp.write_map(path, mask, coord="C", dtype=np.int16)
    return mask.astype(bool)


def test_the_command_writes_masks_of_a_footprint_that_are_good_for_training(
    tmp_path: Path, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cap(tmp_path / "cap.fits")
    (params.parent / "masks").mkdir()
    out = params.parent / "masks" / "cap.npy"
    arguments = ["--healpix", str(tmp_path / "cap.fits"), "--size", "16", "--pixel", "60", "--number", "12"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "12 masks of 16^2 pixels" in capsys.readouterr().out
    masks = np.load(out)
    assert (masks.shape, masks.dtype) == ((12, 16 + 2 * MARGIN, 16 + 2 * MARGIN), np.float16)
    inner = masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert (inner < 0.5).mean(axis=(1, 2)).max() <= 0.1
    assert (inner < 0.5).any()
    assert (masks < 0.5).mean() > 2 * (inner < 0.5).mean(), "the surroundings may lie outside of the footprint"
    small = {"data.size": 16, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}
    cfg = load_params(params, {"lensing.mask": "masks/cap.npy", "lensing.pixel_arcmin": 60.0, **small})
    np.testing.assert_array_equal(survey_masks(cfg), inner.astype(np.float32))
    np.testing.assert_array_equal(survey_masks(cfg, MARGIN), masks.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--pixel": "100", "--size": "64"}, "at most 30 deg"),
        ({"--pixel": "60", "--size": "28"}, "too few patches of 28 x 60 arcmin"),
        ({"--healpix": "none.fits"}, "none.fits: no such file"),
        ({"--out": "masks.txt"}, "must end in .npy"),
        ({"--number": "0"}, "must be a whole number above 0"),
        ({"--pixel": "nan"}, "must be a number above 0"),
        ({"--max-masked": "2"}, "from 0 to 1"),
        ({"--out": "/proc/none/masks.npy"}, "cannot write"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], words: str
) -> None:
    write_cap(tmp_path / "cap.fits", radius=5.0, nside=16)
    options = {"--healpix": str(tmp_path / "cap.fits"), "--out": str(tmp_path / "out.npy"), "--number": "4"} | change
    with pytest.raises(SystemExit) as caught:
        cli.entry(lambda: main([part for pair in options.items() for part in pair]))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.npy").exists()


REAL_MASK = Path(os.environ.get("COSMOKERAS_REAL_DATA") or ROOT.parent / "shared/real") / "des_y3" / "DESY3_Mask.fits"


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_MASK.exists(), reason=f"no {REAL_MASK}; set COSMOKERAS_REAL_DATA to test the true footprint"
)
def test_the_true_footprint_of_des_holds_patches_and_gives_masks(tmp_path: Path) -> None:
    mask = read_mask(REAL_MASK)
    area = np.count_nonzero(mask) * hp.nside2pixarea(512, degrees=True)
    assert area == pytest.approx(4841, abs=1)
    patches = cut_patches(mask.astype(np.float32), mask, size=64, pixel_arcmin=4.7, max_masked=0.05)
    print(f"{len(patches.ra)} patches of 64 x 4.7 arcmin, {np.mean(patches.coverage < 0.5):.2%} masked")
    assert 90 < len(patches.ra) < 4841 / (64 * 4.7 / 60) ** 2
    masks = write_masks(tmp_path / "des.npy", mask, np.random.default_rng(0), number=32, pixel_arcmin=4.7)
    assert masks.shape == (32, 64 + 2 * MARGIN, 64 + 2 * MARGIN)
    assert 0.001 < np.mean(masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN] < 0.5) < 0.06
    np.testing.assert_array_equal(np.load(tmp_path / "des.npy"), masks)


@pytest.mark.slow
def test_depth_goes_with_the_masks(tmp_path: Path) -> None:
    """Noise of 1 in the north and 2 in the south: pixels of patches have one of the two, or between at the edge."""
    nside = 64
    dec = hp.pix2ang(nside, np.arange(12 * nside**2), lonlat=True)[1]
    hp.write_map(tmp_path / "mask.fits", (np.abs(dec) < 60).astype(np.float32), coord="C")
    hp.write_map(tmp_path / "noise.fits", np.where(dec > 0, 1.0, 2.0), coord="C", dtype=np.float64)
    out = tmp_path / "deep.npz"
    given = ["--healpix", str(tmp_path / "mask.fits"), "--noise", str(tmp_path / "noise.fits"), "--out", str(out)]
    main([*given, "--size", "16", "--pixel", "60", "--number", "20"])
    with np.load(out) as both:
        coverage, noise = both["coverage"], both["noise"]
    assert coverage.shape == noise.shape == (20, 16 + 2 * MARGIN, 16 + 2 * MARGIN)
    seen = noise[coverage > 0]
    assert seen.min() == pytest.approx(1) and seen.max() == pytest.approx(2)
    whole = np.isclose(seen, 1, atol=1e-3) | np.isclose(seen, 2, atol=1e-3)
    assert 0.8 < whole.mean() < 1
    assert (noise[coverage == 0] == 1).all()


@pytest.mark.parametrize(
    ("noise", "coord", "line"),
    [
        (np.zeros(12 * 16**2), "C", "not above 0 in 3072 observed pixels"),
        (np.ones(12), "C", "has NSIDE 1"),
        (np.full(12 * 16**2, 0.02), "C", "0.02 in most observed pixels; .* divide it by that"),
        (np.ones(12 * 16**2), "G", "COORDSYS is G, galactic; rotate"),
    ],
)
def test_depth_that_cannot_be_right(tmp_path: Path, noise: np.ndarray, coord: str, line: str) -> None:
    hp.write_map(tmp_path / "mask.fits", np.ones(12 * 16**2, np.float32), coord="C")
    hp.write_map(tmp_path / "noise.fits", noise, coord=coord, dtype=np.float64)
    given = ["--healpix", str(tmp_path / "mask.fits"), "--noise", str(tmp_path / "noise.fits")]
    with pytest.raises(UserError, match=line):
        main([*given, "--out", str(tmp_path / "deep.npz")])
    assert not (tmp_path / "deep.npz").exists()

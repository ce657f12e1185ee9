"""Your own flat maps: what is read as it stands, how it is cut, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from cosmokeras.common.errors import UserError
from cosmokeras.observation.observer import noise_sigma
from cosmokeras.params.config import Config
from cosmokeras.sky.tiles import greedy_corners, masked_fraction
from cosmokeras.surveys import RealSky, fetch, image_files
from tests.shared import Program

ROOT = Path(__file__).parents[3]


def field(cfg: Config, *shape: int, seed: int = 0) -> np.ndarray:
    """Noise of the survey's own size, (*shape, bins) float32."""
    white = np.random.default_rng(seed).standard_normal((*shape, cfg.channels))
    return (white * noise_sigma(cfg)).astype(np.float32)


def save(path: Path, array: np.ndarray) -> str:
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        fits.PrimaryHDU(array).writeto(path)
    return str(path)


@pytest.fixture
def load(config: Callable[..., Config]) -> Callable[..., RealSky]:
    """The sky of the default survey (four bins, 64 pixels of 5 arcmin) from `path`, with other keys of `real`."""

    def run(path: Any, overrides: dict[str, Any] | None = None, **real: Any) -> RealSky:
        keys = {"path": path, "pixel_arcmin": 5.0, **real}
        return fetch(config({"real.source": "array"} | {f"real.{k}": v for k, v in keys.items()} | (overrides or {})))

    return run


@pytest.mark.parametrize("suffix", [".npy", ".fits"])
def test_a_map_comes_out_as_it_went_in(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky], suffix: str
) -> None:
    maps = field(lensing, 64, 64)
    sky = load(save(tmp_path / f"kappa{suffix}", maps))
    assert sky.maps.dtype == np.float32 and sky.maps.dtype.isnative
    np.testing.assert_array_equal(sky.maps, maps[None])
    assert (sky.coverage == 1).all() and np.isnan(sky.ra).all() and sky.truth is None
    assert list(sky.provenance["files"]) == [str(tmp_path / f"kappa{suffix}")]


def test_several_maps_a_list_of_bins_and_one_file_are_the_same(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky]
) -> None:
    maps = field(lensing, 3, 64, 64)
    whole = load(save(tmp_path / "all.npy", maps))
    bins = [save(tmp_path / f"bin{b}.npy", maps[..., b]) for b in range(4)]
    np.testing.assert_array_equal(whole.maps, maps)
    np.testing.assert_array_equal(load(bins).maps, maps)
    one = [save(tmp_path / f"one{b}.fits", maps[0, ..., b]) for b in range(4)]
    np.testing.assert_array_equal(load(one).maps, maps[:1])


def test_one_bin_needs_no_axis_for_it(tmp_path: Path, config: Callable[..., Config]) -> None:
    keys = {"lensing.survey": "hsc_y3_fair", "real.source": "array", "real.pixel_arcmin": 2.0, "lensing.mask": "none"}
    maps = field(config(keys | {"real.path": "none"}), 64, 64)
    sky = fetch(config(keys | {"real.path": save(tmp_path / "kappa.npy", maps[..., 0])}))
    np.testing.assert_array_equal(sky.maps, maps[None])


def test_large_maps_are_cut_in_rows_and_masked_tiles_dropped(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky]
) -> None:
    maps, mask = field(lensing, 150, 200), np.ones((150, 200))
    mask[:64, 64:96] = 0  # half of the second tile
    mask[64:68, :64] = 0  # a sixteenth of the fourth
    maps[mask == 0] = np.nan
    sky = load(save(tmp_path / "kappa.npy", maps), mask=save(tmp_path / "mask.fits", mask.astype(np.uint8)))
    corners = [tuple(one) for number, *one in sky.provenance["corners"]]
    assert len(corners) == 5 and len({y for y, _ in corners}) == 2
    expected = np.stack([np.nan_to_num(maps[y : y + 64, x : x + 64]) for y, x in corners])
    np.testing.assert_array_equal(sky.maps, expected)
    np.testing.assert_array_equal(sky.coverage, np.stack([mask[y : y + 64, x : x + 64] for y, x in corners]))
    assert sky.coverage.mean() > 0.99, "the second row begins below the hole, not on the grid"
    allowed = load(str(tmp_path / "kappa.npy"), mask=str(tmp_path / "mask.fits"), max_masked=0.5)
    assert len(allowed.maps) == 6
    with pytest.raises(UserError, match="no patch is left"):
        load(save(tmp_path / "one.npy", maps[:64, 64:128]), mask=save(tmp_path / "half.npy", mask[:64, 64:128]))


def test_a_mask_for_each_map(tmp_path: Path, lensing: Config, load: Callable[..., RealSky]) -> None:
    mask = np.ones((2, 64, 64), bool)
    mask[1, :5] = False
    maps = field(lensing, 2, 64, 64)
    sky = load(save(tmp_path / "kappa.npy", maps), mask=save(tmp_path / "mask.npy", mask))
    np.testing.assert_array_equal(sky.coverage, mask)
    np.testing.assert_array_equal(sky.maps, maps * mask[..., None])


def test_an_image_in_an_extension_is_found(tmp_path: Path, lensing: Config, load: Callable[..., RealSky]) -> None:
    maps = field(lensing, 64, 64)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(maps)]).writeto(tmp_path / "kappa.fits")
    np.testing.assert_array_equal(load(str(tmp_path / "kappa.fits")).maps, maps[None])


def spoil(maps: np.ndarray, value: float) -> np.ndarray:
    out = maps.copy()
    out[5, 7, 2] = value
    return out


ARRAYS = {
    "nan": (lambda m: spoil(m, np.nan), "1 pixels inside the mask are NaN or missing"),
    "infinite": (lambda m: spoil(m, np.inf), "NaN or missing"),
    "unseen": (lambda m: spoil(m, -1.6375e30), "NaN or missing"),
    "channels": (lambda m: m[..., :3], "has 3 channels, but 4 are needed"),
    "bins first": (lambda m: np.moveaxis(m, -1, 0), r"numpy.moveaxis\(maps, 0, -1\)"),
    "one dimension": (lambda m: m.ravel(), r"must be \(h, w\)"),
    "bytes": (lambda m: (m * 100).astype(np.uint8), "holds uint8"),
    "signed bytes": (lambda m: (m * 100).astype(np.int8), "holds int8"),
    "complex": (lambda m: m.astype(complex), "plain numbers"),
    "text": (lambda m: np.full(m.shape, "0.01"), "plain numbers"),
    "objects": (lambda m: np.array([m, None], dtype=object), "Object arrays cannot be loaded"),
    "per cent": (lambda m: 100 * m, "bin 1 has an rms of .*not in per cent"),
    "no noise": (lambda m: m / 10, "bin 1 has an rms of"),
    "zero": (lambda m: 0 * m, "16384 of 16384 observed pixels are exactly 0"),
    "small": (lambda m: m[:50], "50 x 64 pixels are smaller than data.size=64"),
    "nothing": (lambda m: m[:0], "empty array"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_maps_are_refused_in_a_line(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky], case: str
) -> None:
    change, message = ARRAYS[case]
    np.save(tmp_path / "kappa.npy", change(field(lensing, 64, 64)), allow_pickle=True)
    with pytest.raises(UserError, match=message) as caught:
        load(str(tmp_path / "kappa.npy"))
    assert "kappa.npy" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".fits"])
@pytest.mark.parametrize("damage", ["truncated", "header only", "text", "empty", "missing"])
def test_damaged_files_are_refused_in_a_line(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky], suffix: str, damage: str
) -> None:
    path = tmp_path / f"kappa{suffix}"
    save(path, field(lensing, 64, 64))
    content = path.read_bytes()
    cut = {"truncated": content[:-9000], "header only": content[:60], "text": b"ra dec kappa\n1 2 0.01\n", "empty": b""}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(cut[damage])
    with pytest.raises(UserError, match=r"damaged or no|no such file") as caught:
        load(str(path))
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_digest_of_a_file_that_is_gone_is_a_line_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"kappa.npy: cannot be read \(No such file.*check real.path") as caught:
        image_files.sha256("~/kappa.npy")
    assert "\n" not in str(caught.value)
    (tmp_path / "kappa.npy").write_bytes(b"abc")
    assert image_files.sha256("~/kappa.npy").startswith("ba7816bf")  # the first test vector of FIPS 180-2


def test_other_formats_and_tables_are_refused(tmp_path: Path, lensing: Config, load: Callable[..., RealSky]) -> None:
    (tmp_path / "kappa.txt").write_text("0.01\n")
    with pytest.raises(UserError, match="kappa.txt: neither .npy nor FITS"):
        load(str(tmp_path / "kappa.txt"))
    np.savez(tmp_path / "kappa.npz", field(lensing, 64, 64))
    (tmp_path / "kappa.npz").rename(tmp_path / "archive.npy")
    with pytest.raises(UserError, match="archive.npy: damaged or no .npy"):
        load(str(tmp_path / "archive.npy"))
    table = fits.BinTableHDU.from_columns([fits.Column("KAPPA", "E", array=np.zeros(12))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "healpix.fits")
    with pytest.raises(UserError, match="healpix.fits: a FITS file without an image"):
        load(str(tmp_path / "healpix.fits"))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((64, 64)), "the mask is empty"),
        (np.ones((64, 60)), r"a mask of \(64, 60\)"),
        (np.ones((2, 64, 64)), r"a mask of \(2, 64, 64\)"),
        (np.full((64, 64), 2.0), "must be 1 where observed"),
        (np.full((64, 64), np.nan), "must be 1 where observed"),
        (np.full((64, 64), -1.0), "must be 1 where observed"),
    ],
)
def test_bad_masks_are_refused_in_a_line(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky], mask: np.ndarray, message: str
) -> None:
    path = save(tmp_path / "kappa.npy", field(lensing, 64, 64))
    with pytest.raises(UserError, match=message) as caught:
        load(path, mask=save(tmp_path / "holes.npy", mask))
    assert "holes.npy" in str(caught.value) and "\n" not in str(caught.value)


def test_pixels_must_be_told_and_be_those_of_the_network(
    tmp_path: Path, lensing: Config, load: Callable[..., RealSky]
) -> None:
    path = save(tmp_path / "kappa.npy", field(lensing, 64, 64))
    with pytest.raises(UserError, match="real.pixel_arcmin=null.*pixel side of your maps.*5.0"):
        load(path, pixel_arcmin=None)
    with pytest.raises(UserError, match=r"real.pixel_arcmin=5.1: .*lensing.pixel_arcmin=5.0"):
        load(path, pixel_arcmin=5.1)
    assert len(load(path, pixel_arcmin=5.04).maps) == 1


def test_lists_must_have_a_file_for_each_bin(tmp_path: Path, lensing: Config, load: Callable[..., RealSky]) -> None:
    maps = field(lensing, 64, 64)
    bins = [save(tmp_path / f"bin{b}.npy", maps[..., b]) for b in range(4)]
    with pytest.raises(UserError, match="a list of 3 files for 4 bins"):
        load(bins[:3])
    save(tmp_path / "bin2.npy", maps[:60, :, 2])
    with pytest.raises(UserError, match=r"bin2.npy: shape \(60, 64\), but .*bin0.npy has \(64, 64\)"):
        load(bins)
    save(tmp_path / "bin0.npy", maps)
    save(tmp_path / "bin1.npy", maps[None])
    with pytest.raises(UserError, match="bin1.npy.*a list in real.path holds"):
        load(bins)


def test_path_is_needed(config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match="real.path=null: real.source=array needs it"):
        config({"real.source": "array"})


@pytest.mark.parametrize("kind", ["grf", "2lpt"])
def test_periodic_maps_are_taken_whole(
    tmp_path: Path, tiny: dict[str, Any], load: Callable[..., RealSky], kind: str
) -> None:
    keys = tiny | {"data.kind": kind}
    maps = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 32, 32, 1)).astype(np.float32)
    maps -= maps.mean(axis=(1, 2, 3), keepdims=True)
    path = save(tmp_path / "maps.npy", maps)
    np.testing.assert_array_equal(load(path, keys, pixel_arcmin=None).maps, maps)
    with pytest.raises(UserError, match="maps.npy: maps of 32 x 32 pixels.*rebin them to data.size=64"):
        load(path, keys | {"data.size": 64})
    with pytest.raises(UserError, match="real.mask=holes.npy.*set it to null"):
        load(path, keys, mask="holes.npy")
    with pytest.raises(UserError, match="the same value in all pixels"):
        load(save(tmp_path / "flat.npy", 0 * maps), keys)
    if kind == "2lpt":
        with pytest.raises(UserError, match="a mean of 1, no density contrast"):
            load(save(tmp_path / "rho.npy", 1 + maps), keys)


def test_greedy_squares_do_not_overlap_and_are_good() -> None:
    mask = np.ones((150, 100), bool)
    mask[:7] = False
    mask[100:120, 50:] = False
    corners = greedy_corners(mask, 40, 0.1)
    seen = np.zeros(mask.shape, int)
    for y, x in corners:
        seen[y : y + 40, x : x + 40] += 1
        assert (~mask[y : y + 40, x : x + 40]).mean() <= 0.1
    assert seen.max() == 1 and len(corners) >= 5
    assert corners[0] == (3, 0), "four rows of forty may be masked"
    fractions = masked_fraction(mask, 40)
    assert fractions.shape == (111, 61)
    assert fractions[90, 30] == pytest.approx((~mask[90:130, 30:70]).mean())
    assert greedy_corners(mask, 40, 0.0)[0] == (7, 0)


@pytest.mark.parametrize("case", ["nan", "objects", "truncated"])
def test_the_stage_ends_with_a_line_and_writes_nothing(
    tmp_path: Path, params: Path, lensing: Config, program: Program, case: str
) -> None:
    path = tmp_path / "kappa.npy"
    maps = field(lensing, 64, 64)
    np.save(path, ARRAYS[case][0](maps) if case in ARRAYS else maps, allow_pickle=True)
    if case == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    raw = yaml.safe_load(params.read_text())
    raw["real"] |= {"source": "array", "path": "kappa.npy", "pixel_arcmin": 5.0}
    params.write_text(yaml.safe_dump(raw))
    before = {p for p in tmp_path.rglob("*") if "data" not in p.parts}
    ended = program(tmp_path, "stages.fetch_real", "--params", str(params))
    assert ended.code == 2, ended.err
    assert len(ended.said) == 1 and ended.said[0].startswith("error: kappa.npy: ")
    assert {p for p in tmp_path.rglob("*") if "data" not in p.parts} == before

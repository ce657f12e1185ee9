"""One's own HEALPix maps, on stand-ins at low resolution: what is read as it stands, what is refused in one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.checks import partial_sky
from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import load_survey
from cosmokeras.readers.healpix import read_healpix
from cosmokeras.simulators.sphere import peak_gb
from cosmokeras.surveys import healpix_checks
from cosmokeras.surveys.healpix_checks import check_grid
from cosmokeras.surveys.healpix_files import read_mask
from tests.shared import Program

healpy = pytest.importorskip("healpy", reason="healpy is not installed: sources of HEALPix maps are not tested")
from astropy.io import fits  # noqa: E402

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("nest", [False, True])
@pytest.mark.parametrize("separate", [False, True])
def test_own_maps_come_as_one_file_or_many_ring_or_nested(
    place: Any, maps: np.ndarray, mask: np.ndarray, nest: bool, separate: bool
) -> None:
    plain = place.own(maps, mask).fetch()
    assert plain.maps.shape[1:] == (place.size, place.size, 4)
    assert len(plain.maps) >= 3
    assert plain.observed is None, "nobody says"
    place.own(maps, mask, nest=nest)
    if separate:
        for number, one in enumerate(maps):
            place.write(f"bin{number}.fits", one, nest=nest)
        place.overrides["real.path"] = [f"bin{number}.fits" for number in range(4)]
    sky = place.fetch()
    np.testing.assert_array_equal(sky.maps, plain.maps)
    assert len(sky.provenance["files"]) == (5 if separate else 2)
    assert sky.provenance["warnings"] == []


def sparse(values: np.ndarray, pixels: np.ndarray, nside: int, path: Path, dtype: Any) -> None:
    """A HealSparse file of `values` in `pixels` (NESTED)."""
    healsparse = pytest.importorskip("healsparse")
    one = healsparse.HealSparseMap.make_empty(8, nside, dtype)
    one[pixels] = np.asarray(values, dtype)
    one.write(str(path), clobber=True)


@pytest.mark.parametrize("finer", [1, 4])
@pytest.mark.parametrize("dtype", [bool, np.int16])
def test_healsparse_files_are_those_of_fits(
    place: Any, maps: np.ndarray, mask: np.ndarray, finer: int, dtype: Any
) -> None:
    """Of a finer mask, pixels that it observes whole; zeros of an integer mask are not observed."""
    plain = place.own(maps, mask).fetch()
    seen = np.flatnonzero(mask)
    nested = healpy.ring2nest(place.nside, seen)
    for number, one in enumerate(maps):
        sparse(one[seen], nested, place.nside, place.root / f"bin{number}.hsp", np.float32)
    fine = (nested[:, None] * finer**2 + np.arange(finer**2)).ravel()
    values = np.ones(fine.size)
    if finer > 1:  # a pixel outside of the mask, observed in part: in the file, but not in the footprint
        outside = healpy.ring2nest(place.nside, np.flatnonzero(~mask)[:1]) * finer**2
        fine, values = np.append(fine, outside), np.append(values, 1)
    if dtype is not bool:
        beyond = healpy.ring2nest(place.nside, np.flatnonzero(~mask)[-1:]) * finer**2 + np.arange(finer**2)
        fine, values = np.append(fine, beyond), np.append(values, np.zeros(finer**2))
    sparse(values, fine, finer * place.nside, place.root / "seen.hsp", dtype)
    place.overrides |= {"real.path": [f"bin{number}.hsp" for number in range(4)], "real.mask": "seen.hsp"}
    sky = place.fetch()
    np.testing.assert_array_equal(sky.maps, plain.maps)
    np.testing.assert_array_equal(sky.coverage, plain.coverage)


def test_columns_and_bits_of_healsparse_files_are_read(tmp_path: Path) -> None:
    healsparse = pytest.importorskip("healsparse")
    dtype, pixels = [("bin1", "f4"), ("bin2", "f4")], np.array([3, 700])
    both = healsparse.HealSparseMap.make_empty(8, 32, dtype, primary="bin1")
    both[pixels] = np.array([(0.25, 1.0), (0.5, 2.0)], dtype)
    both.write(str(tmp_path / "both.hsp"))
    ring = healpy.nest2ring(32, pixels)
    read = read_healpix(tmp_path / "both.hsp")
    np.testing.assert_array_equal(read[:, ring], [[0.25, 0.5], [1.0, 2.0]])
    assert np.count_nonzero(read != np.float32(healpy.UNSEEN)) == 4
    np.testing.assert_array_equal(read_healpix(tmp_path / "both.hsp", "BIN2"), read[1:])
    with pytest.raises(UserError, match=r"no map 'bin3'; it has bin1, bin2 \(or 0 to 1\)"):
        read_healpix(tmp_path / "both.hsp", "bin3")
    bits = healsparse.HealSparseMap.make_empty(8, 32, healsparse.WIDE_MASK, wide_mask_maxbits=10)
    bits.set_bits_pix(pixels, [9])
    bits.write(str(tmp_path / "bits.hsp"))
    np.testing.assert_array_equal(np.flatnonzero(read_mask(tmp_path / "bits.hsp")), np.sort(ring))


@pytest.mark.parametrize(("bad", "words"), [
    ("cut", "not a readable HealSparse file, or cut short"), ("text", "not a readable HealSparse file"),
    ("missing", "no such file"), ("fractions", "a mask is 0 or 1 (observed), but it holds 0.5"),
    ("empty", "the mask is empty"),
])  # fmt: skip
def test_bad_healsparse_masks_are_one_line(tmp_path: Path, bad: str, words: str) -> None:
    path = tmp_path / "mask.hsp"
    pixels = np.arange(0 if bad == "empty" else 64)
    if bad != "missing":
        sparse(np.full(pixels.size, 0.5), pixels, 64, path, np.float32 if bad == "fractions" else bool)
    if bad == "cut":
        path.write_bytes(path.read_bytes()[:4000])
    elif bad == "text":
        path.write_text("no map")
    with pytest.raises(UserError, match=re.escape(words)) as error:
        read_mask(path, 32)
    assert "\n" not in str(error.value)


def test_a_fine_mask_is_read_without_its_full_sky(tmp_path: Path) -> None:
    """NSIDE 16384: 3.2 billion pixels, of which the file has 65,536."""
    pixels = np.arange(65_536)
    sparse(np.ones(pixels.size), pixels, 16_384, tmp_path / "mask.hsp", bool)
    before = peak_gb()
    seen = read_mask(tmp_path / "mask.hsp", 1024)
    assert np.count_nonzero(seen) == 256
    assert peak_gb() - before < 0.3


@pytest.mark.slow
def test_a_partial_sky_is_read_without_the_rest_of_it(tmp_path: Path) -> None:
    """NSIDE 4096: four full skies would be 3.2 GB; a hundredth of the sky is in the file, and all of it in patches."""
    partial_sky.write(tmp_path, 0.01)
    found = partial_sky.measured(tmp_path)
    assert found["gb"] < 0.9
    assert found["patches"] >= 5


def test_without_healsparse_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "healsparse", None)
    with pytest.raises(UserError, match=re.escape("healsparse is not installed: pip install 'cosmokeras[healsparse]'")):
        read_healpix(tmp_path / "map.hsp")


@pytest.mark.parametrize("kind", ["logical", "int16", "float64", "partial", "unseen"])
def test_masks_of_any_type_say_the_same(place: Any, maps: np.ndarray, mask: np.ndarray, kind: str) -> None:
    plain = place.own(maps, mask).fetch()
    path = place.root / "mask.fits"
    path.unlink()
    if kind == "logical":
        table = fits.BinTableHDU.from_columns([fits.Column(name="T", format="1024L", array=mask.reshape(-1, 1024))])
        table.header.update({"ORDERING": "RING", "NSIDE": place.nside})
        table.writeto(path)
    elif kind == "partial":
        healpy.write_map(path, np.where(mask, 1.0, healpy.UNSEEN), partial=True, coord="C", dtype=np.float64)
    else:
        stored = np.where(mask, 1.0, healpy.UNSEEN) if kind == "unseen" else mask.astype(kind)
        place.write("mask.fits", stored, dtype=np.float64 if kind == "unseen" else kind)
    np.testing.assert_array_equal(place.fetch().coverage, plain.coverage)


def test_what_lies_outside_the_mask_does_not_matter(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    plain = place.own(maps, mask).fetch()
    for value in (np.nan, healpy.UNSEEN, 7.0):
        filled = np.where(mask, maps, np.float32(value))
        np.testing.assert_array_equal(place.own(filled, mask).fetch().maps, plain.maps)


def _bad(place: Any, maps: np.ndarray, mask: np.ndarray, value: float) -> None:
    maps = maps.copy()
    maps[2, np.flatnonzero(mask)[:5]] = value
    place.write("maps.fits", maps)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# What is wrong with the input, and the words that the line must hold.
BAD: dict[str, tuple[Callable[[Any, np.ndarray, np.ndarray], Any], list[str]]] = {
    "another NSIDE": (
        lambda p, k, m: p.write("maps.fits", healpy.ud_grade(k, 32)),
        ["maps.fits", "NSIDE 32", "NSIDE 64", "des_y3", "nside: 32"],
    ),
    "mask of another NSIDE": (
        lambda p, k, m: p.write("mask.fits", healpy.ud_grade(m.astype(float), 32) > 0.9),
        ["mask.fits", "NSIDE 32", "NSIDE 64", "ud_grade"],
    ),
    "NaN inside the mask": (lambda p, k, m: _bad(p, k, m, np.nan), ["maps.fits", "map 3", "NaN", "5 of", "mask.fits"]),
    "UNSEEN inside the mask": (lambda p, k, m: _bad(p, k, m, healpy.UNSEEN), ["map 3", "UNSEEN", "5 of"]),
    "sentinel inside the mask": (lambda p, k, m: _bad(p, k, m, -1.6e30), ["map 3", "missing data", "5 of"]),
    "percent": (lambda p, k, m: p.write("maps.fits", 100 * k), ["maps.fits", "rms", "percent", "NSIDE 64"]),
    "one bin in other units": (
        lambda p, k, m: p.write("maps.fits", k * np.array([[1], [1], [40], [1]])),
        ["map 3 of 4", "rms"],
    ),
    "ellipticities": (
        lambda p, k, m: p.write("maps.fits", 0.26 * np.random.default_rng(1).standard_normal(k.shape) * m),
        ["rms", "ellipticities"],
    ),
    "smoothed": (
        lambda p, k, m: p.write("maps.fits", np.array([healpy.smoothing(one, sigma=0.03, iter=1) for one in k])),
        ["smoothed"],
    ),
    "a tenth": (lambda p, k, m: p.write("maps.fits", 0.1 * k), ["map 1 of 4", "rms", "rescaled"]),
    "integers": (
        lambda p, k, m: p.write("maps.fits", (1e5 * k).astype(np.int32), dtype=np.int32),
        ["maps.fits", "int32", "floats"],
    ),
    "too few bins": (
        lambda p, k, m: p.write("maps.fits", k[:3]),
        ["maps.fits", "3 maps", "4 bins", "real.path"],
    ),
    "cut short": (lambda p, k, m: _cut_short(p.root / "maps.fits"), ["maps.fits", "cut short", "get it again"]),
    "text named .fits": (
        lambda p, k, m: (p.root / "maps.fits").write_text("kappa\n0.1\n"),
        ["maps.fits", "not a readable FITS"],
    ),
    "no file": (lambda p, k, m: (p.root / "mask.fits").unlink(), ["mask.fits", "no such file"]),
    "empty mask": (lambda p, k, m: p.write("mask.fits", 0.0 * m), ["mask.fits", "empty"]),
    "mask of fractions": (lambda p, k, m: p.write("mask.fits", 0.4 * m), ["mask.fits", "0.4", "threshold"]),
    "mask with NaN": (lambda p, k, m: p.write("mask.fits", np.where(m, 1, np.nan)), ["mask.fits", "NaN"]),
    "mask of several columns": (lambda p, k, m: p.write("mask.fits", [m, m]), ["mask.fits", "2 columns"]),
    "mask all ones": (
        lambda p, k, m: p.write("mask.fits", np.ones(m.size)),
        ["mask.fits", "beyond the footprint"],
    ),
    "mask twice as large": (
        lambda p, k, m: p.write("mask.fits", m | (healpy.pix2vec(healpy.get_nside(m), np.arange(m.size))[2] > 0.87)),
        ["mask.fits", "beyond the footprint"],
    ),
    "mask inverted": (lambda p, k, m: p.write("mask.fits", ~m), ["100%", "mask is inverted"]),
    "mask too ragged": (
        lambda p, k, m: p.write("mask.fits", m & (np.random.default_rng(1).random(m.size) < 0.4)),
        ["mask.fits", "no patch", "real.max_masked"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line(place: Any, maps: np.ndarray, mask: np.ndarray, case: str) -> None:
    change, words = BAD[case]
    change(place.own(maps, mask), maps, mask)
    message = place.complaint()
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def test_an_ordering_that_the_header_does_not_name_is_refused(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    place.own(maps, mask)
    with fits.open(place.root / "maps.fits", mode="update") as file:
        del file[1].header["ORDERING"]
    assert "ORDERING is missing" in place.complaint()


def test_swapped_bins_are_warned_of(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    (warning,) = place.own(maps[[3, 1, 2, 0]], mask).fetch().provenance["warnings"]
    assert "another order" in warning
    assert "map 1 like bin 4" in warning


def test_bins_that_cannot_be_told_apart_are_not_warned_of() -> None:
    expected = np.array([1.0, 1.03, 1.25])
    assert healpix_checks.bins_out_of_order(expected[[1, 0, 2]], expected) is None
    assert healpix_checks.bins_out_of_order(0.6 * expected, expected) is None
    assert "map 3 like bin 1" in healpix_checks.bins_out_of_order(0.6 * expected[[2, 1, 0]], expected)


def test_less_noise_than_is_simulated_is_remarked_upon(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    (warning,) = place.own((0.5 * maps).astype(np.float32), mask).fetch().provenance["warnings"]
    assert "rms over the noise" in warning


def test_a_survey_that_is_not_made_for_healpix_is_refused(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    message = place.own(maps, mask).complaint(**{"lensing.survey": "kids_1000"})
    assert "made_from: shear" in message
    assert "nside" in message


@pytest.mark.parametrize(("key", "value"), [("real.path", None), ("real.mask", None)])
def test_keys_that_are_needed_are_named(place: Any, maps: np.ndarray, mask: np.ndarray, key: str, value: None) -> None:
    assert f"{key}=null" in place.own(maps, mask).complaint(**{key: value})


@pytest.mark.parametrize("case", [None, "percent", "mask of another NSIDE"])
def test_the_stage_stops_with_code_2_and_writes_nothing(
    place: Any, maps: np.ndarray, mask: np.ndarray, program: Program, case: str | None
) -> None:
    place.own(maps, mask)
    if case is not None:
        BAD[case][0](place, maps, mask)
    raw = yaml.safe_load((place.root / "params.yaml").read_text())
    for key, value in place.settings.items():
        section, name = key.split(".")
        raw[section][name] = value
    (place.root / "params.yaml").write_text(yaml.safe_dump(raw))
    ended = program(place.root, "stages.fetch_real", "--params", str(place.root / "params.yaml"))
    if case is None:
        assert ended.code == 0, ended.err
        assert (place.root / "outputs" / "real" / "patches.npz").exists()
        assert "bin_4_patch_scatter" in (place.root / "metrics" / "real.json").read_text()
        return
    assert ended.code == 2, ended.err
    assert len(ended.said) == 1 and ended.said[0].startswith("error: ")
    assert not (place.root / "outputs").exists()
    assert not (place.root / "metrics").exists()


@pytest.mark.parametrize("kind", [bool, int, np.float32, "UNSEEN"])
def test_the_advice_for_a_mask_of_another_nside_does_what_it_says(kind: Any) -> None:
    """1 where all of a pixel is observed: healpy alone takes any observed part of a logical mask for all of it."""
    fine = np.zeros(12 * 64**2)
    fine[healpy.nest2ring(64, np.arange(7))] = 1  # all of one coarse pixel and three quarters of the next
    mask = np.where(fine == 1, 1.0, healpy.UNSEEN) if kind == "UNSEEN" else fine.astype(kind)
    survey = load_survey("des_y3", ROOT / "data" / "surveys").model_copy(update={"nside": 32, "lmax": 64})
    with pytest.raises(UserError) as error:
        check_grid(32, "maps.fits", fine == 1, "mask.fits", survey)
    found = re.search(r"by (healpy\.ud_grade\(.*\) > 0\.999), 1 where all of a pixel is observed", str(error.value))
    assert found, error.value
    coarse = eval(found[1], {"healpy": healpy, "mask": mask})
    np.testing.assert_array_equal(np.flatnonzero(coarse), healpy.nest2ring(32, np.array([0])))
    if kind is bool:
        assert healpy.ud_grade(mask, 32).sum() == 2, "healpy as it is; were it otherwise, plain advice would do"


@pytest.mark.parametrize(("value", "stated"), [(0.0, "0"), (-99.0, "-99"), (-9999.0, "-9999")])
def test_pixels_without_data_are_refused_or_masked_by_request(
    place: Any, maps: np.ndarray, mask: np.ndarray, value: float, stated: str
) -> None:
    seen = np.flatnonzero(mask)
    holes = seen[np.random.default_rng(0).choice(len(seen), len(seen) // 50, replace=False)]
    spoiled, smaller = maps.copy(), mask.copy()
    spoiled[1:3, holes], smaller[holes] = value, False
    expected = place.own(maps, smaller).fetch()
    place.own(spoiled, mask)
    message = place.complaint()
    assert f"{len(holes)} of {len(seen)} observed pixels are exactly {stated}," in message or "rms" in message
    if value == 0:
        assert "map 2 of 4" in message and f"real.missing={stated} " in message
    place.overrides["real.missing"] = value
    sky = place.fetch()
    np.testing.assert_array_equal(sky.maps, expected.maps)
    np.testing.assert_array_equal(sky.coverage, expected.coverage)
    assert any("removed from the mask" in step for step in sky.provenance["steps"])
    assert any(" of the observed sky" in step for step in sky.provenance["steps"])


def test_what_the_user_says_of_own_maps_is_kept(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    place.own(maps, mask).overrides["real.truth"] = {"omega_m": 0.3}
    sky = place.fetch()
    assert sky.observed is False and sky.truth == {"omega_m": 0.3} and sky.provenance["kind"] == "simulated"


def test_a_mask_wider_than_the_noise_is_refused(place: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    """Beyond the footprint a transform leaks a little, so there are no zeros that give a wide mask away."""
    centre = healpy.pix2vec(place.nside, np.flatnonzero(mask)[mask.sum() // 2])
    leaked, wide = maps.copy(), mask.copy()
    hole = healpy.query_disc(place.nside, centre, np.radians(12))
    leaked[:, hole] *= 0.05
    place.own(leaked, wide)
    assert "hardly any noise" in place.complaint()
    wide[hole] = False
    place.own(leaked, wide).fetch()

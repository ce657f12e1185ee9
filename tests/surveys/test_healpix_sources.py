"""Sources of HEALPix maps, on stand-ins at low resolution that are SIMULATIONS under the names of the real files."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmokeras.config import Config, load_params
from cosmokeras.errors import UserError
from cosmokeras.files import sha256
from cosmokeras.surveys import RealSky, cut_patches, des_y3_shear, fetch, healpix_input
from cosmokeras.surveys.footprint import des_like_footprint
from cosmokeras.surveys.spherical_ks import shear_sphere

healpy = pytest.importorskip("healpy", reason="healpy is not installed: sources of HEALPix maps are not tested")
from astropy.io import fits  # noqa: E402

ROOT = Path(__file__).parents[2]
NSIDE = 64
NPIX = 12 * NSIDE**2
SIZE, PIXEL = 16, 60.0
SMALL = {
    "data.size": SIZE, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6, "lensing.mask": "none",
    "real.max_masked": 0.3,
}  # fmt: skip


@dataclass
class Place:
    """A folder with params.yaml, presets of NSIDE 64 and a mirror with a manifest."""

    root: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    def config(self, **overrides: Any) -> Config:
        return load_params(self.root / "params.yaml", SMALL | self.overrides | overrides)

    def fetch(self, **overrides: Any) -> RealSky:
        return fetch(self.config(**overrides))

    def complaint(self, **overrides: Any) -> str:
        with pytest.raises(UserError) as caught:
            self.fetch(**overrides)
        message = str(caught.value)
        assert "\n" not in message
        return message

    def publish(self) -> None:
        """Write the manifest of what lies in the mirror."""
        entry = {"url": "https://example.org/x", "licence": "a simulation", "citation": "none"}
        entry |= {"description": "a simulation"}
        files = {
            str(path.relative_to(self.mirror)): {
                **entry,
                "group": path.parent.name,
                "sha256": sha256(path),
                "bytes": path.stat().st_size,
            }
            for path in self.mirror.rglob("*.*")
        }
        (self.root / "data" / "manifest.yaml").write_text(yaml.safe_dump({"files": files}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    surveys = tmp_path / "data" / "surveys"
    surveys.mkdir(parents=True)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    for path in (ROOT / "data" / "surveys").glob("*.yaml"):
        preset = yaml.safe_load(path.read_text())
        if preset["made_from"] == "healpix":
            preset |= {"nside": NSIDE, "pixel_arcmin": PIXEL, "mask": None, "mock": None}
        (surveys / path.name).write_text(yaml.safe_dump(preset))
    (tmp_path / "mirror").mkdir()
    return Place(tmp_path)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    return des_like_footprint(NSIDE, np.random.default_rng(1), hole_fraction=0.0)


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """Skewed convergence, (4, npix), growing with the bin."""
    rng = np.random.default_rng(2)
    lmax = 2 * NSIDE
    alm = rng.standard_normal((2, healpy.Alm.getsize(lmax)))
    alm = healpy.almxfl(alm[0] + 1j * alm[1] * (healpy.Alm.getlm(lmax)[1] > 0), 1 / (np.arange(lmax + 1) + 5.0))
    field = healpy.alm2map(alm, NSIDE, lmax=lmax, pixwin=False)
    field = np.exp(0.7 * field / field.std())
    field = (field - field.mean()) / field.std()
    return np.array([0.001, 0.0015, 0.002, 0.0025])[:, None] * field


@pytest.fixture(scope="module")
def maps(signal: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Noisy convergence, (4, npix) float32, 0 outside the mask."""
    noise = noise_sigma()[:, None] * np.random.default_rng(3).standard_normal((4, NPIX))
    return ((signal + noise) * mask).astype(np.float32)


def noise_sigma() -> np.ndarray:
    preset = yaml.safe_load((ROOT / "data" / "surveys" / "des_y3.yaml").read_text())
    area = healpy.nside2pixarea(NSIDE, degrees=True) * 3600
    return np.array([one["sigma_e"] / np.sqrt(one["n_eff"] * area) for one in preset["bins"]])


def write(path: Path, columns: np.ndarray, nest: bool = False, dtype: Any = np.float32) -> Path:
    """A FITS map; columns are RING."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = healpy.reorder(np.atleast_2d(columns), r2n=True) if nest else np.atleast_2d(columns)
    names = [f"BIN{i}" for i in range(len(stored))]
    healpy.write_map(path, stored, nest=nest, coord="C", dtype=dtype, column_names=names, overwrite=True)
    return path


def own(place: Place, maps: np.ndarray, mask: np.ndarray, **more: Any) -> Place:
    """Maps of one's own as one file and a mask beside it."""
    write(place.root / "maps.fits", maps, **more)
    write(place.root / "mask.fits", mask.astype(np.float32))
    place.overrides = {"real.source": "healpix", "real.path": "maps.fits", "real.mask": "mask.fits"}
    return place


# --- one's own maps


@pytest.mark.parametrize("nest", [False, True])
@pytest.mark.parametrize("separate", [False, True])
def test_own_maps_come_as_one_file_or_many_ring_or_nested(
    place: Place, maps: np.ndarray, mask: np.ndarray, nest: bool, separate: bool
) -> None:
    plain = own(place, maps, mask).fetch()
    assert plain.maps.shape[1:] == (SIZE, SIZE, 4)
    assert len(plain.maps) >= 3
    assert plain.observed
    own(place, maps, mask, nest=nest)
    if separate:
        for number, one in enumerate(maps):
            write(place.root / f"bin{number}.fits", one, nest=nest)
        place.overrides["real.path"] = [f"bin{number}.fits" for number in range(4)]
    sky = place.fetch()
    np.testing.assert_array_equal(sky.maps, plain.maps)
    assert len(sky.provenance["files"]) == (5 if separate else 2)
    assert sky.provenance["warnings"] == []


@pytest.mark.parametrize("kind", ["logical", "int16", "float64", "partial", "unseen"])
def test_masks_of_any_type_say_the_same(place: Place, maps: np.ndarray, mask: np.ndarray, kind: str) -> None:
    plain = own(place, maps, mask).fetch()
    path = place.root / "mask.fits"
    path.unlink()
    if kind == "logical":
        table = fits.BinTableHDU.from_columns([fits.Column(name="T", format="1024L", array=mask.reshape(-1, 1024))])
        table.header.update({"ORDERING": "RING", "NSIDE": NSIDE})
        table.writeto(path)
    elif kind == "partial":
        healpy.write_map(path, np.where(mask, 1.0, healpy.UNSEEN), partial=True, coord="C", dtype=np.float64)
    else:
        stored = np.where(mask, 1.0, healpy.UNSEEN) if kind == "unseen" else mask.astype(kind)
        write(path, stored, dtype=np.float64 if kind == "unseen" else kind)
    np.testing.assert_array_equal(place.fetch().coverage, plain.coverage)


def test_what_lies_outside_the_mask_does_not_matter(place: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    plain = own(place, maps, mask).fetch()
    for value in (np.nan, healpy.UNSEEN, 7.0):
        filled = np.where(mask, maps, np.float32(value))
        np.testing.assert_array_equal(own(place, filled, mask).fetch().maps, plain.maps)


def _bad(place: Place, maps: np.ndarray, mask: np.ndarray, value: float) -> None:
    maps = maps.copy()
    maps[2, np.flatnonzero(mask)[:5]] = value
    write(place.root / "maps.fits", maps)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# What is wrong with the input, and the words that the line must hold.
BAD: dict[str, tuple[Callable[[Place, np.ndarray, np.ndarray], Any], list[str]]] = {
    "another NSIDE": (
        lambda p, k, m: write(p.root / "maps.fits", healpy.ud_grade(k, 32)),
        ["maps.fits", "NSIDE 32", "NSIDE 64", "des_y3", "nside: 32"],
    ),
    "mask of another NSIDE": (
        lambda p, k, m: write(p.root / "mask.fits", healpy.ud_grade(m.astype(float), 32) > 0.9),
        ["mask.fits", "NSIDE 32", "NSIDE 64", "ud_grade"],
    ),
    "NaN inside the mask": (lambda p, k, m: _bad(p, k, m, np.nan), ["maps.fits", "map 3", "NaN", "5 of", "mask.fits"]),
    "UNSEEN inside the mask": (lambda p, k, m: _bad(p, k, m, healpy.UNSEEN), ["map 3", "UNSEEN", "5 of"]),
    "sentinel inside the mask": (lambda p, k, m: _bad(p, k, m, -1.6e30), ["map 3", "missing data", "5 of"]),
    "percent": (lambda p, k, m: write(p.root / "maps.fits", 100 * k), ["maps.fits", "rms", "percent", "NSIDE 64"]),
    "one bin in other units": (
        lambda p, k, m: write(p.root / "maps.fits", k * np.array([[1], [1], [40], [1]])),
        ["map 3 of 4", "rms"],
    ),
    "ellipticities": (
        lambda p, k, m: write(p.root / "maps.fits", 0.26 * np.random.default_rng(1).standard_normal(k.shape) * m),
        ["rms", "ellipticities"],
    ),
    "smoothed": (
        lambda p, k, m: write(p.root / "maps.fits", np.array([healpy.smoothing(one, sigma=0.03, iter=1) for one in k])),
        ["smoothed"],
    ),
    "a tenth": (lambda p, k, m: write(p.root / "maps.fits", 0.1 * k), ["map 1 of 4", "rms", "rescaled"]),
    "integers": (
        lambda p, k, m: write(p.root / "maps.fits", (1e5 * k).astype(np.int32), dtype=np.int32),
        ["maps.fits", "int32", "floats"],
    ),
    "too few bins": (
        lambda p, k, m: write(p.root / "maps.fits", k[:3]),
        ["maps.fits", "3 maps", "4 bins", "real.path"],
    ),
    "cut short": (lambda p, k, m: _cut_short(p.root / "maps.fits"), ["maps.fits", "cut short", "get it again"]),
    "text named .fits": (
        lambda p, k, m: (p.root / "maps.fits").write_text("kappa\n0.1\n"),
        ["maps.fits", "not a readable FITS"],
    ),
    "no file": (lambda p, k, m: (p.root / "mask.fits").unlink(), ["mask.fits", "no such file"]),
    "empty mask": (lambda p, k, m: write(p.root / "mask.fits", 0.0 * m), ["mask.fits", "empty"]),
    "mask of fractions": (lambda p, k, m: write(p.root / "mask.fits", 0.4 * m), ["mask.fits", "0.4", "threshold"]),
    "mask with NaN": (lambda p, k, m: write(p.root / "mask.fits", np.where(m, 1, np.nan)), ["mask.fits", "NaN"]),
    "mask of several columns": (lambda p, k, m: write(p.root / "mask.fits", [m, m]), ["mask.fits", "2 columns"]),
    "mask all ones": (
        lambda p, k, m: write(p.root / "mask.fits", np.ones(NPIX)),
        ["mask.fits", "beyond the footprint"],
    ),
    "mask twice as large": (
        lambda p, k, m: write(p.root / "mask.fits", m | (healpy.pix2ang(NSIDE, np.arange(NPIX), lonlat=True)[1] > 60)),
        ["mask.fits", "beyond the footprint"],
    ),
    "mask inverted": (lambda p, k, m: write(p.root / "mask.fits", ~m), ["100%", "mask is inverted"]),
    "mask too ragged": (
        lambda p, k, m: write(p.root / "mask.fits", m & (np.random.default_rng(1).random(NPIX) < 0.4)),
        ["mask.fits", "no patch", "real.max_masked"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line(place: Place, maps: np.ndarray, mask: np.ndarray, case: str) -> None:
    change, words = BAD[case]
    change(own(place, maps, mask), maps, mask)
    message = place.complaint()
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def test_an_ordering_that_the_header_does_not_name_is_refused(place: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    own(place, maps, mask)
    with fits.open(place.root / "maps.fits", mode="update") as file:
        del file[1].header["ORDERING"]
    assert "ORDERING is missing" in place.complaint()


def test_swapped_bins_are_warned_of(place: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    (warning,) = own(place, maps[[3, 1, 2, 0]], mask).fetch().provenance["warnings"]
    assert "another order" in warning
    assert "map 1 like bin 4" in warning


def test_bins_that_cannot_be_told_apart_are_not_warned_of() -> None:
    expected = np.array([1.0, 1.03, 1.25])
    assert healpix_input.bins_out_of_order(expected[[1, 0, 2]], expected) is None
    assert healpix_input.bins_out_of_order(0.6 * expected, expected) is None
    assert "map 3 like bin 1" in healpix_input.bins_out_of_order(0.6 * expected[[2, 1, 0]], expected)


def test_less_noise_than_is_simulated_is_remarked_upon(place: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    (warning,) = own(place, (0.5 * maps).astype(np.float32), mask).fetch().provenance["warnings"]
    assert "lost noise" in warning


def test_a_survey_that_is_not_made_for_healpix_is_refused(place: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    message = own(place, maps, mask).complaint(**{"lensing.survey": "kids_1000"})
    assert "made_from: shear" in message
    assert "nside" in message


@pytest.mark.parametrize(("key", "value"), [("real.path", None), ("real.mask", None)])
def test_keys_that_are_needed_are_named(
    place: Place, maps: np.ndarray, mask: np.ndarray, key: str, value: None
) -> None:
    assert f"{key}=null" in own(place, maps, mask).complaint(**{key: value})


@pytest.mark.parametrize("case", [None, "percent", "mask of another NSIDE"])
def test_the_stage_stops_with_code_2_and_writes_nothing(
    place: Place, maps: np.ndarray, mask: np.ndarray, case: str | None
) -> None:
    own(place, maps, mask)
    if case is not None:
        BAD[case][0](place, maps, mask)
    raw = yaml.safe_load((place.root / "params.yaml").read_text())
    for key, value in (SMALL | place.overrides).items():
        section, name = key.split(".")
        raw[section][name] = value
    (place.root / "params.yaml").write_text(yaml.safe_dump(raw))
    run = subprocess.run(
        [sys.executable, "-m", "stages.fetch_real", "--params", str(place.root / "params.yaml")],
        cwd=place.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if case is None:
        assert run.returncode == 0, run.stderr
        assert (place.root / "outputs" / "real" / "patches.npz").exists()
        assert "bin_4_patch_scatter" in (place.root / "metrics" / "real.json").read_text()
        return
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
    assert not (place.root / "outputs").exists()
    assert not (place.root / "metrics").exists()


# --- DES Y3 mass maps


@pytest.fixture
def des(place: Place, maps: np.ndarray, mask: np.ndarray) -> Place:
    """Files named as those of the release; a simulation, with numbers outside the footprint as the real ones have."""
    rng = np.random.default_rng(4)
    outside = np.where(mask, maps, np.float32(0.001) * rng.standard_normal(maps.shape, dtype=np.float32))
    outside[:, np.flatnonzero(~mask)[:100]] = -1.6e30
    for number in range(4):
        folder = place.mirror / "des_y3"
        write(folder / f"KS_tomo{number + 1}.fits", outside[number])
        write(folder / f"nullB_tomo{number + 1}.fits", noise_sigma()[number] * rng.standard_normal(NPIX))
    write(place.mirror / "des_y3" / "glimpse_mask.fits", mask.astype(float))
    place.publish()
    place.overrides = {"real.source": "des_y3", "real.mirror": str(place.mirror)}
    return place


def test_des_maps_are_those_of_the_footprint(des: Place, maps: np.ndarray, mask: np.ndarray) -> None:
    sky = des.fetch()
    np.testing.assert_array_equal(sky.maps, own(Place(des.root), maps, mask).fetch().maps)
    assert sky.name == "des_y3"
    assert len(sky.provenance["files"]) == 9
    assert sky.provenance["citation"] == "none"
    for number in range(1, 5):
        assert sky.null_tests[f"bin_{number}_b_std"] == pytest.approx(1, abs=0.05)
        assert 1 < sky.null_tests[f"bin_{number}_std"] < 1.5
        assert sky.null_tests[f"bin_{number}_skewness"] > 0
        assert abs(sky.null_tests[f"bin_{number}_mean"]) < 0.3


def test_a_few_marks_of_missing_data_are_masked_many_are_refused(
    des: Place, maps: np.ndarray, mask: np.ndarray
) -> None:
    inside = np.flatnonzero(mask)
    for number, words in ((7, "7 pixels"), (inside.size // 10, "10.0%")):
        one = maps[1].copy()
        one[inside[:number]] = -1.6375e30
        write(des.mirror / "des_y3" / "KS_tomo2.fits", one)
        des.publish()
        said = des.fetch().provenance["warnings"][0] if number == 7 else des.complaint()
        assert words in said


def test_des_maps_need_the_des_preset_and_its_nside(des: Place) -> None:
    assert "lensing.survey=lsst_y1" in des.complaint(**{"lensing.survey": "lsst_y1"})
    path = des.root / "data" / "surveys" / "des_y3.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"nside": 128}))
    assert "NSIDE 64, but maps of lensing.survey=des_y3 are simulated for NSIDE 128" in des.complaint()


def test_a_missing_file_of_the_release_is_named(des: Place) -> None:
    (des.mirror / "des_y3" / "nullB_tomo3.fits").unlink()
    assert "nullB_tomo3.fits is missing" in des.complaint()


# --- DES Y3 shear maps


def archive(place: Place, sets: dict[str, np.ndarray], mask: np.ndarray, data: bytes | None = None) -> Place:
    """A simulation in an archive of the layout that we guess."""
    import h5py

    if data is None:
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, values in sets.items():
                file[name] = values
        data = stream.getvalue()
    write(place.root / "m.fits", mask.astype(float))
    path = place.mirror / "des_y3_shear" / "karmma_data.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("karmma_data/desy3_shear_data.h5", data)
        packed.write(place.root / "m.fits", "karmma_data/mask_desy3.fits")
    place.publish()
    place.overrides = {
        "real.source": "des_y3_shear", "real.mirror": str(place.mirror), "lensing.survey": "des_y3_karmma",
    }  # fmt: skip
    return place


@pytest.fixture(scope="module")
def shear(signal: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    g = np.array([shear_sphere(one) for one in signal]).swapaxes(0, 1)
    g = (g + noise_sigma()[:, None] * rng.standard_normal(g.shape)) * mask
    return g[0], g[1]


COUNTS = np.full((4, NPIX), 4400.0)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_frame_of_the_shear_is_found(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, signal: np.ndarray, signs: tuple[int, int]
) -> None:
    sets = {"g1_obs": signs[0] * shear[0], "g2_obs": signs[1] * shear[1], "N": COUNTS}
    sky = archive(place, sets, mask).fetch()
    frame = sky.provenance["frame"]
    assert (frame["sign1"], frame["sign2"]) == signs
    assert min(frame["relative"], frame["overall"]) > 3
    # three quarters of the noise power are kept: that is said, and nothing else is
    (warning,) = sky.provenance["warnings"] or ["lost noise"]
    assert "lost noise" in warning
    patches = cut_patches(signal, mask, SIZE, PIXEL, SMALL["real.max_masked"]).maps
    together = [np.corrcoef(sky.maps[..., i].ravel(), patches[..., i].ravel())[0, 1] for i in range(4)]
    assert min(together) > 0.2
    assert together[3] > 0.45


def test_b_modes_are_noise_and_e_modes_more(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray
) -> None:
    nulls = archive(place, {"g1": shear[0], "g2": shear[1], "counts": COUNTS}, mask).fetch().null_tests
    kept = np.sqrt(0.75)
    for number in range(1, 5):
        assert nulls[f"bin_{number}_b_std"] == pytest.approx(kept, abs=0.12)
    assert nulls["bin_4_std"] > 1.05 * nulls["bin_4_b_std"]


@pytest.mark.parametrize("layout", ["transposed", "masked pixels", "in groups"])
def test_other_layouts_say_the_same(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, layout: str
) -> None:
    sets = {"g1_obs": shear[0], "g2_obs": shear[1], "N": COUNTS}
    plain = archive(place, sets, mask).fetch()
    if layout == "in groups":
        sets = {f"observed/{name}": values for name, values in sets.items()}
    else:
        change = np.transpose if layout == "transposed" else lambda values: values[:, mask]
        sets = {name: change(values) for name, values in sets.items()}
    np.testing.assert_allclose(archive(place, sets, mask).fetch().maps, plain.maps, atol=1e-7)


def test_pixels_without_galaxies_are_masked(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray
) -> None:
    counts = COUNTS.copy()
    inside = np.flatnonzero(mask)
    counts[2, inside[:: inside.size // 30]] = 0
    plain = archive(place, {"g1": shear[0], "g2": shear[1], "N": COUNTS}, mask).fetch()
    sky = archive(place, {"g1": shear[0], "g2": shear[1], "N": counts}, mask).fetch()
    assert 0 < (plain.coverage.mean() - sky.coverage.mean()) < 0.05


def test_what_is_not_known_is_warned_of(place: Place, mask: np.ndarray) -> None:
    noise = noise_sigma()[:, None] * np.random.default_rng(6).standard_normal((2, 4, NPIX)) * mask
    said = " ".join(archive(place, {"g1": noise[0], "g2": noise[1]}, mask).fetch().provenance["warnings"])
    assert "relative sign" in said
    assert "sign of the convergence" in said
    assert "no galaxy counts" in said
    fewer = archive(place, {"g1": noise[0], "g2": noise[1], "N": COUNTS / 3}, mask).fetch().provenance["warnings"]
    assert any("galaxies per pixel" in one for one in fewer)


BAD_ARCHIVE: dict[str, tuple[Callable[[dict[str, np.ndarray]], Any], list[str]]] = {
    "other names": (
        lambda s: {"left": s["g1"], "right": s["g2"]},
        ["no data set looks like g1", "left float64[4, 49152]", "real.source=healpix"],
    ),
    "other shapes": (lambda s: {k: v[:, :-7] for k, v in s.items()}, ["no data set looks like g1", "[4, 49145]"]),
    "three bins": (lambda s: {k: v[:3] for k, v in s.items()}, ["4 bins", "g1 float64[3, 49152]"]),
    "two candidates": (lambda s: {**s, "true/g1": s["g1"]}, ["2 data sets could be g1", "true/g1"]),
    "empty": (lambda s: {}, ["no arrays of numbers"]),
    "NaN": (lambda s: {**s, "g1": np.where(np.arange(NPIX) > 0, s["g1"], np.nan) * np.nan}, ["bin 1", "NaN"]),
    "sums over galaxies": (lambda s: {k: 4400 * v for k, v in s.items()}, ["bin 1", "rms", "sums over galaxies"]),
    "not HDF5": (lambda s: b"text", ["desy3_shear_data.h5", "not a readable HDF5"]),
}


@pytest.mark.parametrize("case", BAD_ARCHIVE)
def test_an_archive_that_cannot_be_understood_is_described(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, case: str
) -> None:
    change, words = BAD_ARCHIVE[case]
    sets = change({"g1": shear[0], "g2": shear[1]})
    archive(place, {}, mask, data=sets) if isinstance(sets, bytes) else archive(place, sets, mask)
    message = place.complaint()
    assert "karmma_data.zip" in message
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def test_archives_that_are_none_or_lack_a_file(tmp_path: Path) -> None:
    path = tmp_path / "karmma_data.zip"
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match="not a readable zip"):
        des_y3_shear.read_archive(path, 4)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("other.h5", b"")
    with pytest.raises(UserError, match="mask_desy3.fits not in it; it holds other.h5"):
        des_y3_shear.read_archive(path, 4)


def test_coarse_maps_do_not_go_with_the_fine_preset(
    place: Place, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray
) -> None:
    archive(place, {"g1": shear[0], "g2": shear[1]}, mask)
    assert "lensing.survey=des_y3_karmma" in place.complaint(**{"lensing.survey": "des_y3"})
    path = place.root / "data" / "surveys" / "des_y3_karmma.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"nside": 256}))
    message = place.complaint()
    assert "NSIDE 64" in message
    assert "NSIDE 256" in message

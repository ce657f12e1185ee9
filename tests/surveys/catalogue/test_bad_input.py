"""What cannot be a shear catalogue, or not the one that a preset says, is refused in one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from pydantic import ValidationError

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import Catalogue
from cosmokeras.surveys.catalogue import tables
from cosmokeras.surveys.catalogue.galaxies import read
from cosmokeras.surveys.catalogue.healpix_shear import shear_field
from cosmokeras.surveys.sources.catalogue import check_density

ROWS = 4000


def columns(**change: np.ndarray) -> dict[str, np.ndarray]:
    """A field of 8 by 8 degrees with 4,000 galaxies in two bins."""
    rng = np.random.default_rng(3)
    found = {
        "ra": rng.uniform(40, 48, ROWS), "dec": rng.uniform(-4, 4, ROWS), "e1": rng.normal(0, 0.2, ROWS),
        "e2": rng.normal(0, 0.2, ROWS), "w": rng.uniform(0.5, 1, ROWS), "bin": rng.integers(0, 2, ROWS) + 1.0,
        "z": rng.uniform(0, 1.5, ROWS), "flag": np.zeros(ROWS),
    }  # fmt: skip
    return found | change


def block(**change: object) -> Catalogue:
    fields = {
        "columns": {"ra": "ra", "dec": "dec", "e1": "e1", "e2": "e2", "weight": "w"}, "signs": (1, 1),
        "bins": {"column": "bin", "values": (1, 2)}, "calibration": {"method": "none"},
    }  # fmt: skip
    return Catalogue.model_validate(fields | change)


def written(path: Path, table: dict[str, np.ndarray]) -> tuple[Path, ...]:
    Table(table).write(path, overwrite=True)
    return (path,)


def spoilt(name: str, value: float, rows: slice | int = 7) -> dict[str, np.ndarray]:
    one = columns()[name]
    one[rows] = value
    return {name: one}


ALL = slice(None)
BAD: dict[str, tuple[dict, dict, str]] = {
    "NaN": (spoilt("e1", np.nan), {}, "1 values of e1 are not finite; cut those"),
    "infinite weights": (spoilt("w", np.inf), {}, "1 values of weight are not finite"),
    "negative weights": (spoilt("w", -1), {}, "1 weights are negative"),
    "weights all zero": (spoilt("w", 0, ALL), {}, "all .* weights of bin 1 are zero; check columns.weight"),
    "ellipticities above 1": (spoilt("e2", 25.0, ALL), {}, "100.0% of the galaxies have an ellipticity above 1"),
    "a bin that no one knows": (spoilt("bin", 7), {}, "column bin has the values 7, but bins are 1, 2; list those"),
    "a bin that is NaN": (spoilt("bin", np.nan), {}, "column bin has the values nan"),
    "an empty bin": (spoilt("bin", 1, ALL), {}, "no galaxy in bin 2"),
    "nothing left": ({}, {"select": [{"column": "flag", "equals": 1}]}, "no galaxy is left"),
    "degrees for radians": ({}, {"units": "rad"}, "ra 40.* are no positions in catalogue.units=rad.*allowed: deg"),
    "degrees for hours": ({}, {"units": "hours"}, "are no positions in catalogue.units=hours"),
    "ra and dec exchanged": (
        {"ra": columns()["dec"], "dec": 100 + columns()["ra"]}, {}, "ra and dec may have changed places",
    ),
    "no such column": ({}, {"bins": {"column": "tomo", "values": (1, 2)}}, "no column tomo; it has ra, dec"),
    "PSF that does not vary": (
        {"p1": np.full(ROWS, 0.1), "p2": np.full(ROWS, 0.1)},
        {"columns": {"ra": "ra", "dec": "dec", "e1": "e1", "e2": "e2", "psf_e1": "p1", "psf_e2": "p2"}},
        "ellipticity of the PSF does not vary",
    ),
    "responses of nothing": (
        {"r": np.zeros(ROWS)}, {"calibration": {"method": "metacal", "r11": "r", "r22": "r"}},
        "responses of the bins are 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_catalogues_are_refused_in_a_line(name: str, tmp_path: Path) -> None:
    spoil, change, message = BAD[name]
    with pytest.raises(UserError, match=message) as error:
        shear_field(block(**change), written(tmp_path / "bad.fits", columns(**spoil)), 16, rotations=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("how", "units"), [("radians", np.degrees(1.0)), ("hours", 15.0)])
def test_units_that_only_the_density_tells(how: str, units: float, tmp_path: Path) -> None:
    """The same galaxies with ra (radians: and dec) in another unit: valid degrees, but a smaller sky."""
    one = columns()
    one["ra"] /= units
    one["dec"] /= units if how == "radians" else 1
    right = shear_field(block(), written(tmp_path / "right.fits", columns()), 64, rotations=0)
    wrong = shear_field(block(), written(tmp_path / "wrong.fits", one), 64, rotations=0)
    check_density(right, right.density.n_eff, "deg", "mine")
    with pytest.raises(UserError, match="lensing.survey=mine has .* radians or ra in hours look like this"):
        check_density(wrong, right.density.n_eff, "deg", "mine")
    units_said = {"radians": "rad", "hours": "hours"}[how]
    again = shear_field(block(units=units_said), written(tmp_path / "wrong.fits", one), 64, rotations=0)
    np.testing.assert_array_equal(again.pixels, right.pixels)


def test_bins_by_photometric_redshift_and_cuts(tmp_path: Path) -> None:
    one = columns()
    one["flag"][:100] = 3
    layout = block(bins={"column": "z", "edges": (0.2, 0.7, 1.2)}, select=[{"column": "flag", "max": 1}])
    field = shear_field(layout, written(tmp_path / "z.fits", one), 8, rotations=0)
    kept = one["flag"] < 1
    expected = [np.count_nonzero(kept & (one["z"] >= low) & (one["z"] < low + 0.5)) for low in (0.2, 0.7)]
    assert field.count.sum(axis=1).tolist() == expected


@pytest.mark.parametrize("change", [
    {"signs": (1, 2)}, {"signs": (1,)}, {"bins": {"column": "bin"}}, {"bins": {"column": "z", "edges": (1, 0.5)}},
    {"bins": {"column": "bin", "values": (1, 1)}}, {"select": [{"column": "flag"}]},
    {"calibration": {"method": "im3shape"}},
    {"calibration": {"method": "lensfit", "m": (0.0,)}}, {"psf_leakage": (0.1, 0.1)}, {"psf_leakage": "measured"},
    {"calibration": {"method": "regauss", "e_rms": "r", "c1": "c"}}, {"units": "arcmin"}, {"nonsense": 1},
    {"calibration": {"method": "metacal", "r11": "r", "r22": "r", "selected": {"1p": "b"}}},
])  # fmt: skip
def test_blocks_that_contradict_themselves(change: dict) -> None:
    with pytest.raises(ValidationError):
        block(**change)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.fits", b"SIMPLE  = nothing", "a.fits: damaged or not a FITS table"),
        ("a.h5", b"nothing", "a.h5: damaged or not"),
        ("a.txt", b"1 2 3", "a.txt: by its name no table that is read here; give FITS"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            list(read(block(), (tmp_path / name,)))
    with pytest.raises(UserError, match="no file of that pattern"):
        tables.listed(tmp_path, ["part_*.fits"])
    with pytest.raises(UserError, match="none.fits: no such file"):
        tables.listed(tmp_path, ["none.fits"])
    (path,) = written(tmp_path / "cut.fits", columns())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut.fits: (ends after \d+ of 4000 rows|damaged)"):
        list(read(block(), (path,)))
    with pytest.raises(UserError, match="no table SHEAR with rows in it; tables: 1"):
        list(read(block(table="SHEAR"), written(tmp_path / "one.fits", columns())))


def test_columns_of_all_kinds_are_read(tmp_path: Path) -> None:
    """Big-endian and scaled columns, logical ones, and elements of vectors."""
    one = columns()
    matrix = np.arange(4.0 * ROWS, dtype=np.float32).reshape(ROWS, 2, 2)
    table = fits.BinTableHDU.from_columns([
        fits.Column("R", "4E", dim="(2,2)", array=matrix), fits.Column("flag", "L", array=one["bin"] == 1),
        fits.Column("count", "J", bzero=2**31, array=np.full(ROWS, 2**31 + 5, np.uint32)),
        fits.Column("scaled", "I", array=np.full(ROWS, 3)),
    ])  # fmt: skip
    table.writeto(tmp_path / "kinds.fits")
    for key, value in (("TSCAL4", 0.5), ("TZERO4", 10.0)):
        fits.setval(tmp_path / "kinds.fits", key, value=value, ext=1)
    names = ["R[0,1]", "flag", "count", "scaled"]
    found = list(tables.chunks(tmp_path / "kinds.fits", None, names, rows=1500))
    together = {name: np.concatenate([piece[name] for piece in found]) for name in names}
    np.testing.assert_array_equal(together["R[0,1]"], matrix[:, 0, 1])
    np.testing.assert_array_equal(together["flag"], one["bin"] == 1)
    assert set(together["count"]) == {2**31 + 5} and set(together["scaled"]) == {11.5}
    assert [piece["flag"].size for piece in found] == [1500, 1500, 1000]
    for name, message in (("R", r"each row holds \[2, 2\]; name an element"), ("R[2,0]", "each row holds")):
        with pytest.raises(UserError, match=message):
            list(tables.chunks(tmp_path / "kinds.fits", None, [name]))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_is_read_like_fits(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    one = columns()
    vectors = [row.tolist() for row in np.arange(2.0 * ROWS).reshape(ROWS, 2)]
    parquet.write_table(pa.table({**one, "v": vectors}), tmp_path / "one.parquet", row_group_size=900)
    first = shear_field(block(), (tmp_path / "one.parquet",), 16, rows=1000)
    second = shear_field(block(), written(tmp_path / "one.fits", one), 16)
    np.testing.assert_array_equal(first.count, second.count)
    np.testing.assert_allclose(first.shear, second.shear, rtol=1e-12, atol=1e-15)
    pieces = list(tables.chunks(tmp_path / "one.parquet", None, ["v[1]"], rows=1000))
    np.testing.assert_array_equal(np.concatenate([piece["v[1]"] for piece in pieces]), np.arange(1.0, 2 * ROWS, 2))
    with pytest.raises(UserError, match="no column none"):
        list(tables.chunks(tmp_path / "one.parquet", None, ["none"]))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow(tmp_path: Path) -> None:
    (tmp_path / "one.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="Parquet needs pyarrow"):
        list(tables.chunks(tmp_path / "one.parquet", None, ["ra"]))

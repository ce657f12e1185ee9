"""Tables in every format, names or none, and parameters that follow from what a column holds."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table as AstropyTable

from cosmokeras.common.errors import UserError
from cosmokeras.params.files import FilesConfig
from cosmokeras.suites.columns import parameters, ranges
from cosmokeras.suites.layout import Wanted, find
from cosmokeras.suites.table import read_table

ROWS = np.array([[0.1, 0.7], [0.25, 0.8], [0.4, 0.9]])
TEXT = {
    "bare.txt": "0.1 0.7\n0.25  0.8\n4e-1 0.9\n",
    "comment.txt": "# a suite of three\n# Om s8\n0.1 0.7\n0.25 0.8\n\n0.4 0.9\n",
    "names.dat": "Om\ts8\n0.1\t0.7\n0.25\t0.8\n0.4\t0.9\n",
    "names.csv": "Om,s8\n0.1,0.7\n0.25,0.8\n0.4,0.9",
    "quoted.csv": '"Om"; "s8"\n0.1; 0.7\n0.25; 0.8\n0.4; 0.9\n',
    "marked.csv": "\ufeffOm,s8\r\n0.1,0.7\r\n0.25,0.8\r\n0.4,0.9\r\n",
}


def written(folder: Path, name: str) -> tuple[Path, str | None]:
    """A table of this name, and the key of the array in it."""
    path, named = folder / name, np.array([tuple(row) for row in ROWS], [("Om", ">f4"), ("s8", "f8")])
    if name in TEXT:
        path.write_text(TEXT[name], encoding="utf-8")
    elif name == "plain.npy":
        np.save(path, ROWS)
    elif name == "named.npy":
        np.save(path, named)
    elif name == "several.npz":
        np.savez(path, table=ROWS, other=np.zeros(3))
        return path, "table"
    elif name == "named.h5":
        with h5py.File(path, "w") as file:
            file["group/table"], file["other"] = named, np.zeros(3)
        return path, "group/table"
    else:
        AstropyTable({"Om": ROWS[:, 0], "s8": ROWS[:, 1]}).write(path)
    return path, None


@pytest.mark.parametrize("name", [*TEXT, "plain.npy", "named.npy", "several.npz", "named.h5", "named.fits"])
def test_every_format_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    table = read_table(*written(tmp_path, name))
    bare = name in ("bare.txt", "plain.npy", "several.npz")
    assert table.names == (None if bare else ("Om", "s8"))
    assert table.shape == (3,)
    for number, column in enumerate(("om", "s8")):
        got = table.column(number, "key")
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, ROWS[:, number], rtol=1e-7)
        if not bare:
            np.testing.assert_array_equal(table.column(column, "key"), got)
    if bare:
        with pytest.raises(UserError, match=r"key='Om': .* has no names; give a number, 0 to 1"):
            table.column("Om", "key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty table"), ("0.1 0.2\n0.3\n", "row 2 has 1 columns, row 1 has 2"),
        ("a b c\n0.1 0.2\n", "3 names for 2 columns"), ("Om s8\n", "2 names for 0 columns"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(UserError, match=words):
        read_table(tmp_path / "table.txt")


HELD = {
    "sigma8 of S8": ({"omega_m": 0, "sigma8": {"column": 1, "holds": "S8"}}, 1, 0.8 / np.sqrt(0.25 / 0.3)),
    "S8 of sigma8": ({"omega_m": 0, "S8": {"column": 1, "holds": "sigma8"}}, 1, 0.8 * np.sqrt(0.25 / 0.3)),
    "omega_m of S8": ({"omega_m": {"column": 1, "holds": "S8"}, "sigma8": 0}, 0, 0.3 * (0.8 / 0.25) ** 2),
    "h of H0": ({"omega_m": 0, "h": {"column": 1, "holds": "H0"}}, 1, 0.008),
    "omega_b": ({"h": 1, "omega_b": {"column": 0, "holds": "omega_b_h2"}}, 1, 0.25 / 0.8**2),
    "A_s": ({"A_s": {"column": 1, "holds": "1e9_A_s"}}, 0, 0.8e-9),
    "log A_s": ({"A_s": {"column": 1, "holds": "ln_1e10_A_s"}}, 0, np.exp(0.8) * 1e-10),
}


@pytest.mark.parametrize("name", HELD)
def test_parameters_follow_from_what_a_column_holds(name: str, tmp_path: Path) -> None:
    columns, place, want = HELD[name]
    files = FilesConfig.model_validate({"columns": columns})
    got = parameters(read_table(*written(tmp_path, "plain.npy")), files)
    assert got[1, place] == pytest.approx(want, rel=1e-12)


def test_what_does_not_follow_is_refused(tmp_path: Path) -> None:
    files = FilesConfig.model_validate({"columns": {"h": {"column": 0, "holds": "S8"}}})
    with pytest.raises(UserError, match="h follows from H0 in a column"):
        parameters(read_table(*written(tmp_path, "plain.npy")), files)


def test_the_range_of_a_hypercube_is_found_from_its_values() -> None:
    cells = (np.random.default_rng(1).permutation(1000) + 0.5) / 1000
    theta = np.stack([0.1 + 0.4 * cells, 0.25 + 3.75 * cells, -2 + 1.5 * cells], axis=1)
    np.testing.assert_allclose(ranges(theta), [(0.1, 0.5), (0.25, 4.0), (-2.0, -0.5)], atol=1e-12)
    low, high = np.array(ranges(np.random.default_rng(2).normal(size=(50, 3)))).T
    assert (low < high).all()


Shape = tuple[int, ...]
FOUND: list[tuple[Shape, Wanted, bool, str]] = [
    ((15000, 256, 256), Wanted((1000,), None, 64), False, "map y x"),
    ((101, 256, 132019), Wanted((101, 256), 1, 64, ((1424, 176), 132019)), False, "cosmology realisation pixel"),
    ((25856, 132019), Wanted((101, 256), 1, 64, ((1424, 176), 132019)), False, "map pixel"),
    ((200, 3, 64, 64, 4), Wanted((200,), 4, 64), False, "cosmology realisation y x bin"),
    ((3, 200, 64, 64, 4), Wanted((200,), 4, 64), False, "realisation cosmology y x bin"),
    ((200, 4, 64, 64), Wanted((200,), 4, 64), False, "map bin y x"),
    ((200, 4, 64, 64), Wanted((200,), 1, 64), False, "cosmology realisation y x"),
    ((4, 200, 64, 64), Wanted((200,), 4, 64), True, "bin map y x"),
    ((64, 64, 200), Wanted((200,), 1, 64), False, "y x map"),
    ((2000, 128, 128, 128), Wanted((2000,), None, 64, depth=True), True, "map depth y x"),
    ((17500, 3145728, 4), Wanted((2500,), 4, 64, sphere=True), True, "map pixel bin"),
    ((64, 64), Wanted((1,), 1, 64), False, "y x"),
]


@pytest.mark.parametrize(("shape", "wanted", "many", "axes"), FOUND)
def test_axes_are_found_by_their_lengths(shape: Shape, wanted: Wanted, many: bool, axes: str) -> None:
    found = find(shape, wanted, None, many, "maps.npy")
    assert " ".join(found.axes) == axes
    assert found.row.max() == np.prod(wanted.rows) - 1
    assert " ".join(find(shape, wanted, axes, many, "maps.npy").axes) == axes


@pytest.mark.parametrize("shape", [(64, 64, 64), (200, 200, 64, 64)])
def test_axes_that_may_be_either_are_asked_for(shape: Shape) -> None:
    wanted = Wanted(shape[:1], 1, 64)
    with pytest.raises(UserError, match="may be .*; or .*files.layout=") as asked:
        find(shape, wanted, None, False, "maps.npy")
    example = str(asked.value).split("files.layout='")[1].split("'")[0]
    find(shape, wanted, example, False, "maps.npy")  # what it says to do helps

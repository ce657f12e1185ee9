"""Tables of n(z): what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.redshifts.table import read_table

Z = np.arange(0.025, 2.0, 0.05)
N = np.exp(-0.5 * ((Z - 1) / 0.2) ** 2)
HALF = 0.025


def text(*columns: np.ndarray, sep: str = " ") -> str:
    return "".join(sep.join(f"{x:.6g}" for x in row) + "\n" for row in np.column_stack(columns))


@pytest.mark.parametrize(
    "content",
    [
        text(Z, N),
        text(Z, N, sep=","),
        text(Z, N, sep="; "),
        text(Z, N, sep="\t"),
        "# made by hand\n\n" + text(Z, N),
        "z nz\n" + text(Z, N),
        "z,n(z)\n" + text(Z, N, sep=","),
        text(Z, N).replace("\n", " # of the first release\r\n"),
        "\ufeff" + text(Z, N),
    ],
    ids=["spaces", "commas", "semicolons", "tabs", "comment", "names", "csv", "comments, CRLF", "byte order mark"],
)
def test_plain_text_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "n.txt").write_text(content, newline="")
    np.testing.assert_allclose(read_table(tmp_path / "n.txt"), [Z, N], rtol=1e-5)


def spoiled(row: int, column: int, value: float) -> str:
    rows = np.column_stack([Z, N])
    rows[row, column] = value
    return text(*rows.T)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(Z[::-1], N[::-1]), "line 2: z is 1.925 after 1.975; redshifts must ascend"),
        (spoiled(10, 0, 0.1), "line 11: z is 0.1 after 0.475; redshifts must ascend"),
        (spoiled(10, 0, Z[9]), "line 11: z is 0.475 after 0.475"),
        (spoiled(0, 0, -0.01), "line 1: z is -0.01; redshifts are 0 or more"),
        (spoiled(10, 1, np.nan), "line 11: nan is not finite"),
        (spoiled(10, 0, np.inf), "line 11: inf is not finite"),
        (spoiled(10, 1, 1e300), "line 11: 1e.300 is too large; at most 1e.100 is allowed"),
        (spoiled(10, 1, -0.1), "line 11: n.z. is -0.1; a density is 0 or more"),
        (text(Z, np.cumsum(N)), "column 1 .* levels off, as a cumulative distribution; give n"),
        (text(Z, 0 * N), "column 1 .counted from 0. is 0 in every row"),
        ("1.0 1.0\n", "has 1 rows of numbers; n.z. needs at least 2"),
        ("", "has 0 rows"),
        ("z nz\n", "has 0 rows"),
        ("# z nz\n0.1 1\n0.2 x\n", "line 3: 'x' is not a number"),
        ("0.1 1\nz n\n0.2 1\n", "line 2: 'z' is not a number"),
        ("0.1 1\n0.2 1 1\n", "line 2 has 3 columns, the lines before have 2"),
        ("0.1,1\n0.2,\n", "line 2: '' is not a number"),
        (text(Z), "has 1 columns, but column 1 .counted from 0. was asked for"),
        (text(Z, Z + HALF, N), "column 1 .counted from 0. holds redshifts between those of column 0, not n.z."),
    ],
)
def test_what_cannot_be_right_is_named_with_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "n.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=said) as error:
        read_table(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.array([Z, N]))
    for name, said in (("n.npy", "is not a text file"), ("none.txt", "is missing"), (".", "is missing")):
        with pytest.raises(UserError, match=said):
            read_table(tmp_path / name)


LOW_MID_HIGH_N = text(Z - HALF, Z, Z + HALF, N)
LOW_HIGH_N = text(Z - HALF, Z + HALF, N)


@pytest.mark.parametrize(
    ("content", "z_column", "n_column", "z_is"),
    [
        (LOW_MID_HIGH_N, 1, 3, "centre"),
        (LOW_MID_HIGH_N, 0, 3, "low_edge"),
        (LOW_HIGH_N, 0, 2, "low_edge"),
        (text(Z - HALF, N), 0, 1, "low_edge"),
    ],
)
def test_edges_and_centres_are_the_same_n_z(
    tmp_path: Path, content: str, z_column: int, n_column: int, z_is: str
) -> None:
    (tmp_path / "n.txt").write_text(content)
    np.testing.assert_allclose(read_table(tmp_path / "n.txt", z_column, n_column, z_is), [Z, N], rtol=1e-5)


def test_edges_of_unequal_steps_become_the_middles_of_the_steps(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("0 1\n0.1 2\n0.3 1\n0.7 0\n")
    np.testing.assert_allclose(read_table(tmp_path / "n.txt", z_is="low_edge")[0], [0.05, 0.2, 0.5, 0.9])


@pytest.mark.parametrize(
    ("content", "z_column", "n_column", "z_is", "said"),
    [
        (LOW_MID_HIGH_N, 0, 3, "centre", "column 0 .counted from 0. holds lower edges"),
        (LOW_MID_HIGH_N, 1, 3, "low_edge", "column 1 .counted from 0. holds centres"),
        (LOW_MID_HIGH_N, 2, 3, "centre", "column 2 .counted from 0. holds upper edges"),
        (LOW_HIGH_N, 0, 2, "centre", "holds lower edges"),
        (LOW_HIGH_N, 1, 2, "low_edge", "holds upper edges"),
        (text(Z - HALF, Z, N), 0, 2, "centre", "holds lower edges"),
    ],
)
def test_edges_beside_the_column_contradict_a_wrong_choice(
    tmp_path: Path, content: str, z_column: int, n_column: int, z_is: str, said: str
) -> None:
    (tmp_path / "n.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        read_table(tmp_path / "n.txt", z_column, n_column, z_is)


def test_columns_of_other_bins_are_no_edges(tmp_path: Path) -> None:
    others = [np.exp(-0.5 * ((Z - mean) / 0.2) ** 2) for mean in (0.5, 1.5)]
    (tmp_path / "n.txt").write_text(text(Z, N, *others))
    for column in (1, 2, 3):
        read_table(tmp_path / "n.txt", n_column=column)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    for factor in (1.0, 2.0):
        path.write_text(text(Z, factor * N))
        np.testing.assert_allclose(read_table(path)[1], factor * N, rtol=1e-5)

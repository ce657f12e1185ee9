"""Published values: complete, and compared in units of the right errors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.report.published import FILE, compare, published_values


def test_each_value_has_its_paper_and_positive_errors() -> None:
    assert {one.parameter for one in published_values()} == {"omega_m", "S8"}
    assert len({(one.parameter, one.key) for one in published_values()}) == len(published_values())
    for one in published_values():
        assert min(one.up, one.down) > 0
        assert all(
            re.fullmatch(r".+ 20\d\d, ((A&A|PRD|MNRAS) \d+, A?\d+|arXiv:\d{4}\.\d{5})", paper)
            for paper in one.citation.split("; ")
        )
        assert one.assumed
        assert (2018, 7) <= tuple(map(int, one.date.split("-"))) <= (2026, 11)
        for paper in re.findall(r"arXiv:(\d\d)(\d\d)", one.citation):  # the number of a preprint is its date
            assert one.date == "20{}-{}".format(*paper)
        assert one.key.replace("_", "").isalnum()


def test_the_side_that_faces_us_counts() -> None:
    des = next(one for one in published_values() if one.key == "des_y3_3x2pt")
    for sign, side in ((1, des.up), (-1, des.down)):
        found = compare({"omega_m": {"mean": des.value + sign * 0.1, "std": 0.05}})
        assert found["omega_m"]["des_y3_3x2pt"] == pytest.approx(sign * 0.1 / np.hypot(0.05, side), abs=1e-3)


def test_an_error_free_result_one_published_error_away_is_one_sigma_away() -> None:
    planck = next(one for one in published_values() if one.key == "planck_2018")
    found = compare({"omega_m": {"mean": planck.value + planck.up, "std": 0.0}})
    assert found["omega_m"]["planck_2018"] == pytest.approx(1)


def test_only_what_was_inferred_is_compared() -> None:
    assert compare({"h": {"mean": 0.7, "std": 0.1}}) == {}
    both = compare({"omega_m": {"mean": 0.3, "std": 0.01}, "S8": {"mean": 0.759, "std": 0.01}})
    for name in ("omega_m", "S8"):
        assert set(both[name]) == {one.key for one in published_values() if one.parameter == name}
    assert both["S8"]["des_y3_cosmic_shear"] == both["S8"]["kids_1000_cosmic_shear"] == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  up: 0.0073\n", "", "entry 1, up: Field required"),
        ("value: 0.339", "value: about 0.3", "entry 2, value"),
        ("  down: 0.031", "  down: -0.031", "entry 2, down"),
        ("citation: Li", "paper: Li", "entry 4, citation"),
        ("date: 2018-07", "date: 2018-13", "entry 1, date"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    text = FILE.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(f"{path}: {words}")) as caught:
        published_values(path)
    assert "\n" not in str(caught.value)


def test_the_file_is_part_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert FILE.name in project["tool"]["setuptools"]["package-data"]["cosmokeras.report"]

"""A sky comes back from disk as it was written; what is missing or damaged is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.checksums import write_checksums
from cosmokeras.common.errors import UserError
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.stored_sky import ORIGIN, PATCHES, POSITIONS, read_sky, write_sky


def test_a_sky_comes_back_and_its_table_has_six_decimals(tmp_path: Path) -> None:
    maps = np.random.default_rng(1).normal(size=(2, 4, 4, 3)).astype(np.float32)
    places = np.array([1.25, np.nan]), np.array([-3.0, np.nan])
    one = RealSky("mock", False, maps, np.ones((2, 4, 4)), *places, {})
    note = write_sky(tmp_path, one, {"citation": "c"}, {"patches": 2})
    assert (tmp_path / POSITIONS).read_bytes() == b"patch,ra_deg,dec_deg\n0,1.250000,-3.000000\n1,nan,nan\n"
    found = read_sky(tmp_path)
    assert found.note == note
    assert note["provenance"] == {"citation": "c"} and note["metrics"] == {"patches": 2}
    assert (note["source"], note["observed"], note["truth"]) == ("mock", False, None)
    np.testing.assert_array_equal(found.maps, maps)
    np.testing.assert_array_equal(found.ra, places[0])
    np.testing.assert_array_equal(found.dec, places[1])
    (tmp_path / PATCHES).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"patches\.npz is damaged: its checksum differs; run `dvc repro fetch_real`"):
        read_sky(tmp_path)
    (tmp_path / PATCHES).unlink()
    with pytest.raises(UserError, match=r"patches\.npz is missing; run `dvc repro fetch_real`"):
        read_sky(tmp_path)


def test_a_digit_of_a_position_and_a_sky_without_patches_are_noticed(tmp_path: Path) -> None:
    maps = np.ones((2, 4, 4, 1), np.float32)
    sky = RealSky("mock", False, maps, np.ones((2, 4, 4)), np.zeros(2), np.zeros(2), {})
    write_sky(tmp_path, sky, {})
    text = (tmp_path / POSITIONS).read_text()
    (tmp_path / POSITIONS).write_text(text.replace("0.000000", "1.000000"))
    with pytest.raises(UserError, match=r"positions\.csv is damaged"):
        read_sky(tmp_path)
    (tmp_path / POSITIONS).write_text(text.splitlines()[0] + "\n")
    write_checksums(tmp_path, (PATCHES, POSITIONS, ORIGIN))
    with pytest.raises(UserError, match=r"2 maps, 2 masks and 0 positions, .*; run `dvc repro fetch_real`"):
        read_sky(tmp_path)

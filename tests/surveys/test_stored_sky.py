"""A sky comes back from disk as it was written; what is missing or damaged is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.sky import RealSky
from cosmokeras.surveys.stored_sky import PATCHES, POSITIONS, read_sky, write_sky


def test_a_sky_comes_back_and_its_table_has_six_decimals(tmp_path: Path) -> None:
    maps = np.random.default_rng(1).normal(size=(2, 4, 4, 3)).astype(np.float32)
    places = np.array([1.25, np.nan]), np.array([-3.0, np.nan])
    note = write_sky(tmp_path, RealSky("mock", False, maps, np.ones((2, 4, 4)), *places, {}), {"citation": "c"})
    assert (tmp_path / POSITIONS).read_bytes() == b"patch,ra_deg,dec_deg\n0,1.250000,-3.000000\n1,nan,nan\n"
    found = read_sky(tmp_path)
    assert found.note == note == {"source": "mock", "observed": False, "truth": None, "provenance": {"citation": "c"}}
    np.testing.assert_array_equal(found.maps, maps)
    np.testing.assert_array_equal(found.ra, places[0])
    np.testing.assert_array_equal(found.dec, places[1])
    (tmp_path / PATCHES).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"patches\.npz is damaged .*`dvc repro fetch_real`"):
        read_sky(tmp_path)
    (tmp_path / PATCHES).unlink()
    with pytest.raises(UserError, match=r"patches\.npz is missing; run `dvc repro fetch_real`"):
        read_sky(tmp_path)

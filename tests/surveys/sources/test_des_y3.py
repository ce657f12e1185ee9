"""The mass maps of DES Y3, on stand-ins at low resolution that are SIMULATIONS under the names of the real files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("healpy", reason="healpy is not installed: sources of HEALPix maps are not tested")


@pytest.fixture
def des(place: Any, maps: np.ndarray, mask: np.ndarray, noise_sigma: np.ndarray) -> Any:
    """Files named as those of the release; a simulation, with numbers outside the footprint as the real ones have."""
    rng = np.random.default_rng(4)
    outside = np.where(mask, maps, np.float32(0.001) * rng.standard_normal(maps.shape, dtype=np.float32))
    outside[:, np.flatnonzero(~mask)[:100]] = -1.6e30
    for number in range(4):
        place.write(f"mirror/des_y3/KS_tomo{number + 1}.fits", outside[number])
        place.write(f"mirror/des_y3/nullB_tomo{number + 1}.fits", noise_sigma[number] * rng.standard_normal(place.npix))
    place.write("mirror/des_y3/glimpse_mask.fits", mask.astype(float))
    place.publish()
    place.overrides = {"real.source": "des_y3", "real.mirror": str(place.mirror)}
    return place


def test_des_maps_are_those_of_the_footprint(des: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    sky = des.fetch()
    np.testing.assert_array_equal(sky.maps, des.own(maps, mask).fetch().maps)
    assert sky.name == "des_y3"
    assert len(sky.provenance["files"]) == 9
    assert sky.provenance["citation"] == "none"
    for number in range(1, 5):
        assert sky.null_tests[f"bin_{number}_b_std"] == pytest.approx(1, abs=0.05)
        assert 1 < sky.null_tests[f"bin_{number}_std"] < 1.5
        assert sky.null_tests[f"bin_{number}_skewness"] > 0
        assert abs(sky.null_tests[f"bin_{number}_mean"]) < 0.3


def test_a_few_marks_of_missing_data_are_masked_many_are_refused(des: Any, maps: np.ndarray, mask: np.ndarray) -> None:
    inside = np.flatnonzero(mask)
    for number, words in ((7, "7 pixels"), (inside.size // 10, "10.0%")):
        one = maps[1].copy()
        one[inside[:number]] = -1.6375e30
        des.write("mirror/des_y3/KS_tomo2.fits", one)
        des.publish()
        said = des.fetch().provenance["warnings"][0] if number == 7 else des.complaint()
        assert words in said


def test_des_maps_need_the_des_preset_and_its_nside(des: Any) -> None:
    assert "lensing.survey=lsst_y1" in des.complaint(**{"lensing.survey": "lsst_y1"})
    des.change_preset("des_y3", nside=128)
    assert "NSIDE 64, but maps of lensing.survey=des_y3 are simulated for NSIDE 128" in des.complaint()


def test_a_missing_file_of_the_release_is_named(des: Any) -> None:
    (des.mirror / "des_y3" / "nullB_tomo3.fits").unlink()
    assert "nullB_tomo3.fits is missing" in des.complaint()

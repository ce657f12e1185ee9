"""The shear maps of DES Y3, on stand-ins at low resolution that are SIMULATIONS in archives of guessed layouts."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.sky.spherical_ks import shear_sphere
from cosmokeras.surveys import cut_patches
from cosmokeras.surveys.sources import des_y3_shear

pytest.importorskip("healpy", reason="healpy is not installed: sources of HEALPix maps are not tested")


def archive(place: Any, sets: dict[str, np.ndarray], mask: np.ndarray, data: bytes | None = None) -> Any:
    """A simulation in an archive of the layout that we guess."""
    import h5py

    if data is None:
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, values in sets.items():
                file[name] = values
        data = stream.getvalue()
    place.write("m.fits", mask.astype(float))
    path = place.mirror / "des_y3_shear" / "karmma_data.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("karmma_data/desy3_shear_data.h5", data)
        packed.write(place.root / "m.fits", "karmma_data/mask_desy3.fits")
    place.publish()
    place.change_preset("des_y3_karmma", lmax=2 * place.nside)
    place.overrides = {
        "real.source": "des_y3_shear", "real.mirror": str(place.mirror), "lensing.survey": "des_y3_karmma",
    }  # fmt: skip
    return place


@pytest.fixture(scope="module")
def shear(signal: np.ndarray, mask: np.ndarray, noise_sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    g = np.array([shear_sphere(one) for one in signal]).swapaxes(0, 1)
    g = (g + noise_sigma[:, None] * rng.standard_normal(g.shape)) * mask
    return g[0], g[1]


COUNTS = np.full((4, 12 * 64**2), 4400.0)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_frame_of_the_shear_is_found(
    place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, signal: np.ndarray, signs: tuple[int, int]
) -> None:
    sets = {"g1_obs": signs[0] * shear[0], "g2_obs": signs[1] * shear[1], "N": COUNTS}
    sky = archive(place, sets, mask).fetch()
    frame = sky.provenance["frame"]
    assert (frame["sign1"], frame["sign2"]) == signs
    assert min(frame["relative"], frame["overall"]) > 3
    assert not sky.provenance["warnings"]
    assert "l up to 128" in " ".join(sky.provenance["steps"])
    patches = cut_patches(signal, mask, place.size, place.pixel, place.max_masked).maps
    together = [np.corrcoef(sky.maps[..., i].ravel(), patches[..., i].ravel())[0, 1] for i in range(4)]
    assert min(together) > 0.2
    assert together[3] > 0.45


def test_b_modes_are_noise_and_e_modes_more(place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray) -> None:
    nulls = archive(place, {"g1": shear[0], "g2": shear[1], "counts": COUNTS}, mask).fetch().null_tests
    for number in range(1, 5):
        assert nulls[f"bin_{number}_b_std"] == pytest.approx(1.0, abs=0.05)
    assert nulls["bin_4_std"] > 1.05 * nulls["bin_4_b_std"]


@pytest.mark.parametrize("layout", ["transposed", "masked pixels", "in groups"])
def test_other_layouts_say_the_same(
    place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, layout: str
) -> None:
    sets = {"g1_obs": shear[0], "g2_obs": shear[1], "N": COUNTS}
    plain = archive(place, sets, mask).fetch()
    if layout == "in groups":
        sets = {f"observed/{name}": values for name, values in sets.items()}
    else:
        change = np.transpose if layout == "transposed" else lambda values: values[:, mask]
        sets = {name: change(values) for name, values in sets.items()}
    np.testing.assert_allclose(archive(place, sets, mask).fetch().maps, plain.maps, atol=1e-7)


@pytest.mark.slow
def test_pixels_without_galaxies_are_masked(place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray) -> None:
    counts = COUNTS.copy()
    inside = np.flatnonzero(mask)
    counts[2, inside[:: inside.size // 30]] = 0
    plain = archive(place, {"g1": shear[0], "g2": shear[1], "N": COUNTS}, mask).fetch()
    sky = archive(place, {"g1": shear[0], "g2": shear[1], "N": counts}, mask).fetch()
    assert 0 < (plain.coverage.mean() - sky.coverage.mean()) < 0.05


@pytest.mark.slow
def test_what_is_not_known_is_warned_of(place: Any, mask: np.ndarray, noise_sigma: np.ndarray) -> None:
    noise = noise_sigma[:, None] * np.random.default_rng(6).standard_normal((2, *COUNTS.shape)) * mask
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
    "NaN": (
        lambda s: {**s, "g1": np.nan * s["g1"]},
        ["bin 1", "NaN"],
    ),
    "sums over galaxies": (lambda s: {k: 4400 * v for k, v in s.items()}, ["bin 1", "rms", "sums over galaxies"]),
    "not HDF5": (lambda s: b"text", ["desy3_shear_data.h5", "not a readable HDF5"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD_ARCHIVE)
def test_an_archive_that_cannot_be_understood_is_described(
    place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, case: str
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
    place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray
) -> None:
    archive(place, {"g1": shear[0], "g2": shear[1]}, mask)
    assert "lensing.survey=des_y3_karmma" in place.complaint(**{"lensing.survey": "des_y3"})
    place.change_preset("des_y3_karmma", nside=256, lmax=512)
    message = place.complaint()
    assert "NSIDE 64" in message
    assert "NSIDE 256" in message


@pytest.mark.parametrize(
    ("lmax", "words"), [(None, "lmax is null.*lmax: 128"), (191, "lmax=191: .*NSIDE 64 goes up to 2.5 NSIDE = 160")]
)
def test_an_lmax_that_simulations_cannot_share_is_refused(
    place: Any, shear: tuple[np.ndarray, np.ndarray], mask: np.ndarray, lmax: int | None, words: str
) -> None:
    archive(place, {"g1": shear[0], "g2": shear[1]}, mask)
    place.change_preset("des_y3_karmma", lmax=lmax)
    message = place.complaint()
    assert re.match(f"lensing.survey=des_y3_karmma: {words}", message), message
    assert "\n" not in message

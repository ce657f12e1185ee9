"""The FAIR-Universe maps on the HSC footprint: the format, the tiles, the mask library, the preset.

Tests on the published files take them from COSMOKERAS_REAL_DATA or ../shared/real beside the repository.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.observation.observe import finished
from cosmokeras.observation.observer import Observer, noise_sigma
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.params.config import Config
from cosmokeras.params.survey import load_survey
from cosmokeras.surveys import fetch, image_checks, image_files
from cosmokeras.surveys import hsc_y3 as command
from cosmokeras.surveys.sources import hsc_y3
from tests.docs.extract import overrides

REPOSITORY = Path(__file__).parents[3]
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or REPOSITORY.parent / "shared/real")
needs_real = pytest.mark.skipif(
    not (REAL / hsc_y3.MAPS).exists(), reason=f"no FAIR-Universe maps in {REAL}; set COSMOKERAS_REAL_DATA"
)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("COSMOKERAS_REAL_DATA", raising=False)


@pytest.fixture
def fair(config: Callable[..., Config]) -> Callable[..., Config]:
    def load(overrides: dict[str, Any] | None = None, **real: Any) -> Config:
        keys = {"lensing.survey": "hsc_y3_fair", "real.source": "hsc_y3"}
        return config(keys | {f"real.{k}": v for k, v in real.items()} | (overrides or {}))

    return load


@pytest.fixture
def own(tmp_path: Path, fair: Callable[..., Config]) -> dict[str, str]:
    """Two invented skies on an invented footprint of 200 x 150 pixels, in the format of the challenge."""
    rng = np.random.default_rng(0)
    mask = rng.random((200, 150)) > 0.03
    mask[90:110] = False
    values = rng.standard_normal((2, np.count_nonzero(mask))) * noise_sigma(fair())[0]
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "maps.npy", values.astype(np.float16))
    return {"path": str(tmp_path / "maps.npy"), "mask": str(tmp_path / "mask.npy")}


def test_unmasked_pixels_go_back_to_their_places_row_by_row() -> None:
    mask = np.array([[True, False, True], [False, True, True]])
    maps = image_checks.unpack(np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float16), mask, "maps.npy")
    assert maps.tolist() == [[[1, 0, 2], [0, 3, 4]], [[5, 0, 6], [0, 7, 8]]]
    assert maps.dtype == np.float32
    with pytest.raises(UserError, match=r"maps.npy: shape \(2, 3\), but the mask has 4 unmasked pixels"):
        image_checks.unpack(np.zeros((2, 3), np.float16), mask, "maps.npy")


@pytest.mark.parametrize("number", [0, 1])
def test_own_files_of_that_format_are_cut_into_tiles(
    fair: Callable[..., Config], own: dict[str, str], number: int
) -> None:
    sky = fetch(fair(**own, map=number))
    mask, values = np.load(own["mask"]), np.load(own["path"])
    whole = np.zeros(mask.shape, np.float32)
    whole[mask] = values[number]
    corners = sky.provenance["corners"]
    assert len(sky.maps) == len(corners) == 4
    for one, holes, (y, x) in zip(sky.maps, sky.coverage, corners, strict=True):
        np.testing.assert_array_equal(one[..., 0], whole[y : y + 64, x : x + 64])
        np.testing.assert_array_equal(holes, mask[y : y + 64, x : x + 64])
    assert not sky.observed and sky.truth is None and "SIMULATION" in sky.provenance["statement"]
    assert "citation" not in sky.provenance, "whose files these are is not known"
    assert np.isnan(sky.ra).all()


def test_what_does_not_fit_is_refused_in_a_line(
    fair: Callable[..., Config], own: dict[str, str], tmp_path: Path
) -> None:
    def refused(cfg: Config, message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            fetch(cfg)
        assert "\n" not in str(caught.value)

    refused(fair(**own, map=2), "real.map=2: .*maps.npy holds 2 maps, counted from 0")
    refused(fair({"lensing.pixel_arcmin": 3.0}, **own), "lensing.pixel_arcmin=3.0: .* 2.0 arcmin")
    large = {"data.size": 160, "lensing.mask": "none"}
    refused(fair(large, **own), "data.size=160: .*mask.npy is .200, 150. pixels")
    values = np.load(own["path"])
    for name, spoiled, message in (
        ("short.npy", values[:, :-1], "short.npy: shape .*unmasked pixels"),
        ("percent.npy", values.astype(np.float32) * 100, "percent.npy: bin 1 has an rms"),
        ("nan.npy", np.where(np.arange(values.shape[1]) == 9, np.nan, values), "nan.npy: 1 pixels inside the mask"),
    ):
        np.save(tmp_path / name, spoiled)
        refused(fair(path=str(tmp_path / name), mask=own["mask"]), message)
    refused(fair(path=[own["path"]], mask=own["mask"]), r"real.path=.*reads one file")
    np.save(tmp_path / "many.npy", np.ones((2, 200, 150), bool))
    refused(fair(path=own["path"], mask=str(tmp_path / "many.npy")), "many.npy: a mask of shape")
    with pytest.raises(UserError, match="its maps are those of lensing.survey=hsc_y3_fair"):
        fair({"lensing.survey": "hsc_y3"})


def test_preset_is_bin_2_of_hsc_y3_with_the_noise_of_the_challenge(fair: Callable[..., Config]) -> None:
    survey, whole = load_survey("hsc_y3_fair"), load_survey("hsc_y3")
    z = np.linspace(0, survey.z_max, 301)
    np.testing.assert_allclose(survey.n_z(z)[0], whole.n_z(z)[1], rtol=1e-12)
    assert survey.made_from == "flat" and survey.pixel_arcmin == hsc_y3.PIXEL_ARCMIN
    assert noise_sigma(fair())[0] == pytest.approx(0.4 / np.sqrt(2 * 30 * 4), rel=1e-4)
    assert survey.mask is None  # the footprint is not ours to pass on


LABELS = REAL / "hsc_y3" / "label.npy"  # Omega_m, S8, T_AGN, f0, Delta_z of the challenge's training maps


@pytest.mark.skipif(not LABELS.exists(), reason=f"no {LABELS}")
def test_experiment_has_priors_that_hold_the_cosmologies_of_the_challenge(config: Callable[..., Config]) -> None:
    cfg = config(overrides("dvc exp run $(cat experiments/fair.txt)")[0])
    omega_m, s8, _, _, delta_z = np.load(LABELS).reshape(-1, 5).T
    labels = {"omega_m": omega_m, "sigma8": s8 / np.sqrt(omega_m / 0.3), "delta_z_1": delta_z}
    for name, values in labels.items():
        low, high = cfg.bounds[cfg.parameter_names.index(name)]
        assert low <= values.min() and values.max() <= high, name
    assert "baryons" in cfg.parameter_names and cfg.targets == ("omega_m", "sigma8")
    assert (cfg.prior.h, cfg.prior.omega_b, cfg.prior.n_s) == (0.7, 0.046, 0.97)
    assert (cfg.lensing.survey, cfg.real.source) == ("hsc_y3_fair", "hsc_y3")


@needs_real
def test_published_maps_give_tiles_that_the_simulations_are_masked_like(fair: Callable[..., Config]) -> None:
    cfg = fair(mirror=str(REAL))
    sky = fetch(cfg)
    assert sky.maps.shape == (26, 64, 64, 1) and sky.maps.dtype == np.float32
    assert (sky.maps[..., 0][sky.coverage < image_files.USED] == 0).all()
    assert list(sky.provenance["files"]) == [hsc_y3.MASK, hsc_y3.MAPS]
    # every tile's footprint is in the library that training maps are masked with
    masks = command.mask_library(hsc_y3.read_mask(REAL / hsc_y3.MASK), 64, 0.1)
    library = {one.astype(np.float32).tobytes() for one in masks}
    assert all(one.tobytes() in library for one in sky.coverage)
    # noise and signal: a little above the noise alone, in units of the noise of a full pixel
    seen = finished(LastSteps(Observer(cfg)), sky.maps, sky.coverage)
    assert 1.0 < seen.std() < 1.3
    other = fetch(fair(mirror=str(REAL), map=2))
    assert abs(np.corrcoef(other.maps.ravel(), sky.maps.ravel())[0, 1]) < 0.02


@needs_real
def test_the_command_writes_the_mask_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new/masks.npy"
    assert command.main(["--mask", str(out), "--footprint", str(REAL / hsc_y3.MASK)]) == 0
    assert "84 masks of 64^2 pixels" in capsys.readouterr().out
    library = np.load(out)
    assert library.shape == (84, 64, 64) and library.dtype == np.uint8
    assert 0.9 <= library.mean(axis=(1, 2)).min() < library.mean(axis=(1, 2)).max() <= 1
    for arguments in (["--size", "200"], ["--max-masked", "-1"]):
        with pytest.raises(SystemExit) as stop:
            where = ["--mask", str(tmp_path / "no.npy"), "--footprint", str(REAL / hsc_y3.MASK)]
            cli.entry(lambda a=[*where, *arguments]: command.main(a))
        assert stop.value.code == 2 and arguments[0] in capsys.readouterr().err
        assert not (tmp_path / "no.npy").exists()

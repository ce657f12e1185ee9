"""Values that stand for missing data are distinguished from noise, however it is stored, and masked on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.readers import missing
from cosmokeras.readers.mock_sky import read_mock
from cosmokeras.surveys import RealSky, fetch

ROOT = Path(__file__).parents[2]
SIGMA = 0.0258


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, SIGMA, n)


STORED = {
    "float16": lambda x: x.astype(np.float16),
    "float16 of signal and noise": lambda x: x.astype(np.float16) + noise(len(x), 1).astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x,
    "eighths of sigma": lambda x: (np.round(x / SIGMA * 8) * (SIGMA / 8)).astype(np.float32),
    "steps of sigma": lambda x: np.round(x / SIGMA).astype(np.float32),
    "int16 with BSCALE": lambda x: np.round(x / 1e-5).astype(np.int16) * 1e-5,
    "skewed": lambda x: np.exp(20 * x) / 100 + np.roll(x, 7),
}


@pytest.mark.parametrize("n", [4096, 132_019, 1_000_000])
@pytest.mark.parametrize("stored", STORED)
def test_noise_repeats_no_value_that_counts(stored: str, n: int) -> None:
    assert missing.repeated_values(STORED[stored](noise(n))) == []


@pytest.mark.parametrize("value", [0.0, -99.0, 99.0, -1.0, 0.003])
@pytest.mark.parametrize("stored", ["float16", "float32", "float64", "int16 with BSCALE"])
def test_strips_and_holes_of_one_value_are_found(stored: str, value: float) -> None:
    pixels = STORED[stored](noise(4096))
    pixels[:123] = value  # 3 %
    found = missing.repeated_values(pixels)
    assert len(found) == 1 and found[0].pixels >= 123 and found[0].value == pytest.approx(value, rel=1e-3)


def test_zeros_are_found_in_coarse_steps_too() -> None:
    pixels = STORED["eighths of sigma"](noise(16_384))
    assert np.mean(pixels == 0) > 0.04, "zeros of noise"
    pixels[:492] = 0
    assert [one.value for one in missing.repeated_values(pixels)] == [0.0]


def test_the_committed_mock_sky_is_no_missing_data() -> None:
    maps, mask, _ = read_mock(ROOT / "data/mock/des_y3_mock.fits.gz")
    for one in maps:
        assert missing.repeated_values(one[mask]) == []
    assert missing.repeated_values(maps[0])[0].value == 0, "outside the footprint"


def test_quiet_squares_are_counted() -> None:
    maps = noise(2 * 64 * 64).reshape(2, 64, 64, 1)
    seen = np.ones((2, 64, 64), bool)
    assert missing.noiseless_pixels(maps, seen, np.array([SIGMA])) == 0
    maps[1, 8:24, 40:56] = 0.01 + maps[1, 8:24, 40:56] / 50
    assert missing.noiseless_pixels(maps, seen, np.array([SIGMA])) == 256
    seen[1, 8:24, 40:56] = False
    assert missing.noiseless_pixels(maps, seen, np.array([SIGMA])) == 0


@pytest.fixture
def load(config: Callable[..., Config], tmp_path: Path) -> Callable[..., RealSky]:
    """The sky of one bin and 32 pixels of 2 arcmin from an array."""

    def run(array: np.ndarray, mask: np.ndarray | None = None, **real: Any) -> RealSky:
        np.save(tmp_path / "kappa.npy", array)
        keys: dict[str, Any] = {"source": "array", "path": str(tmp_path / "kappa.npy"), "pixel_arcmin": 2.0, **real}
        if mask is not None:
            np.save(tmp_path / "mask.npy", mask)
            keys["mask"] = str(tmp_path / "mask.npy")
        other = {"data.size": 32, "lensing.survey": "hsc_y3_fair", "lensing.mask": "none"}
        spectra = {"model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}
        return fetch(config(other | spectra | {f"real.{key}": value for key, value in keys.items()}))

    return run


@pytest.mark.parametrize(
    ("value", "stated"),
    [(0.0, "0"), (-99.0, "-99"), (-99.9, "-99.9"), (-1.6375e30, "-1.6375e+30"), (np.nan, "nan"), (0.0123, "0.0123")],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_pixels_are_refused_or_masked_by_request(
    load: Callable[..., RealSky], value: float, stated: str, dtype: type
) -> None:
    maps = noise(64 * 96).reshape(64, 96).astype(dtype)
    maps[:2] = value
    with pytest.raises(UserError, match="kappa.npy: 192 ") as caught:
        load(maps)
    assert f"real.missing={stated} " in str(caught.value) and "\n" not in str(caught.value)
    sky = load(maps, missing="nan" if stated == "nan" else float(stated))
    assert (sky.coverage[:3, :2] == 0).all() and sky.coverage.sum() == 62 * 96
    assert (sky.maps[:3, :2] == 0).all()
    mask = np.ones((64, 96))
    mask[:2] = 0
    np.testing.assert_array_equal(load(maps, mask).maps, sky.maps)
    mask[1] = 1  # wider than the maps by a row
    with pytest.raises(UserError, match="kappa.npy: 96 "):
        load(maps, mask)


def test_only_missing_pixels_leave_nothing(load: Callable[..., RealSky]) -> None:
    with pytest.raises(UserError, match="no pixel is left"):
        load(np.zeros((64, 96), np.float32), missing=0.0)


def test_smooth_fillings_are_refused(load: Callable[..., RealSky]) -> None:
    maps = noise(64 * 96).reshape(64, 96)
    maps[16:32, 40:64] = 0.01 * np.sin(np.arange(16.0))[:, None] / 10 + 1e-5 * np.arange(24)
    with pytest.raises(UserError, match="384 of 6144 observed pixels have hardly any noise"):
        load(maps)


def test_the_key_is_for_maps_that_may_be_masked(config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"real.missing=0.0: real.source=mock defines its own missing values"):
        config({"real.missing": 0.0})
    keys = {"real.source": "array", "real.path": "x.npy", "data.kind": "grf", "real.missing": 0.0}
    with pytest.raises(UserError, match=r"data.kind=grf maps have no mask"):
        config(keys)
    for wrong in ("zero", True, float("inf"), [0.0]):
        with pytest.raises(UserError, match=r"real.missing="):
            config({"real.source": "array", "real.path": "x.npy", "real.missing": wrong})
    assert config({"real.source": "array", "real.path": "x.npy", "real.missing": float("nan")}).real.missing == "nan"


def test_maps_without_noise_go_through_unless_zeros_are_called_observed(load: Callable[..., RealSky]) -> None:
    from scipy.ndimage import gaussian_filter

    smooth = np.exp(gaussian_filter(np.random.default_rng(0).standard_normal((64, 96)), 4, mode="wrap") * 12)
    maps = (smooth / smooth.std() * 0.02).astype(np.float32)
    maps -= maps.mean()
    assert len(load(maps).maps) == 6
    maps[30:34, 50:54] = 0
    with pytest.raises(UserError, match="16 of 6144 observed pixels are exactly 0"):
        load(maps)


STRIP, SQUARE = np.s_[:, :, :3], np.s_[:, 8:24, 8:16]


@pytest.mark.parametrize(
    ("where", "value", "line"),
    [
        (STRIP, 0.0, "maps: 288 of 3072 observed pixels are exactly 0, .*; set coverage to 0 there"),
        (STRIP, -99.0, "maps: 288 of 3072 observed pixels are exactly -99"),
        (np.s_[0, 4:8, 4:8], 0.0, "maps: 16 of 3072 observed pixels are exactly 0"),
        (SQUARE, None, "maps: 384 of 3072 .* have hardly any noise; .* set coverage to 0 there"),
    ],
)
def test_maps_given_straight_to_an_estimator_are_looked_at_too(
    config: Callable[..., Config], where: Any, value: float | None, line: str
) -> None:
    from cosmokeras.inference.estimator import Estimator

    keys = {"data.size": 32, "lensing.survey": "hsc_y3_fair", "real.source": "mock", "lensing.mask": "none"}
    cfg = config(keys | {"model.spectrum_bins": 6, "evaluate.spectrum_bins": 6})
    estimator = Estimator(cfg, model=None)  # type: ignore[arg-type]  # what prepares maps needs no network
    maps, coverage = noise(3 * 32 * 32).reshape(3, 32, 32, 1), np.ones((3, 32, 32))
    assert estimator.prepare(maps, coverage).shape == maps.shape
    maps[where] = maps[where] / 1000 if value is None else value
    with pytest.raises(UserError, match=line):
        estimator.prepare(maps, coverage)
    coverage[where] = 0
    assert (estimator.prepare(maps, coverage)[where] == 0).all()
    kept = noise(3 * 32 * 32, 1).reshape(3, 32, 32, 1)
    with pytest.raises(UserError, match="maps: the mean of each patch is 0, .*; set lensing.mean=removed_patch"):
        estimator.prepare(kept - kept.mean(axis=(1, 2, 3), keepdims=True), np.ones((3, 32, 32)))


def test_bins_that_are_one_map_are_refused(config: Callable[..., Config], tmp_path: Path) -> None:
    bins = noise(4 * 64 * 64, 2).reshape(4, 64, 64).astype(np.float32)
    for i, one in enumerate(bins):
        np.save(tmp_path / f"{i}.npy", one)
    for order, line in (("0123", None), ("0121", "bins 2 and 4 are the same"), ("0000", "bins 1 and 2 are the same")):
        paths = [str(tmp_path / f"{i}.npy") for i in order]
        keys = {"real.source": "array", "real.path": paths, "real.pixel_arcmin": 5.0, "lensing.mask": "none"}
        cfg = config(keys)
        if line is None:
            assert fetch(cfg).maps.shape == (1, 64, 64, 4)
        else:
            with pytest.raises(UserError, match=line):
                fetch(cfg)


def test_slabs_of_a_cube_are_no_emptier_than_empty(config: Callable[..., Config], tmp_path: Path) -> None:
    """Nor do they hold the mean density again and again; and what helps is no mask."""
    keys: dict[str, Any] = {"data.kind": "2lpt", "data.size": 32, "lpt.particles": 64, "real.source": "array"}
    keys |= {"lpt.slab_mpc_h": 125.0, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}
    cfg = config(keys | {"real.path": str(tmp_path / "slabs.npy")})
    slabs = np.expm1(10 * noise(4 * 32 * 32)).reshape(4, 32, 32, 1)
    for value, line in (
        (None, None),
        (0.0, "36 of 4096 .* exactly 0, .* make them again"),
        (-1.4, r"36 pixels are below -1 \(lowest -1.4\)"),
        (np.nan, "36 pixels are NaN or missing .* cannot be masked: make them again"),
    ):
        maps = slabs.copy()
        if value is not None:
            maps[1, :6, :6] = value
        np.save(tmp_path / "slabs.npy", maps)
        if line is None:
            assert len(fetch(cfg).maps) == 4
        else:
            with pytest.raises(UserError, match=line):
                fetch(cfg)

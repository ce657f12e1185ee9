"""Pixels, units and the sphere: what networks see of files is what lies in the pixels that they are trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import healpy
import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.observation.units import convert
from cosmokeras.params.config import Config
from cosmokeras.params.files import FilesConfig, theory_known
from cosmokeras.project import load_params
from cosmokeras.sky.patches import cut_patches
from cosmokeras.sky.resampling import averaging, ratio, resampled
from cosmokeras.suites.opening import open_suite
from tests.docs.extract import overrides
from tests.suites.conftest import OMEGA_M, write_table

NAMES = ["train"] * 32 + ["validation"] * 8 + ["test"] * 8


def wave(count: int, pixel: float, k: float) -> np.ndarray:
    """Means of cos(k x) over pixels, (count, count): exact, as maps made with these pixels would have."""
    edges = np.arange(count + 1) * pixel
    return np.outer(np.ones(count), np.diff(np.sin(k * edges)) / (k * pixel))


@pytest.mark.parametrize("times", [2, 3, 5])
def test_whole_ratios_give_the_window_of_the_larger_pixel_exactly(times: int) -> None:
    count = 30 * times
    fine = wave(count, 1.0, 0.3)[None, :, :, None]
    np.testing.assert_allclose(resampled(fine, times)[0, ..., 0], wave(30, times, 0.3), atol=2e-6)


@pytest.mark.parametrize("times", [1.2, 1.5, 2.5, 3.7])
def test_other_ratios_give_it_too(times: float) -> None:
    """Where averages by overlap, as many codes have them, are off by a per cent to a tenth."""
    k = np.pi / (2 * times)  # half of the highest wavenumber of the new pixels
    fine, want = wave(120, 1.0, k), wave(int(120 / times), times, k)
    rows, overlap = averaging(120, times), averaging(120, times, 2)
    exact, simple = (one @ fine @ one.T for one in (rows, overlap))
    inner = slice(6, -6)
    assert np.abs(exact - want)[inner, inner].max() < (2e-3 if times < 1.5 else 3e-4)
    assert np.abs(simple - want)[inner, inner].max() > 10 * np.abs(exact - want)[inner, inner].max()
    np.testing.assert_allclose(resampled(fine[None, :, :, None], times)[0, ..., 0], exact, atol=1e-5)


def test_weights_of_an_average_sum_to_one_and_use_every_pixel_once() -> None:
    weights = averaging(100, 2.5)
    assert weights.shape == (40, 100)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=0), 1 / 2.5, rtol=1e-5)
    assert averaging(100, 2.5, 2).min() == 0


def test_masked_pixels_do_not_count() -> None:
    maps, mask = np.ones((1, 8, 8, 1), np.float32), np.ones((8, 8), bool)
    mask[0, 0] = mask[4:6, 4:6] = False
    maps[0, ~mask] = 1e6
    got = resampled(maps, 2, mask)[0, ..., 0]
    want = np.ones((4, 4))
    want[2, 2] = 0
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_finer_pixels_than_the_files_have_are_refused() -> None:
    assert ratio(2.0, 2.01, "key") == 1
    assert ratio(2.0, 4.0, "key") == 2
    assert ratio(2.0, 5.0, "key") == 2.5
    with pytest.raises(UserError, match="key=2: coarser than the pixels that are trained on, 1.5"):
        ratio(2.0, 1.5, "key")


@pytest.mark.slow
def test_fine_maps_are_averaged_and_cut_into_patches(folder: Path, suite: Callable[..., Config]) -> None:
    """160 pixels of 2.5 arcmin are 80 of 5: four patches of 32 in the middle."""
    maps = 0.01 * np.random.default_rng(1).standard_normal((48, 160, 160, 4), dtype=np.float32)
    np.save(folder / "maps.npy", maps)
    write_table(folder / "table.csv", np.linspace(0.11, 0.49, 48)[:, None], NAMES)
    cfg = suite({"data.realisations": 4}, pixel_arcmin=2.5)
    assert open_suite(cfg).patches == 4
    generate(cfg, folder / "simulations", 1, progress=False)
    split = open_split(cfg, folder / "simulations", "test")
    coarse = maps[40].reshape(80, 2, 80, 2, 4).mean(axis=(1, 3))
    places = [(8, 8), (8, 40), (40, 8), (40, 40)]
    for i, (y, x) in enumerate(places):
        np.testing.assert_allclose(split.stored(np.array([i]))[0], coarse[y : y + 32, x : x + 32], atol=1e-8)


NSIDE = 64
SPHERE = {
    "lensing.survey": "sphere", "lensing.pixel_arcmin": 50.0, "data.realisations": 3, "real.source": "mock",
    "lensing.mask": "none",
}  # fmt: skip


def write_preset(folder: Path, name: str, changes: dict[str, Any]) -> None:
    """The preset `sphere`: another one with changes."""
    raw = yaml.safe_load((folder / "data" / "surveys" / f"{name}.yaml").read_text())
    (folder / "data").unlink()
    (folder / "data" / "surveys").mkdir(parents=True)
    (folder / "data" / "surveys" / "sphere.yaml").write_text(yaml.safe_dump(raw | {"name": "sphere"} | changes))


UNITS = {
    "kappa": (0.02, 0.02), "kappa_per_cent": (2.0, 0.02), "overdensity": (0.5, 0.5), "density_over_mean": (1.5, 0.5),
    "density": (1e11, 11.0), "log10_density": (11.0, 11.0), "arbitrary": (3.0, 3.0),
}  # fmt: skip


@pytest.mark.parametrize("units", UNITS)
def test_units(units: str) -> None:
    stored, want = UNITS[units]
    files = FilesConfig.model_validate({"units": units, "offset": 1.0, "scale": 2.0})
    maps = np.full((1, 2, 2, 1), stored, np.float32)
    np.testing.assert_allclose(convert(files, maps), (want - 1) / 2, rtol=1e-5)
    plain = FilesConfig.model_validate({"units": units})
    np.testing.assert_allclose(convert(plain, maps), want, rtol=1e-5)


@pytest.mark.slow
def test_maps_with_their_noise_get_no_other(folder: Path, suite: Callable[..., Config]) -> None:
    """What the network sees is the map over the noise of a pixel."""
    maps = 0.026 * np.random.default_rng(1).standard_normal((48, 2, 32, 32, 4), dtype=np.float32)
    np.save(folder / "maps.npy", maps)
    write_table(folder / "table.csv", np.linspace(0.11, 0.49, 48)[:, None], NAMES)
    included, survey = suite(noise="included"), suite()
    none, own = np.zeros(96, np.int32), np.arange(288, dtype=np.int32).reshape(96, 3)
    flat = maps.reshape(96, 32, 32, 4)
    seen = [np.asarray(Forward(cfg).unfinished(flat, none, own)) for cfg in (included, survey)]
    through = np.asarray(Forward(included).signal(flat, none))
    np.testing.assert_array_equal(seen[0], through)
    assert np.std((seen[1] - through)[..., 0]) == pytest.approx(0.0263, rel=0.02)
    generate(included, folder / "simulations", 1, progress=False)
    assert (theory_known(survey), theory_known(included)) == (True, False)  # which knows nothing of noise


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ["RING", "NESTED"])
def test_maps_of_the_sphere_are_cut_as_real_ones_are(ordering: str, folder: Path, suite: Callable[..., Config]) -> None:
    """A part of the sky, the rest UNSEEN; the patches are those of `cut_patches`."""
    write_preset(folder, "hsc_y3_fair", {"made_from": "healpix", "nside": NSIDE, "lmax": None})
    rng, npix = np.random.default_rng(1), healpy.nside2npix(NSIDE)
    seen = healpy.pix2ang(NSIDE, np.arange(npix), lonlat=True)[1] > 0
    sky = np.where(seen, 0.001 * rng.standard_normal((48, npix)), healpy.UNSEEN).astype(np.float32)
    stored = sky if ordering == "RING" else sky[:, healpy.nest2ring(NSIDE, np.arange(npix))]
    np.save(folder / "maps.npy", stored)
    write_table(folder / "table.csv", np.linspace(0.11, 0.49, 48)[:, None], NAMES)
    cfg = suite(SPHERE, healpix=ordering, pixel_arcmin=None, columns={"omega_m": OMEGA_M})
    own = open_suite(cfg)
    want = cut_patches(sky[7], seen, 32, 50.0, 0.0).maps
    assert own.patches == len(want) > 10
    numbers = 7 * own.patches + np.array([0, 5, 3])
    np.testing.assert_allclose(own.read(numbers), want[[0, 5, 3]], atol=1e-8)
    assert not own.referred
    assert generate(cfg, folder / "simulations", 1, progress=False)["maps_made"] == 48 * 3


@pytest.mark.slow
def test_cosmogrid(folder: Path) -> None:
    """Stand-in: a folder for each cosmology and each of its skies, an array for each bin, H0 in km/s/Mpc."""
    write_preset(folder, "des_y3", {"nside": NSIDE, "lmax": None, "mask": None, "mock": None})
    rng, npix = np.random.default_rng(1), healpy.nside2npix(NSIDE)
    names = ("Om", "s8", "Ob", "H0", "ns", "w0", "m_nu")
    low, high = (
        np.array(one) for one in ((0.1, 0.4, 0.03, 64, 0.87, -2, 0.06), (0.5, 1.4, 0.06, 82, 1.07, -0.5, 0.06))
    )
    table = np.zeros(20, [(name, "f8") for name in names])
    for name, *ends in zip(names, low, high, strict=True):
        table[name] = rng.uniform(*ends, 20)
    with h5py.File(folder / "CosmoGridV1_metainfo.h5", "w") as file:
        file["parameters/grid"] = table
    skies = (0.0005 * rng.standard_normal((20, 2, 4, npix))).astype(np.float32)
    for i, j in np.ndindex(20, 2):
        path = folder / "grid" / f"cosmo_{i:06d}" / f"perm_{j:04d}" / "projected_probes_maps_v11dmb.h5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            for number, sky in enumerate(skies[i, j], start=1):
                file[f"kg/metacal{number}"], file[f"ia/metacal{number}"] = sky, np.zeros(npix)
    sizes = {"data.n_cosmologies": 12, "data.validation": 4, "data.test": 4, "train.batch_size": 16, "data.size": 32}
    sizes |= {"model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}
    typed = overrides("dvc exp run $(cat experiments/cosmogrid.txt)")[0]
    cfg = load_params(folder / "params.yaml", typed | SPHERE | sizes)
    assert cfg.parameter_names == ("omega_m", "sigma8", "h", "omega_b", "n_s", "w0")
    own = open_suite(cfg)
    assert own.layout.axes == ("map", "pixel", "bin")
    numbers = np.array([(2 * 13 + 1) * own.patches + 4])
    np.testing.assert_allclose(own.theta(numbers)[0, 2], table["H0"][13] / 100)
    want = cut_patches(skies[13, 1], np.ones(npix), 32, 50.0, 0.0).maps[4]
    np.testing.assert_allclose(own.read(numbers)[0], want, atol=1e-8)
    assert generate(cfg, folder / "simulations", 1, progress=False)["maps_made"] == 20 * 3
    assert theory_known(cfg)

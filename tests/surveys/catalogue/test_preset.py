"""A preset from a catalogue says what was put into it, and leads to patches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from astropy.table import Table

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import load_survey
from cosmokeras.surveys.catalogue import masks, preset
from cosmokeras.surveys.sources import catalogue as source
from study import shear_catalogues as mock

NSIDE, NUMBER = 32, 100_000
Z = 0.05 * (np.arange(60) + 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a catalogue of lensfit, its block and its n(z)."""
    folder = tmp_path_factory.mktemp("project")
    sky = mock.sky(NSIDE, np.random.default_rng(1))
    Table(mock.columns("lensfit", sky, NUMBER, np.random.default_rng(2))).write(folder / "shear.fits")
    (folder / "block.yaml").write_text(yaml.safe_dump({"catalogue": mock.layout("lensfit").model_dump(mode="json")}))
    np.savetxt(folder / "nz.txt", np.column_stack([Z, *[np.exp(-(((Z - m) / 0.15) ** 2)) for m in (0.5, 0.9)]]))
    return folder


ARGUMENTS = ["block.yaml", "--nz", "nz.txt", "--name", "mine", "--nside", str(NSIDE), "--pixel", "110", "--size", "12"]


def test_a_preset_measures_what_was_put_in(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    assert preset.main([*ARGUMENTS, "--catalogue", "shear.fits", "--masks", "4", "--max-masked", "0.3"]) == 0
    assert "middles of steps" in capsys.readouterr().out
    survey = load_survey("mine")
    assert survey.made_from == "healpix" and survey.nside == NSIDE and survey.lmax == 2 * NSIDE
    # 90 x 60 degrees, half of the galaxies in each bin. One half of the sky is 1.5 times as dense as the mean, with
    # shapes of variance s2[0], the other half as dense, with s2[1]; weights are 1 / s2. The mean of 1 / n over shallow
    # pixels of 17 pairs is 6 % above 1 / mean n.
    area = np.radians(90) * 2 * np.sin(np.radians(30)) * (180 * 60 / np.pi) ** 2
    dense, s2 = np.array([1.5, 0.5]), 0.25**2 + 1.013 * np.array([0.1, 0.25]) ** 2
    sigma2 = (dense / s2).sum() / (dense / s2**2).sum()
    expected = NUMBER / 2 / area * sigma2 / np.mean(s2 / dense * [1.02, 1.06])
    np.testing.assert_allclose(survey.n_eff, expected, rtol=0.12)
    # with the scatter of the shear itself, 0.03 / sqrt(2) per component, and over 1 + m
    np.testing.assert_allclose(survey.sigma_e, np.hypot(np.sqrt(sigma2), 0.021) / (1 + np.array(mock.M)), rtol=0.02)
    ((west, east, south, north),) = survey.sky
    np.testing.assert_allclose([west, east, south, north], [10, 100, -30, 30], atol=2.5)
    z = np.linspace(0, 3, 3001)
    means = (survey.n_z(z) * z).sum(axis=1) / survey.n_z(z).sum(axis=1)
    np.testing.assert_allclose(means, [0.5, 0.9], atol=0.01)
    with np.load(folder / "data/masks/mine_12x110.npz") as stored:
        coverage, noise = stored["coverage"], stored["noise"]
    assert coverage.shape == noise.shape == (4, 12 + 32, 12 + 32)
    assert 0.3 < noise[coverage > 0.9].min() < 0.6 < 1.2 < noise[coverage > 0.9].max() < 5
    assert survey.mask == "../masks/mine_12x110.npz"


def test_the_noise_of_the_preset_is_that_of_its_pixels(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    preset.main([*ARGUMENTS, "--catalogue", "shear.fits"])
    survey = load_survey("mine")
    field = preset.shear_field(survey.catalogue, [folder / "shear.fits"], NSIDE, rotations=20)
    rms = np.sqrt((field.rotated[..., field.seen] ** 2).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(survey.healpix_noise(NSIDE), rms, rtol=0.01)


@pytest.mark.slow
def test_from_the_preset_to_patches_and_masks(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    preset.main([*ARGUMENTS, "--catalogue", "shear.fits"])
    survey = load_survey("mine")
    real = {"source": "catalogue", "path": None, "mask": None, "mirror": None, "offline": False, "max_masked": 0.2,
            "observed": None, "truth": None}  # fmt: skip
    cfg = SimpleNamespace(
        survey=survey, real=SimpleNamespace(**real), data=SimpleNamespace(size=12), root=".", pixel_arcmin=110.0,
        pixel_side=np.radians(110 / 60),
    )  # fmt: skip
    sky = source.load(cfg)
    assert len(sky.maps) >= 3 and sky.maps.shape[-1] == 2
    grid = ["--size", "12", "--pixel", "110", "--max-masked", "0.3", "--number", "3"]
    assert masks.main(["--survey", "mine", "--out", "deep.npz", *grid]) == 0
    with np.load("deep.npz") as stored:
        assert stored["noise"].shape == (3, 44, 44)
    assert masks.main(["--survey", "mine", "--out", "flat.npy", *grid]) == 0
    np.testing.assert_array_equal(np.load("flat.npy"), np.load("deep.npz")["coverage"])


@pytest.mark.parametrize(("change", "message"), [
    ({"--nz": "one.txt"}, "n.z. of 1 bins, but catalogue.bins has 2"),
    ({"--name": "a/b"}, "--name a/b: letters"),
    ({"--catalogue": "none.fits"}, "none.fits: no such file"),
    ({"--catalogue": None}, "files of tables must be named"),
])  # fmt: skip
def test_what_does_not_fit_is_said(change: dict, message: str, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    np.savetxt("one.txt", np.column_stack([Z, np.exp(-(((Z - 0.5) / 0.15) ** 2))]))
    given = {"--nz": "nz.txt", "--name": "mine", "--catalogue": "shear.fits"} | change
    with pytest.raises(UserError, match=message):
        preset.main(["block.yaml", *[word for key, one in given.items() if one for word in (key, one)]])


def test_a_block_that_is_none_is_said(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    Path("bad.yaml").write_text("columns: {ra: RA}")
    with pytest.raises(UserError, match="bad.yaml: columns.dec: Field required"):
        preset.main(["bad.yaml", "--nz", "nz.txt", "--name", "mine", "--catalogue", "shear.fits"])

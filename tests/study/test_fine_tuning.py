"""Fine-tuning in tiny numbers: who sees which maps, in which units, with which weights; and a run of the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import Split
from study import domain_gap, fine_tuning, gap_pictures
from study.fine_tuning import Effort, Maps

pytestmark = pytest.mark.slow


@pytest.fixture
def maps(tmp_path: Path) -> Maps:
    """Ninety maps of thirty cosmologies, whose pixels are their number."""
    cosmology = np.repeat(np.arange(30), 3)
    array = np.broadcast_to(np.arange(90.0)[:, None, None, None], (90, 2, 2, 1)).astype(np.float32)
    split = Split([array[:50], array[50:]], np.array([0, 50]), cosmology[:, None] / 100, cosmology)
    return Maps(domain_gap.config("2lpt", domain_gap.QUICK), split, array[:1], np.zeros((1, 1)), 2.0, tmp_path)


def test_no_way_of_training_sees_more_maps_than_it_says(maps: Maps) -> None:
    training, held = fine_tuning.some(maps, 40, seed=1)
    assert (len(training), len(held)) == (32, 8)
    read = [part.read(np.arange(len(part)))[:, 0, 0, 0] * maps.unit for part in (training, held)]
    assert len(np.unique(np.concatenate(read))) == 40
    for part, numbers in zip((training, held), read, strict=True):
        np.testing.assert_array_equal(numbers // 3, part.cosmology)  # parameters stay with their maps
    assert len(np.unique(np.concatenate([training.cosmology, held.cosmology]))) == 14  # whole cosmologies
    other = fine_tuning.some(maps, 40, seed=2)[0]
    assert set(other.cosmology) != set(training.cosmology)


def test_few_maps_are_read_more_often(maps: Maps) -> None:
    effort = Effort(steps=600, epochs=15)
    few, many = (fine_tuning.settings(maps, Path("grf"), "frozen", n, 1, effort).train for n in (50, 5000))
    assert few.epochs * (40 // few.batch_size) >= 600
    assert few.batch_size == 10
    assert many.batch_size == maps.cfg.train.batch_size
    assert few.patience == few.epochs
    assert (few.init_from, few.freeze) == ("grf", "features")
    scratch = fine_tuning.settings(maps, Path("grf"), "scratch", 50, 1, effort).train
    assert (scratch.init_from, scratch.freeze) == (None, "none")
    assert scratch.lr == few.lr


def test_more_seeds_for_few_maps_and_something_to_see_after_each(maps: Maps, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(maps: Maps, trained: Path, way: str, count: int, seed: int, effort: Effort) -> float:
        return seed + count / 1000

    monkeypatch.setattr(fine_tuning, "error", error)
    monkeypatch.setattr(fine_tuning, "read_maps", lambda folder, cfg: maps)
    monkeypatch.setattr(fine_tuning, "rmse", lambda *args: 0.2)
    monkeypatch.setattr(domain_gap, "trained", lambda *args: maps.folder)
    monkeypatch.setattr("cosmokeras.models.load", lambda folder: None)
    seen = [dict(result["frozen"]) for result in fine_tuning.curve(Effort(numbers=(8, 40, 500), seeds=2, few=8))]
    assert len(seen) == 2
    assert seen[-1] == {"0": [0.2], "8": [1.008, 2.008], "40": [1.04]}  # there are no 500 maps


def test_the_picture_shows_every_way(tmp_path: Path) -> None:
    result = {"prior_rmse": 0.11, "scratch": {"50": [0.1, 0.12], "200": [0.08]}}
    result |= {"fine_tuned": {"0": [0.13], "50": [0.07, 0.06], "200": [0.05]}, "frozen": {"0": [0.13], "50": [0.08]}}
    gap_pictures.fine_tuning(tmp_path / "curve.png", result)
    image = imread(tmp_path / "curve.png")[..., :3]
    for colour in ((0, 0x72, 0xB2), (0xE6, 0x9F, 0), (0, 0x9E, 0x73)):
        assert (np.abs(255 * image - colour).max(axis=-1) < 2).sum() > 100, colour


@pytest.mark.slow
def test_the_command_trains_every_way_and_keeps_what_it_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages that make maps and the first network are those of the domain gap, whose test runs them."""
    from cosmokeras import models

    cfg = domain_gap.config("2lpt", domain_gap.QUICK)
    generate(cfg, tmp_path / "outputs" / "simulations", workers=1, progress=False)
    (tmp_path / "outputs" / "model").mkdir()
    models.build(domain_gap.config("grf", domain_gap.QUICK)).save(tmp_path / "outputs" / "model" / "model.keras")
    monkeypatch.setattr(domain_gap, "trained", lambda *args: tmp_path)
    arguments = ["--quick", "--out", str(tmp_path / "curve.png"), "--metrics", str(tmp_path / "curve.json")]
    assert fine_tuning.main(arguments) == 0
    result = json.loads((tmp_path / "curve.json").read_text())
    assert result["prior_rmse"] == pytest.approx(0.4 / np.sqrt(12), abs=1e-5)
    numbers = {way: {int(n): len(errors) for n, errors in result[way].items()} for way in fine_tuning.WAYS}
    assert numbers == {"scratch": {16: 1}, "fine_tuned": {0: 1, 16: 1}, "frozen": {0: 1, 16: 1}}
    # the ways are ways of their own
    assert len({error for way in fine_tuning.WAYS for error in result[way]["16"]}) == 3
    assert 0.05 < result["unit"] < 5

    from cosmokeras.training import loop

    monkeypatch.setattr(loop, "train", None)
    assert fine_tuning.main(arguments) == 0
    assert json.loads((tmp_path / "curve.json").read_text()) == result

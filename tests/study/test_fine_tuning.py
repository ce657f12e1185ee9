"""Fine-tuning in tiny numbers: who sees which maps, in which units, with which weights; and a run of the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import Split
from cosmokeras.simulators.pm import calibration
from study import domain_gap, fine_tuning, gap_pictures, patches
from study.fine_tuning import CASES, Effort, Maps

pytestmark = pytest.mark.slow

FEWER = {"data.n_cosmologies": 8, "data.validation": 2, "data.test": 4}


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
    effort = Effort((50, 5000), steps=600, epochs=15)
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
    monkeypatch.setattr(fine_tuning, "read_maps", lambda folder, cfg, unit: maps)
    monkeypatch.setattr(fine_tuning, "rmse", lambda *args: 0.2)
    monkeypatch.setattr(domain_gap, "trained", lambda *args: maps.folder)
    monkeypatch.setattr("cosmokeras.models.load", lambda folder: None)
    effort = Effort(numbers=(8, 40, 500), seeds=2, few=8)
    seen = [dict(result) for result in fine_tuning.curve(CASES["nbody"], effort)]
    assert len(seen) == 2
    assert seen[-1]["frozen"] == {"0": [0.2], "8": [1.008, 2.008], "40": [1.04]}  # there are no 500 maps
    assert seen[-1]["saving"]["frozen"]["8"]["seeds"] == [1, 1]  # as many maps, as every way errs alike here
    assert all("saving" not in result for result in fine_tuning.curve(CASES["2lpt"], effort))


def test_a_case_does_not_touch_the_figures_of_another() -> None:
    first, second = {"unit": 0.6, "scratch": {"50": [0.1]}}, {"unit": 1.0}
    table = fine_tuning.merged(fine_tuning.merged({}, "nbody", second), "2lpt", first)
    assert table == {**first, "nbody": second}
    assert fine_tuning.merged(table, "2lpt", {"unit": 0.7}) == {"unit": 0.7, "nbody": second}
    assert fine_tuning.merged(table, "nbody", {"unit": 2.0}) == {**first, "nbody": {"unit": 2.0}}


def test_networks_of_both_kinds_fit_each_other() -> None:
    """Weights are copied from one to the other, and the maps of both are in one unit."""
    cheap, expensive = (patches.config(name, domain_gap.FULL) for name in ("lognormal", "pm"))
    assert (cheap.lensing.matter, expensive.lensing.matter) == ("lognormal", "pm")
    assert cheap.model == expensive.model
    assert (cheap.survey, cheap.bounds.tolist()) == (expensive.survey, expensive.bounds.tolist())
    assert max(CASES["nbody"].effort.numbers) <= expensive.data.n_cosmologies * expensive.data.realisations


def test_lensing_maps_are_judged_as_the_survey_sees_them() -> None:
    cfg = patches.config("lognormal", domain_gap.QUICK)
    blank = np.zeros((64, 32, 32, 4), np.float32)
    split = Split([blank], np.array([0]), np.full((64, 1), 0.3), np.arange(64))
    noisy = fine_tuning.seen(split, cfg, 1.0)
    assert noisy.shape == blank.shape
    assert np.median(noisy.std(axis=(0, 1, 2))) == pytest.approx(1, abs=0.1)  # noise of a fully covered pixel is 1


RESULT = {"prior_rmse": 0.11, "scratch": {"50": [0.1, 0.12], "200": [0.08]}} | {
    "fine_tuned": {"0": [0.13], "50": [0.07, 0.06], "200": [0.05]}, "frozen": {"0": [0.13], "50": [0.08]}
}  # fmt: skip


@pytest.mark.parametrize("table", [RESULT, {"nbody": RESULT}, RESULT | {"nbody": RESULT}], ids=["one", "other", "both"])
def test_the_picture_shows_every_case_and_way(tmp_path: Path, table: dict[str, Any]) -> None:
    gap_pictures.fine_tuning(tmp_path / "curve.png", table)
    image = imread(tmp_path / "curve.png")[..., :3]
    left, right = np.split(image, [image.shape[1] // 2], axis=1)
    for half in (left, right):
        for colour in ((0, 0x72, 0xB2), (0xE6, 0x9F, 0), (0, 0x9E, 0x73)):
            seen = (np.abs(255 * half - colour).max(axis=-1) < 2).sum()
            assert seen > 100 or "nbody" not in table or "scratch" not in table, colour
    for colour in ((0, 0x72, 0xB2), (0xE6, 0x9F, 0), (0, 0x9E, 0x73)):
        assert (np.abs(255 * image - colour).max(axis=-1) < 2).sum() > 100, colour


@pytest.mark.parametrize("name", list(CASES))
def test_the_command_trains_every_way_and_keeps_what_it_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages that make maps and the first network are those of the domain gap, whose test runs them."""
    from cosmokeras import models

    case = CASES[name]
    networks = replace(domain_gap.QUICK, overrides=domain_gap.TINY | FEWER)
    monkeypatch.setattr(fine_tuning, "QUICK", replace(fine_tuning.QUICK, networks=networks))
    monkeypatch.setitem(calibration.PAIRS, "coarse", (2,) * 7)  # few boxes are measured: rough maps will do
    monkeypatch.setattr(calibration, "NODES_OF_ONE", 4)
    generate(case.config(case.expensive, networks), tmp_path / "outputs" / "simulations", workers=1, progress=False)
    (tmp_path / "outputs" / "model").mkdir()
    models.build(case.config(case.cheap, networks)).save(tmp_path / "outputs" / "model" / "model.keras")
    monkeypatch.setattr(domain_gap, "trained", lambda *args: tmp_path)
    arguments = [name, "--quick", "--out", str(tmp_path / "curve.png"), "--metrics", str(tmp_path / "curve.json")]
    assert fine_tuning.main(arguments) == 0
    table = json.loads((tmp_path / "curve.json").read_text())
    result = table if name == "2lpt" else table[name]
    assert result["prior_rmse"] == pytest.approx(0.4 / np.sqrt(12), abs=1e-5)
    numbers = {way: {int(n): len(errors) for n, errors in result[way].items()} for way in fine_tuning.WAYS}
    assert numbers == {"scratch": {16: 1}, "fine_tuned": {0: 1, 16: 1}, "frozen": {0: 1, 16: 1}}
    # the ways are ways of their own
    assert len({error for way in fine_tuning.WAYS for error in result[way]["16"]}) == 3
    assert 0.05 < result["unit"] < 5
    assert (result["unit"] == 1) == (case.unit == "same")
    assert {"saving", "worth"} & set(result) == ({"saving", "worth"} if case.saves else set())

    from cosmokeras.training import loop

    monkeypatch.setattr(loop, "train", None)
    assert fine_tuning.main(arguments) == 0
    assert json.loads((tmp_path / "curve.json").read_text()) == table

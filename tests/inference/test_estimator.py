"""Estimators on disk: what is loaded is what was saved, whole, and nothing else is needed or run."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.evaluation.limits import exact_mean
from cosmokeras.inference.calibrate import SEED, calibrate
from cosmokeras.inference.estimator import Estimator
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.project import load_params

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def obs(grf: Config, splits: dict[str, Split]) -> np.ndarray:
    return observed(splits["test"], Forward(grf), 5)


@pytest.fixture(scope="module")
def folder(estimator: Estimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model"
    estimator.save(out)
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A saved estimator that a test may spoil; without checksums, what is read is what is left to be checked."""
    made = Path(shutil.copytree(folder, tmp_path / "model"))
    (made / "checksums.json").unlink()
    return made


def refused(call: Callable[[], Any], *words: str) -> None:
    """A one-line error that holds the words."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message


def test_answers_are_what_the_design_says(estimator: Estimator, obs: np.ndarray, splits: dict[str, Split]) -> None:
    n, truth = len(obs), splits["test"].theta
    assert estimator.parameters == ("omega_m",)
    assert (estimator.size, estimator.channels) == (32, 1)
    assert estimator.mean(obs).shape == (n, 1)
    samples = estimator.sample(obs, 500, seed=0)
    assert samples.shape == (n, 500, 1)
    assert ((samples >= 0.1) & (samples <= 0.5)).all()
    assert samples.mean(axis=1) == pytest.approx(estimator.mean(obs), abs=0.03)
    assert estimator.log_prob(obs, truth).shape == (n,)
    assert estimator.surprise(obs).shape == (n,)
    assert 0 < estimator.survey_surprise(obs) <= 1
    # seconds of training find most of what the exact posterior finds
    limit, found = (np.sqrt(np.mean((x - truth) ** 2)) for x in (exact_mean(estimator.cfg, obs), estimator.mean(obs)))
    assert found < 0.8 * 0.1155
    assert found > 0.9 * limit
    assert np.mean(estimator.log_prob(obs, truth)) > -np.log(0.4)


def test_log_prob_is_normalised_over_the_box(estimator: Estimator, obs: np.ndarray) -> None:
    theta = 0.1 + 0.4 * (np.arange(200) + 0.5) / 200
    one = np.repeat(obs[:1], 200, axis=0)
    density = np.exp(estimator.log_prob(one, theta[:, None]))
    assert density.mean() * 0.4 == pytest.approx(1, abs=0.01)
    assert estimator.log_prob(obs[:2], [[0.05], [0.6]]).tolist() == [-np.inf, -np.inf]


def test_loaded_is_what_was_saved(estimator: Estimator, folder: Path, obs: np.ndarray, splits) -> None:
    again, truth = Estimator.load(folder), splits["test"].theta
    assert again.cfg == estimator.cfg.model_copy(update={"root": again.cfg.root})
    for ask in (
        lambda e: e.mean(obs),
        lambda e: e.sample(obs, 20, seed=3),
        lambda e: e.log_prob(obs, truth),
        lambda e: e.distance(obs),
        lambda e: e.surprise(obs),
        lambda e: e.survey_surprise(obs),
        lambda e: e.combine(obs[:10], 50, seed=1),
        lambda e: e.prepare(3 * obs[:4], np.ones((4, 32, 32))),
    ):
        assert np.array_equal(ask(again), ask(estimator))


def test_saving_leaves_no_unfinished_files(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {
        "model.keras", "calibration.npz", "estimator.json", "checksums.json",
    }  # fmt: skip
    note = json.loads((folder / "estimator.json").read_text())
    assert (note["parameters"], note["size"], note["channels"]) == (["omega_m"], 32, 1)
    assert note["prior"] == {"omega_m": [0.1, 0.5]}


def test_one_patch_is_combined_as_itself(estimator: Estimator, obs: np.ndarray) -> None:
    assert np.array_equal(estimator.combine(obs[:1], 30, seed=2), estimator.sample(obs[:1], 30, seed=2)[0])


def test_patches_of_one_sky_find_its_parameter(
    estimator: Estimator, make_split, config: Callable[..., Config], tiny: dict[str, Any]
) -> None:
    one = config({**tiny, "prior.omega_m": [0.2499, 0.2501]})
    sky = observed(make_split(one, 1, 64, 9), Forward(one), 0)
    few, many = (estimator.combine(sky[:n], 2000, seed=0) for n in (4, 64))
    assert many.std() < 0.5 * few.std()
    assert abs(many.mean() - 0.25) < 3 * many.std()


def test_maps_unlike_the_training_set_are_surprising(estimator: Estimator, obs: np.ndarray) -> None:
    assert np.mean(estimator.surprise(obs) < 0.05) < 0.12
    rng = np.random.default_rng(0)
    for other in (10 * obs, rng.standard_normal(obs.shape), np.exp(obs), np.zeros_like(obs)):
        assert np.mean(estimator.surprise(other) < 0.05) > 0.9
        assert estimator.survey_surprise(other) < 0.01


@pytest.mark.parametrize("mask", ["survey", "masks/own.npy"])
@pytest.mark.parametrize("survey", ["cosmos"])
def test_lensing_model_stands_alone(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, survey: str, mask: str
) -> None:
    """Preset, mask and n(z) table go with the model, which then works from anywhere without the project."""
    import yaml

    project = tmp_path / "project"
    for name in ("surveys", "masks"):
        shutil.copytree(ROOT / "data" / name, project / "data" / name)
    shutil.copyfile(ROOT / "params.yaml", project / "params.yaml")
    (project / "masks").mkdir()
    np.save(project / "masks" / "own.npy", np.ones((1, 32, 32), np.float16))
    preset = project / "data" / "surveys" / f"{survey}.yaml"
    content = yaml.safe_load(preset.read_text())
    content["bins"][0]["n_z"] = [{"kind": "table", "file": "tables/nz.txt"}]
    preset.write_text(yaml.safe_dump(content))
    z = np.linspace(0, 4, 50)
    (preset.parent / "tables").mkdir()
    np.savetxt(preset.parent / "tables" / "nz.txt", np.column_stack([z, z**2 * np.exp(-z)]))

    cfg = load_params(
        project / "params.yaml",
        {**tiny, "data.kind": "lensing", "lensing.survey": survey, "lensing.mask": mask, "real.source": survey},
    )
    estimator = Estimator(cfg, models.build(cfg))
    obs = np.random.default_rng(0).standard_normal((3, 32, 32, 1)).astype(np.float32)
    coverage = np.ones((3, 32, 32))
    answers = estimator.mean(obs), estimator.prepare(obs, coverage), cfg.survey.n_z(z)
    estimator.save(project / "outputs" / "model")

    (project / "outputs" / "model").rename(tmp_path / "elsewhere")
    shutil.rmtree(project)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    again = Estimator.load("elsewhere")
    monkeypatch.chdir(tmp_path / "empty")
    assert np.array_equal(again.mean(obs), answers[0])
    assert np.array_equal(again.prepare(obs, coverage), answers[1])
    assert np.array_equal(again.cfg.survey.n_z(z), answers[2])
    # a model that was loaded can be saved over itself
    again.save(tmp_path / "elsewhere")
    assert np.array_equal(Estimator.load(tmp_path / "elsewhere").mean(obs), answers[0])


def test_mask_that_is_not_used_need_not_exist(tmp_path: Path, tiny: dict[str, Any]) -> None:
    shutil.copytree(ROOT / "data" / "surveys", tmp_path / "data" / "surveys")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    kind = {"data.kind": "lensing", "lensing.survey": "cosmos", "real.source": "cosmos", "lensing.mask": "none"}
    cfg = load_params(tmp_path / "params.yaml", {**tiny, **kind})
    Estimator(cfg, models.build(cfg)).save(tmp_path / "model")
    assert Estimator.load(tmp_path / "model").channels == 1


@pytest.mark.parametrize("name", ["estimator.json", "calibration.npz", "model.keras"])
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refused(lambda: Estimator.load(copy), str(copy), name, "dvc repro train")


def test_missing_folder(tmp_path: Path) -> None:
    refused(lambda: Estimator.load(tmp_path / "nowhere"), "nowhere", "no trained model", "dvc repro train")


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    start = len(content) // 3
    return content[:start] + bytes(b ^ 0xFF for b in content[start : start + 64]) + content[start + 64 :]


@pytest.mark.parametrize("name", ["estimator.json", "calibration.npz", "model.keras"])
@pytest.mark.parametrize(
    "spoil",
    [_half, _flipped, lambda content: b"", lambda content: bytes(range(256)) * 8],
    ids=["half", "flipped", "empty", "other"],
)
def test_damaged_file(copy: Path, name: str, spoil: Callable[[bytes], bytes]) -> None:
    (copy / name).write_bytes(spoil((copy / name).read_bytes()))
    refused(lambda: Estimator.load(copy), str(copy), "damaged", "dvc repro train")


@pytest.mark.parametrize("name", ["estimator.json", "calibration.npz", "model.keras", "checksums.json"])
def test_one_bit_of_a_model_is_noticed(folder: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    content = bytearray((copy / name).read_bytes())
    content[2 * len(content) // 3] ^= 1
    (copy / name).write_bytes(content)
    refused(lambda: Estimator.load(copy), str(copy), "damaged", "dvc repro train")


def test_format_of_another_version(copy: Path) -> None:
    note = json.loads((copy / "estimator.json").read_text())
    (copy / "estimator.json").write_text(json.dumps({**note, "format": 99}))
    refused(lambda: Estimator.load(copy), "99")


def test_spoilt_parameters_are_named(copy: Path) -> None:
    note = json.loads((copy / "estimator.json").read_text())
    note["config"]["data"]["size"] = "big"
    (copy / "estimator.json").write_text(json.dumps(note))
    refused(lambda: Estimator.load(copy), "estimator.json", "data.size", "big")


def test_loading_runs_no_code_from_the_file(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w').close()"
    maps = keras.Input((32, 32, 1))
    lambda_layer = keras.layers.Lambda(lambda x, code=code: (exec(code), x)[1])
    model = keras.Model(maps, lambda_layer(maps))
    assert marker.exists()  # building runs it: the test can tell
    marker.unlink()
    model.save(copy / "model.keras")
    assert zipfile.is_zipfile(copy / "model.keras")
    refused(lambda: Estimator.load(copy), str(copy))
    assert not marker.exists()


def test_pickles_are_not_read(copy: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    np.savez(copy / "calibration.npz", errors=np.array([Bomb()], dtype=object))
    refused(lambda: Estimator.load(copy), str(copy))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [(32, 32, 1), (2, 16, 16, 1), (2, 32, 32, 4), (2, 32, 32)])
def test_maps_of_another_shape(estimator: Estimator, shape: tuple[int, ...]) -> None:
    for ask in (estimator.mean, estimator.surprise, lambda maps: estimator.sample(maps, 2, seed=0)):
        refused(lambda ask=ask: ask(np.zeros(shape)), str(shape), "(n, 32, 32, 1)")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_with_holes(estimator: Estimator, obs: np.ndarray, bad: float) -> None:
    maps = obs[:5].copy()
    maps[3, 2, 1] = bad
    for ask in (estimator.mean, estimator.surprise, lambda maps: estimator.prepare(maps, np.ones((5, 32, 32)))):
        refused(lambda ask=ask: ask(maps), "map 3")


@pytest.mark.parametrize("shape", [(5,), (4, 1), (5, 2), (1, 5)])
def test_parameters_of_another_shape(estimator: Estimator, obs: np.ndarray, shape: tuple[int, ...]) -> None:
    refused(lambda: estimator.log_prob(obs[:5], np.full(shape, 0.3)), str(shape), "(5, 1)", "omega_m")


def test_what_was_not_calibrated_says_so(estimator: Estimator, obs: np.ndarray) -> None:
    bare = Estimator(estimator.cfg, estimator.model, stretch=estimator.stretch)
    assert np.array_equal(bare.mean(obs), estimator.mean(obs))
    refused(lambda: bare.surprise(obs), "reference")
    refused(lambda: bare.combine(obs, 10, seed=0), "calibrated")


def test_point_head_needs_its_errors(grf: Config, obs: np.ndarray, splits: dict[str, Split], tmp_path: Path) -> None:
    """Before calibration it has none; afterwards they are its rms error on validation maps, and survive the disk."""
    cfg = grf.model_copy(update={"model": grf.model.model_copy(update={"head": "mse"})})
    bare = Estimator(cfg, models.build(cfg))
    refused(lambda: bare.mean(obs), "calibrate")
    estimator = calibrate(bare, splits["train"].head(256), splits["validation"])
    maps = observed(splits["validation"], Forward(cfg), 123)  # grf maps have no noise
    error = np.sqrt(np.mean((estimator.mean(maps) - splits["validation"].theta) ** 2, axis=0))
    assert estimator.errors == pytest.approx(error)
    estimator.save(tmp_path / "model")
    again = Estimator.load(tmp_path / "model")
    assert np.array_equal(again.sample(obs, 10, seed=0), estimator.sample(obs, 10, seed=0))
    assert np.array_equal(again.errors, estimator.errors)
    wide = replace(estimator, errors=10 * estimator.errors)
    assert (wide.posterior(obs).std() > estimator.posterior(obs).std()).all()


def test_more_maps_make_more_surveys_and_change_nothing_else(estimator: Estimator, splits: dict[str, Split]) -> None:
    bare = Estimator(estimator.cfg, estimator.model)
    few, more = splits["train"].head(256), splits["test"]
    without = calibrate(bare, few, splits["validation"])
    made = calibrate(bare, few, splits["validation"], more)
    assert without.survey_reference is not None and made.survey_reference is not None
    count = len(splits["validation"])
    assert len(without.survey_reference.theta) == count
    assert np.array_equal(made.survey_reference.theta, np.concatenate([splits["validation"].theta, more.theta]))
    kept = made.survey_reference.null_residuals
    assert np.array_equal(kept[:, :count], without.survey_reference.null_residuals)
    maps = observed(more, Forward(estimator.cfg), SEED)
    expected = made.survey_reference.residuals(made.features(maps), more.theta)
    np.testing.assert_allclose(kept[0, count:], expected, atol=1e-4)
    assert np.array_equal(made.surprise(maps), without.surprise(maps))


def test_calibration_ranks_validation_maps(estimator: Estimator, splits: dict[str, Split]) -> None:
    distances = estimator.reference.distances
    assert len(distances) == len(splits["validation"])
    maps = observed(splits["validation"], Forward(estimator.cfg), 0)
    assert estimator.distance(maps) == pytest.approx(distances, rel=1e-3)
    # the response is that of the estimates to the truth
    bias = estimator.mean(maps)[:, 0] - splits["validation"].theta[:, 0]
    sigma = np.exp(0.5 * estimator.response.log_scatter[0, 0])
    assert 0.2 * bias.std() < sigma < 2 * bias.std()


def changed(copy: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The folder with another note in it."""
    note = json.loads((copy / "estimator.json").read_text())
    change(note)
    (copy / "estimator.json").write_text(json.dumps(note))
    return copy


@pytest.mark.parametrize(
    ("section", "key", "value", "word"),
    [
        ("data", "size", 64, "size"),
        ("model", "components", 7, "output of model.keras"),
        ("model", "head", "mse", "output of model.keras"),
        ("prior", "omega_m", [0.2, 0.6], "prior"),
        ("prior", "h", [0.6, 0.8], "prior of calibration.npz"),
    ],
)
def test_parameters_of_another_model(copy: Path, section: str, key: str, value: Any, word: str) -> None:
    changed(copy, lambda note: note["config"][section].update({key: value}))
    refused(lambda: Estimator.load(copy), str(copy), "not of one model", word, "dvc repro train")


@pytest.mark.parametrize(
    ("key", "value"), [("parameters", ["sigma8"]), ("size", 16), ("channels", 4), ("prior", {"omega_m": [0, 1]})]
)
def test_note_of_another_model(copy: Path, key: str, value: Any) -> None:
    refused(lambda: Estimator.load(changed(copy, lambda note: note.update({key: value}))), "not of one model", key)


@pytest.mark.parametrize("note", ["[]", "3", "null", '{"format": 2}', '{"format": 2, "config": 3}', '{"format": null}'])
def test_note_that_is_none(copy: Path, note: str) -> None:
    (copy / "estimator.json").write_text(note)
    refused(lambda: Estimator.load(copy), str(copy), "dvc repro train")


@pytest.mark.parametrize("name", ["stretch", "response.mean", "response.bounds", "measures.weights"])
def test_calibration_of_another_model(copy: Path, name: str) -> None:
    with np.load(copy / "calibration.npz") as stored:
        arrays = dict(stored)
    np.savez(copy / "calibration.npz", **arrays | {name: np.ones((6, 3))})
    refused(lambda: Estimator.load(copy), "not of one model", "calibration.npz")
    np.savez(copy / "calibration.npz", **{key: value for key, value in arrays.items() if key != "response.mean"})
    refused(lambda: Estimator.load(copy), "response.mean")


def test_folders_that_are_none(tmp_path: Path, estimator: Estimator) -> None:
    (tmp_path / "file").write_text("")
    refused(lambda: Estimator.load(tmp_path / "file"), "file")
    refused(lambda: Estimator.load(tmp_path), "no trained model")
    refused(lambda: estimator.save(tmp_path / "file"), "file")
    refused(lambda: estimator.save(None), "must be a path")


NO_WHOLE: list[Any] = [None, -1, 1.5, True, "1", np.nan, [2]]


def test_what_cannot_be_asked(estimator: Estimator, obs: np.ndarray) -> None:
    """Every method with every wrong value of each of its arguments: one line, never an answer."""
    two, flat = obs[:2], np.full((2, 1), 0.3)
    hole = np.where(two > 2, np.nan, two)
    no_maps = [None, "text", 0.3, [], two[0], two[..., 0], two[:0], np.repeat(two, 2, 3), np.moveaxis(two, 3, 1)]
    no_maps += [
        hole,
        two * np.inf,
        two.astype(float) * 1e39,
        two.astype(complex),
        two.astype(str),
        two.astype(object),
        two > 0,
    ]
    no_maps += [two * 1e30, np.ma.masked_greater(two, 2.0), [[1.0], [1.0, 2.0]]]
    no_theta = [None, "text", 0.3, [], flat[:1], flat[:, 0], np.full((2, 2), 0.3), flat[None], flat * np.nan]
    no_theta += [flat * np.inf, flat.astype(complex), flat.astype(str), flat.astype(object), flat > 0]
    whole = np.ones((2, 32, 32))
    no_coverage = [None, "text", 1.0, whole[0], whole[:1], whole[..., None], whole * np.nan, whole * 1.1, -whole]
    no_coverage += [whole * 0, np.stack([whole[0], 0 * whole[0]]), whole.astype(str), whole.astype(complex)]
    no_means = [None, [], flat[0], np.zeros((0, 1)), flat * np.nan, flat + 1, np.full((2, 2), 0.3), flat.astype(str)]
    asked = {"obs": (two, no_maps)}
    counted = {"n": (3, [*NO_WHOLE, 0]), "seed": (1, NO_WHOLE)}
    not_for_huge = [value for value in no_maps if value is not no_maps[16]]  # scaling is all that is done
    methods: dict[str, dict[str, tuple[Any, list[Any]]]] = {
        "prepare": {"maps": (two, [*not_for_huge, np.ones_like(two)]), "coverage": (whole, no_coverage)},
        "log_prob": {**asked, "theta_target": (flat, no_theta)},
        "sample": {**asked, **counted},
        "combine": {**asked, **counted},
        "combine_means": {"means": (flat, no_means), **counted},
        "combine_free": {"means": (flat, no_means), **counted},
        **{name: {**asked, **counted} for name in ("chain", "to_getdist", "to_arviz")},
    }
    others = (
        "outputs",
        "posterior",
        "mean",
        "features",
        "summaries",
        "distance",
        "surprise",
        "survey_surprise",
        "judge",
    )
    methods |= dict.fromkeys(others, asked)
    public = {name for name in dir(Estimator) if not name.startswith("_") and callable(getattr(Estimator, name))}
    inner = {"save", "load", "posterior_from"}  # the last takes what `outputs` gives
    assert public - inner == set(methods)
    answered = []
    for name, kinds in methods.items():
        method, right = getattr(estimator, name), {key: value for key, (value, _) in kinds.items()}
        assert method(**right) is not None
        for key, (_, bad) in kinds.items():
            for i, value in enumerate(bad):
                try:
                    answered.append(f"{name}({key}: {i}, {value!r}): {method(**right | {key: value})!r}")
                except UserError as error:
                    assert key in str(error), str(error)
                    assert "\n" not in str(error), str(error)
                    assert len(str(error)) < 300, str(error)
                except Exception as error:
                    answered.append(f"{name}({key}: {i}, {value!r}) ends in {type(error).__name__}: {error}")
    assert answered == []


def test_maps_in_any_form(estimator: Estimator, obs: np.ndarray) -> None:
    few = obs[:3]
    want = estimator.mean(few)
    for maps in (few.astype(float), few.astype(">f4"), np.asfortranarray(few), list(few), np.ma.array(few)):
        assert estimator.mean(maps) == pytest.approx(want, abs=1e-6)
    for coverage in (np.ones((3, 32, 32)), np.ones((3, 32, 32), int), np.ones((3, 32, 32), bool)):
        assert np.array_equal(estimator.prepare(few, coverage), estimator.prepare(few, np.ones((3, 32, 32))))


def test_density_outside_of_the_box_is_0(estimator: Estimator, obs: np.ndarray) -> None:
    theta = np.array([[0.0999], [0.1], [0.5], [0.5001], [7.0]])
    found = estimator.log_prob(obs[:5], theta)
    assert np.isfinite(found).tolist() == [False, True, True, False, False]
    assert (found[[0, 3, 4]] == -np.inf).all()
    assert estimator.log_prob(obs[:5], theta.astype(np.float32)) == pytest.approx(found)

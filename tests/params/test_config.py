"""`params.yaml`: what is accepted, and the one line that says why something is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.observation.masks import mask_file, survey_depth, survey_masks
from cosmokeras.params.config import Config
from cosmokeras.params.registry import NUISANCES, RANGES
from cosmokeras.project import load_params

ROOT = Path(__file__).parents[2]
GRF = {"data.kind": "grf"}


def complaint(path: Path, overrides: dict[str, Any] | None = None) -> str:
    """The message about wrong parameters, which must be one line."""
    with pytest.raises(UserError) as caught:
        load_params(path, overrides)
    message = str(caught.value)
    assert message == message.strip()
    assert "\n" not in message
    return message


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the parsed file in place."""
    raw = yaml12.read(path)
    change(raw)
    path.write_text(yaml12.dumps(raw))


def test_default_file_is_the_des_y3_problem_in_omega_m_alone(params: Path) -> None:
    cfg = load_params(params)
    assert cfg.data.kind == "lensing"
    assert cfg.survey.name == "des_y3"
    assert cfg.parameter_names == cfg.targets == ("omega_m",)
    assert cfg.bounds.tolist() == [[0.1, 0.5]]
    assert cfg.channels == 4
    assert cfg.pixel_arcmin == 5.0
    assert not cfg.periodic


def test_every_key_of_the_file_has_a_comment() -> None:
    silent, indents = [], []
    for line in (ROOT / "params.yaml").read_text().splitlines():
        key = re.match(r"( *)(\w+):", line)
        if key:
            indents.append(len(key[1]))
            if key[1] and not re.search(r"#\s*\w", line):
                silent.append(key[2])
    assert sum(indent > 0 for indent in indents) > 30
    assert silent == []


def test_overrides_reach_any_key_and_leave_the_rest(params: Path) -> None:
    cfg = load_params(params, {"data.kind": "grf", "data.size": 32, "grf.box_mpc_h": 128, "prior.omega_m": [0.2, 0.4]})
    assert (cfg.data.kind, cfg.data.size, cfg.grf.box_mpc_h) == ("grf", 32, 128.0)
    assert cfg.bounds.tolist() == [[0.2, 0.4]]
    assert (cfg.channels, cfg.periodic) == (1, True)
    assert cfg.data.seed == load_params(params).data.seed
    assert load_params(params).data.size == 64


def test_pixel_and_smoothing_override_those_of_the_survey(params: Path) -> None:
    cfg = load_params(params, {"lensing.pixel_arcmin": 2.5, "lensing.smoothing_arcmin": 7.0})
    assert (cfg.pixel_arcmin, cfg.smoothing_arcmin) == (2.5, 7.0)
    assert load_params(params).smoothing_arcmin == load_params(params).survey.smoothing_arcmin


def test_freeing_sigma8_alone_makes_it_a_target(params: Path) -> None:
    assert load_params(params, {"prior.sigma8": [0.6, 1.0]}).targets == ("omega_m", "sigma8")


def test_other_free_parameters_are_marginalised(params: Path) -> None:
    cfg = load_params(params, {"prior.h": [0.6, 0.8], "prior.n_s": [0.9, 1.0]})
    assert cfg.parameter_names == ("omega_m", "h", "n_s")
    assert cfg.targets == ("omega_m",)
    chosen = load_params(params, {"prior.h": [0.6, 0.8], "data.targets": ["h", "omega_m"]})
    assert chosen.target_columns == [1, 0]


def test_without_omega_m_the_free_parameters_are_the_targets(params: Path) -> None:
    assert load_params(params, {"prior.omega_m": 0.3, "prior.h": [0.6, 0.8]}).targets == ("h",)


def test_cosmology_fills_in_fixed_parameters(params: Path) -> None:
    values = load_params(params, {"prior.sigma8": [0.6, 1.0]}).cosmology([0.25, 0.7])
    expected = {"omega_m": 0.25, "sigma8": 0.7, "h": 0.7, "omega_b": 0.05, "n_s": 0.965, "w0": -1.0}
    expected |= {"a_ia": 0.0, "eta_ia": 0.0, "baryons": 0.0, "m_nu": 0.0, "log_t_agn": None}
    assert {name: values[name] for name in expected} == expected
    assert values["m_bias"].tolist() == values["delta_z"].tolist() == [0.0] * 4
    assert set(values) == set(RANGES)


def test_nuisances_may_be_left_out_freed_and_differ_by_bin(params: Path, tmp_path: Path) -> None:
    raw = yaml12.read(params)
    without = {name: value for name, value in raw["prior"].items() if name not in {*NUISANCES, "m_nu"}}
    params.write_text(yaml12.dumps({name: part for name, part in raw.items() if name != "theory"} | {"prior": without}))
    assert load_params(params) == load_params(ROOT / "params.yaml").model_copy(update={"root": str(tmp_path)})
    cfg = load_params(params, {"prior.m_bias": [-0.02, 0.02], "prior.a_ia": [-1.0, 1.0], "prior.delta_z": 0.01})
    assert cfg.parameter_names == ("omega_m", "a_ia", "m_bias_1", "m_bias_2", "m_bias_3", "m_bias_4")
    assert cfg.targets == ("omega_m",)
    assert cfg.bounds.tolist() == [[0.1, 0.5], [-1, 1], *[[-0.02, 0.02]] * 4]
    values = cfg.cosmology([0.3, 0.5, 0.001, 0.002, 0.003, 0.004])
    assert values["m_bias"].tolist() == [0.001, 0.002, 0.003, 0.004]
    assert values["delta_z"].tolist() == [0.01] * 4
    # maps of other kinds do not depend on them, so that their kept shards stay good
    grf = load_params(params, {"data.kind": "grf"})
    assert grf.simulation_key() == load_params(params, {"data.kind": "grf", "prior.a_ia": 1.0}).simulation_key()


def test_frozen(params: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_params(params).data.size = 32


def test_simulation_key_ignores_what_maps_do_not_depend_on(params: Path) -> None:
    key = load_params(params).simulation_key()
    same = {"lensing.mask": "none", "lensing.smoothing_arcmin": 3.0, "train.lr": 0.1, "data.targets": ["omega_m"]}
    same |= {"lensing.pixel_arcmin": 5.0}  # the preset's own
    assert load_params(params, same).simulation_key() == key
    for name, value in {"prior.h": 0.68, "data.seed": 2, "data.size": 32, "lensing.shell_mpc_h": 50.0}.items():
        assert load_params(params, {name: value}).simulation_key() != key


def test_config_survives_json(params: Path) -> None:
    cfg = load_params(params, {"prior.sigma8": [0.6, 1.0], "data.targets": ["omega_m"]})
    again = Config.model_validate_json(cfg.model_dump_json())
    assert again == cfg
    assert again.survey == cfg.survey


# What stops a stage: overrides, and the words that the line must hold (the key, the value, what is allowed).
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "typo": ({"train.epoch": 5}, ["train.epoch", "unknown", "did you mean 'epochs'", "batch_size"]),
    "unknown section": ({"trian.epochs": 5}, ["trian", "unknown", "did you mean 'train'", "prior"]),
    "unknown without resemblance": ({"data.zzz": 5}, ["data.zzz", "unknown", "n_cosmologies"]),
    "text for a number": ({"data.size": "big"}, ["data.size='big'", "integer"]),
    "fraction for a count": ({"train.epochs": 2.5}, ["train.epochs=2.5", "integer"]),
    "truth value for a number": ({"train.lr": True}, ["train.lr=True", "number"]),
    "nothing for a number": ({"train.lr": None}, ["train.lr=None", "number"]),
    "number for a truth value": ({"infer.refuse": 1}, ["infer.refuse=1", "true or false"]),
    "not positive": ({"train.lr": 0.0}, ["train.lr=0.0", "greater than 0"]),
    "kind": ({"data.kind": "nbody"}, ["data.kind='nbody'", "lensing, 2lpt, grf"]),
    "shells too thick": ({"lensing.shell_mpc_h": 200.0}, ["lensing.shell_mpc_h=200.0", "100"]),
    "section that is a number": ({"data": 3}, ["data=3"]),
    "key below a number": ({"data.size.x": 3}, ["data.size.x=3", "sections are"]),
    "prior of three": ({"prior.h": [0.6, 0.7, 0.8]}, ["prior.h=(0.6, 0.7, 0.8)", "number", "[low, high]"]),
    "prior in words": ({"prior.omega_m": "free"}, ["prior.omega_m='free'", "number", "[low, high]"]),
    "prior with text inside": ({"prior.omega_m": [0.1, "x"]}, ["prior.omega_m", "x", "[low, high]"]),
    "prior not a number": ({"prior.omega_m": float("nan")}, ["prior.omega_m=nan", "number"]),
    **{
        f"infinite {key}": ({key: float("inf")}, [f"{key}=inf", "finite number"])
        for key in (
            "train.lr",
            "train.weight_decay",
            "train.clip",
            "train.checkpoint_minutes",
            "lensing.smoothing_arcmin",
            "lensing.field_deg",
            "real.pixel_arcmin",
            "grf.box_mpc_h",
            "lpt.box_mpc_h",
            "lpt.slab_mpc_h",
        )
    },
    "low above high": ({"prior.omega_m": [0.5, 0.1]}, ["prior.omega_m=[0.5, 0.1]", "low must be below high"]),
    "low equal to high": ({"prior.omega_m": [0.3, 0.3]}, ["prior.omega_m=[0.3, 0.3]", "low must be below high"]),
    "outside the physical range": ({"prior.omega_m": [0.01, 0.5]}, ["prior.omega_m", "0.01", "0.05 to 0.95"]),
    "fixed outside the physical range": ({"prior.sigma8": 8.0}, ["prior.sigma8=8.0", "0.2 to 1.6"]),
    "more baryons than matter": ({"prior.omega_b": 0.1}, ["prior.omega_b=0.1", "prior.omega_m", "0.1"]),
    "baryons reach up to matter": ({"prior.omega_b": [0.03, 0.1]}, ["prior.omega_b", "0.1", "prior.omega_m"]),
    "baryons of the other model": (
        {"prior.log_t_agn": 7.8},
        ["prior.log_t_agn=7.8", "theory.nonlinear=hmcode2020", "theory.nonlinear=halofit", "prior.baryons"],
    ),
    "baryons of two models": (
        {"theory.nonlinear": "hmcode2020", "prior.baryons": [0.0, 2.0]},
        ["prior.baryons=(0.0, 2.0)", "theory.nonlinear=hmcode2020", "prior.log_t_agn", "set it to 0"],
    ),
    "too much heat": (
        {"theory.nonlinear": "hmcode2020", "prior.log_t_agn": [7.5, 9.0]},
        ["prior.log_t_agn=(7.5, 9.0)", "7.0 to 8.5"],
    ),
    "unknown power": ({"theory.nonlinear": "hmcode"}, ["theory.nonlinear='hmcode'", "'halofit' or 'hmcode2020'"]),
    "neutrinos in N-body boxes": (
        {"prior.m_nu": 0.06, "lensing.matter": "pm"},
        ["prior.m_nu=0.06", "lensing.matter=pm", "massless", "lognormal"],
    ),
    "neutrinos in the third moment": (
        {"prior.m_nu": [0.0, 0.3], "lensing.third_moment": "bihalofit"},
        ["prior.m_nu=(0.0, 0.3)", "lensing.third_moment=bihalofit", "massless", "shift"],
    ),
    "neutrinos in cubes": ({"prior.m_nu": 0.06, "data.kind": "2lpt"}, ["prior.m_nu=0.06", "2lpt", "set it to 0"]),
    "neutrinos free in cubes": (
        {"prior.m_nu": [0.0, 0.3], "data.kind": "2lpt"},
        ["prior.m_nu=[0.0, 0.3]", "2lpt maps do not depend on it"],
    ),
    "more neutrinos than matter": (
        {"prior.m_nu": 1.0, "prior.h": 0.4, "prior.omega_m": [0.1, 0.5]},
        ["prior.m_nu=1.0", "0.067", "prior.omega_b=0.05", "prior.omega_m (lowest value 0.1)"],
    ),
    "N-body sky of other maps": (
        {"real.mock": "pm", "lensing.survey": "kids_1000", "lensing.mask": "none"},
        ["real.mock=pm", "real.source=mock", "lensing.survey=kids_1000", "lognormal"],
    ),
    "N-body sky of another source": (
        {"real.mock": "pm", "real.source": "des_y3"},
        ["real.mock=pm", "real.source=des_y3", "set it to lognormal"],
    ),
    "nothing free": ({"prior.omega_m": 0.3}, ["prior", "free", "[0.1, 0.5]"]),
    "target not free": ({"data.targets": ["sigma8"]}, ["data.targets", "'sigma8'", "free parameters: omega_m"]),
    "target twice": ({"data.targets": ["omega_m", "omega_m"]}, ["data.targets", "once"]),
    "no target": ({"data.targets": []}, ["data.targets", "omega_m"]),
    "odd size": ({"data.size": 63}, ["data.size=63", "even"]),
    "patch beyond the tangent plane": ({"data.size": 512}, ["data.size=512", "pixel", "30 deg"]),
    "pixels too wide": ({"lensing.pixel_arcmin": 60.0}, ["data.size=64", "lensing.pixel_arcmin=60.0", "30 deg"]),
    "mask too small": ({"data.size": 128}, ["lensing.mask=survey", "data.size=128", "(96, 96)", "lensing.mask=none"]),
    "unknown survey": ({"lensing.survey": "des_y9"}, ["lensing.survey", "'des_y9'", "cosmos, des_y1, des_y3"]),
    "real maps of another survey": ({"real.source": "cosmos"}, ["real.source=cosmos", "lensing.survey=des_y3"]),
    "survey of other real maps": ({"real.source": "cosmos"}, ["real.source=cosmos", "lensing.survey=des_y3"]),
    "nuisance of other maps": (
        {"data.kind": "grf", "prior.m_bias": [-0.1, 0.1]},
        ["prior.m_bias=[-0.1, 0.1]", "grf maps do not depend on it"],
    ),
    "nuisance out of range": ({"prior.delta_z": [-1.0, 1.0]}, ["prior.delta_z=(-1.0, 1.0)", "-0.3 to 0.3"]),
    "target that is one of several": (
        {"prior.m_bias": [-0.1, 0.1], "data.targets": ["m_bias"]},
        ["'m_bias' is not free", "m_bias_1, m_bias_2, m_bias_3, m_bias_4"],
    ),
    "particles that do not fit the map": (
        {"data.kind": "2lpt", "lpt.particles": 100},
        ["lpt.particles=100", "multiple of data.size=64"],
    ),
    "slabs that do not fill the box": ({"data.kind": "2lpt", "lpt.slab_mpc_h": 300.0}, ["lpt.slab_mpc_h=300", "1000"]),
    "dark energy today": ({"data.kind": "2lpt", "prior.w0": [-1.2, -0.8]}, ["prior.w0", "lpt.redshift=0"]),
    "batch larger than the data": (
        {"data.n_cosmologies": 4, "data.realisations": 2},
        ["train.batch_size=64", "8 training maps"],
    ),
    "fresh maps of a slow kind": ({"train.fresh_maps": True}, ["train.fresh_maps=true", "data.kind=lensing", "grf"]),
    "one test cosmology": ({"data.test": 1}, ["data.test=1", "2"]),
    "calibration maps of a suite": (
        {
            "data.kind": "files",
            "data.calibration": 8,
            "files.maps": "maps.npy",
            "files.parameters": "table.csv",
            "files.columns": {"omega_m": 0},
            "files.units": "overdensity",
            "files.noise": "none",
            "lensing.mask": "none",
        },
        ["data.calibration=8", "simulated here", "0"],
    ),
    "one validation cosmology": ({"data.validation": 1}, ["data.validation=1", "2"]),
    "frozen random weights": ({"train.freeze": "stem"}, ["train.freeze=stem", "train.init_from"]),
    "unknown backend": ({"train.backend": "theano"}, ["train.backend='theano'", "'tensorflow', 'jax' or 'torch'"]),
    "too many spectrum bins": ({"model.spectrum_bins": 33}, ["model.spectrum_bins=33", "32"]),
    "parameter without effect": ({**GRF, "prior.sigma8": [0.6, 1.0]}, ["prior.sigma8=[0.6, 1.0]", "grf"]),
    "lensing maps for grf": ({**GRF, "real.source": "cosmos"}, ["real.source=cosmos", "data.kind=grf", "mock"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_parameters_end_in_one_line(params: Path, case: str) -> None:
    overrides, words = WRONG[case]
    message = complaint(params, overrides)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def test_missing_key_is_named(params: Path) -> None:
    rewrite(params, lambda raw: raw["train"].pop("lr"))
    assert "train.lr: missing" in complaint(params)


def test_missing_section_is_named(params: Path) -> None:
    rewrite(params, lambda raw: raw.pop("train"))
    assert "train: missing" in complaint(params)


def test_unknown_key_in_the_file_names_the_file(params: Path) -> None:
    rewrite(params, lambda raw: raw["data"].update(sise=64))
    message = complaint(params)
    assert str(params) in message
    assert "data.sise" in message
    assert "did you mean 'size'" in message


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "data: [1,\n", "a: b: c\n"])
def test_file_that_is_no_mapping(params: Path, text: str) -> None:
    params.write_text(text)
    assert str(params) in complaint(params)


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in complaint(tmp_path / "params.yaml")


def test_missing_mask_file_says_how_to_get_it(params: Path) -> None:
    (params.parent / "data").unlink()
    surveys = params.parent / "data" / "surveys"
    surveys.mkdir(parents=True)
    (surveys / "des_y3.yaml").write_text((ROOT / "data" / "surveys" / "des_y3.yaml").read_text())
    message = complaint(params)
    assert "des_y3_like.npy" in message
    assert "dvc pull" in message
    load_params(params, {"lensing.mask": "none"})


def test_smaller_patches_are_cut_from_the_masks_of_the_survey(params: Path) -> None:
    """From the middle, with what the masks know of the surroundings and beyond that a mirror image."""
    whole, part = survey_masks(load_params(params)), survey_masks(load_params(params, {"data.size": 32}))
    assert whole.shape[1:] == (64, 64) and part.shape == (len(whole), 32, 32)
    assert (part == whole[:, 16:-16, 16:-16]).all()
    around = survey_masks(load_params(params, {"data.size": 32}), margin=16)
    assert (around == whole).all()
    wider = survey_masks(load_params(params), margin=20)
    assert wider.shape[1:] == (104, 104)
    assert (wider[:, 20:-20, 20:-20] == whole).all()
    assert (wider[:, :4] == wider[:, 7:3:-1]).all()
    assert 0.5 < whole.mean() < 1.0
    assert (survey_masks(load_params(params, {"lensing.mask": "none"})) == 1).all()


def test_masks_of_ones_own_are_files_below_the_folder_of_the_parameters(params: Path) -> None:
    rng = np.random.default_rng(1)
    masks = (rng.uniform(size=(3, 64, 64)) < 0.9).astype(np.float16)
    np.save(params.parent / "masks.npy", masks)
    cfg = load_params(params, {"lensing.mask": "masks.npy"})
    assert mask_file(cfg) == Path("masks.npy")
    np.testing.assert_array_equal(survey_masks(cfg), masks)
    assert survey_masks(load_params(params, {"lensing.mask": "masks.npy", "data.size": 32})).shape == (3, 32, 32)


def test_a_file_of_masks_is_read_once_until_it_changes(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, load = [], np.load
    monkeypatch.setattr(np, "load", lambda path, **more: (reads.append(path), load(path, **more))[1])
    path = params.parent / "masks.npy"
    np.save(path, np.ones((2, 64, 64), np.float16))
    cfg = load_params(params, {"lensing.mask": "masks.npy"})
    survey_masks(cfg)[:] = 0.0
    assert survey_depth(cfg) is None
    assert (survey_masks(cfg) == 1).all() and reads == [path], "what a caller does to masks stays with the caller"
    np.save(path, np.full((3, 64, 64), 0.75, np.float16))
    assert (survey_masks(cfg) == 0.75).all() and len(reads) == 2


@pytest.mark.parametrize("value", ["footprint", "masks.fits", "../masks.npy", "/masks.npy", ""])
def test_a_mask_that_is_no_name_of_a_file_lists_what_is_allowed(params: Path, value: str) -> None:
    message = complaint(params, {"lensing.mask": value})
    assert f"lensing.mask={value!r}" in message
    assert "survey, none" in message
    assert ".npy" in message


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (None, "is missing; make it with"),
        (np.ones((3, 32, 32)), "data.size=64"),
        (np.ones((64, 64)), "masks[None]"),
        (np.ones((64, 32)), "(number of masks, size, size)"),
        (np.ones((1, 3, 64, 64)), "(number of masks, size, size)"),
        (np.full((3, 64, 64), "x"), "numbers"),
        (np.full((3, 64, 64), 1j), "numbers"),
        (np.full((3, 64, 64), 2.0), "outside 0 to 1"),
        (np.full((3, 64, 64), np.nan), "outside 0 to 1"),
        (np.zeros((3, 64, 64)), "hides a whole patch"),
        (np.zeros((0, 64, 64)), "no mask"),
    ],
)
def test_bad_masks_of_ones_own_are_refused(params: Path, masks: np.ndarray | None, words: str) -> None:
    if masks is not None:
        np.save(params.parent / "own.npy", masks)
    message = complaint(params, {"lensing.mask": "own.npy"})
    assert "lensing.mask=own.npy" in message
    assert words in message


@pytest.fixture
def temporary_run(params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parameters in a folder such as DVC makes for a run with --temp; it is the current one."""
    folder = params.parent / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(ROOT / "data", target_is_directory=True)
    monkeypatch.chdir(folder)
    return params.rename(folder / "params.yaml")


ARRAY = {"real.source": "array", "real.pixel_arcmin": 5.0, "lensing.pixel_arcmin": 5.0}


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"lensing.mask": "own.npy"}, "lensing.mask"),
        ({**ARRAY, "real.path": "own.npy"}, "real.path"),
        ({**ARRAY, "real.path": ["params.yaml", "own.npy"]}, "real.path"),
        ({**ARRAY, "real.path": "params.yaml", "real.mask": "own.npy"}, "real.mask"),
        ({**ARRAY, "real.path": "own.npy:KEY"}, "real.path"),
        ({"train.init_from": "own.npy"}, "train.init_from"),
        ({"real.source": "des_y3", "real.mirror": "own.npy"}, "real.mirror"),
    ],
)
def test_a_file_that_nothing_tracks_is_brought_into_a_temporary_run(
    temporary_run: Path, overrides: dict[str, Any], key: str, tmp_path: Path
) -> None:
    message = complaint(temporary_run, overrides)
    assert f"{key}=own.npy" in message
    assert f"neither in {tmp_path} nor" in message
    assert "dvc pull" not in message and "footprint" not in message
    np.save(tmp_path / "own.npy", np.ones((1, 64, 64)))
    for _ in range(2):  # each stage reads the parameters
        load_params(temporary_run, overrides)
        assert Path("own.npy").samefile(tmp_path / "own.npy")
    Path("own.npy").unlink()
    if key != "lensing.mask":
        whole = {name: str(tmp_path / value) if value == "own.npy" else value for name, value in overrides.items()}
        whole |= {name: [str(tmp_path / one) for one in v] for name, v in whole.items() if isinstance(v, list)}
        if "own.npy:KEY" not in whole.values():
            load_params(temporary_run, whole)
            assert not Path("own.npy").exists()


def test_all_files_of_a_pattern_are_brought_into_a_temporary_run(temporary_run: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    for number in (1, 2):
        np.save(suite / f"maps_{number}.npy", np.random.default_rng(number).normal(size=(8, 64, 64)))
    np.savetxt(suite / "table.txt", np.linspace(0.1, 0.5, 16))
    files = {"maps": "suite/maps_*.npy", "parameters": "suite/table.txt", "noise": "none", "box_mpc_h": 64.0}
    changes: dict[str, Any] = {f"files.{key}": value for key, value in files.items()}
    changes |= {"data.kind": "files", "files.columns": {"omega_m": 0}, "files.units": "overdensity"}
    changes |= {"data.validation": 4, "data.test": 4, "data.n_cosmologies": 8, "train.batch_size": 8}
    load_params(temporary_run, changes)
    assert sorted(path.name for path in Path("suite").iterdir()) == ["maps_1.npy", "maps_2.npy", "table.txt"]


def test_maps_in_the_home_folder_are_there_in_a_temporary_run_too(temporary_run: Path) -> None:
    load_params(temporary_run, {**ARRAY, "real.path": "~/own.npy", "real.mask": "~/mask.npz:seen"})


def test_a_preset_or_mask_that_is_new_in_data_must_be_tracked_for_a_temporary_run(temporary_run: Path) -> None:
    assert "`dvc add data`" in complaint(temporary_run, {"lensing.survey": "own"})


def test_a_missing_file_elsewhere_is_no_matter_of_tracking(params: Path) -> None:
    assert "git add" not in complaint(params, {"lensing.mask": "own.npy"})
    load_params(params, {"train.init_from": "own"})


def test_parameters_are_compared_by_what_was_given(params: Path) -> None:
    one, same, other = (load_params(params, {"prior.h": h}) for h in (0.7, 0.7, [0.6, 0.8]))
    assert [cfg.bounds.shape for cfg in (one, same, other)] == [(1, 2), (1, 2), (2, 2)]  # arrays that are kept
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2
    assert one != "params.yaml"

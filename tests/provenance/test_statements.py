"""Every key, every field of a preset and every file that either names, changed one by one: what must be made again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_json
from cosmokeras.params.config import Config
from cosmokeras.params.survey import Survey
from cosmokeras.provenance import stale, statements
from cosmokeras.provenance.results import RESULTS
from cosmokeras.provenance.statements import STAGES, check_record, differences, listed, statement
from cosmokeras.redshifts.terms import Bin, Gaussian, Smail, Table

ROOT = Path(__file__).parents[2]
KEPT = {"maps": "generate", "sky": "fetch_real", "model": "train"}  # of each stage, in the folder that it writes
MAPS, SKY, NET = {"generate", "train"}, {"fetch_real"}, {"train"}
NOTHING: set[str] = set()

# Key of params.yaml: another value, and the stages whose result depends on it, for lensing maps and a mock from a file.
PARAMS: dict[str, tuple[Any, set[str]]] = {
    **{f"prior.{name}": (value, MAPS) for name, value in {
        "omega_m": [0.2, 0.5], "sigma8": [0.6, 1.0], "h": 0.68, "omega_b": 0.045, "n_s": 0.96, "w0": -0.9, "m_nu": 0.06,
        "a_ia": 0.5, "eta_ia": 0.5, "m_bias": 0.01, "delta_z": 0.01, "baryons": 0.5,
    }.items()},
    "prior.log_t_agn": (7.8, MAPS),  # of hmcode2020
    "theory.nonlinear": ("hmcode2020", MAPS),
    "data.kind": ("2lpt", set(STAGES) - {"plots"}),  # pictures are of numbers
    "data.size": (16, MAPS | SKY),
    **{f"data.{name}": (value, MAPS) for name, value in {
        "n_cosmologies": 25, "realisations": 3, "validation": 9, "test": 9, "calibration": 4, "seed": 2,
        "dtype": "float32",
    }.items()},
    **{f"files.{name}": (value, NOTHING) for name, value in {  # of data.kind=files alone, see tests/suites
        "maps": "maps.npy", "bins": ["a"], "parameters": "table.csv", "columns": {"omega_m": 0}, "layout": "map y x",
        "units": "density", "pixel_arcmin": 2.0, "box_mpc_h": 25.0, "slabs": 4, "healpix": "RING", "mask": "mask.npy",
        "max_masked": 0.1, "group": "seed", "split": "set", "fold": 1, "noise": "none", "periodic": True, "offset": 1.0,
        "scale": 2.0, "channels": 2, "prior": "uniform",
    }.items()},
    "data.targets": (["omega_m", "h"], NET),
    "grf.box_mpc_h": (100.0, NOTHING),
    **{f"lpt.{name}": (value, NOTHING) for name, value in {
        "box_mpc_h": 500.0, "particles": 64, "slab_mpc_h": 125.0, "redshift": 1.0,
    }.items()},
    "lensing.survey": ("twin", NET | SKY),  # the same but for its name
    "lensing.pixel_arcmin": (9.0, MAPS | SKY),
    "lensing.smoothing_arcmin": (2.0, NET),
    "lensing.shell_mpc_h": (50.0, MAPS),
    "lensing.third_moment": ("bihalofit", MAPS),
    "lensing.matter": ("pm", MAPS | {"evaluate", "infer"}),  # made by another module
    "lensing.pm": ("fine", NOTHING),  # of lensing.matter=pm alone
    "lensing.mask": ("none", NET | SKY),
    "lensing.mean": ("removed_patch", NET | SKY),
    "lensing.field_deg": (20.0, NOTHING),  # of no field while the mean is kept
    "model.name": ("resnet", {"train", "evaluate", "infer"}),
    **{f"model.{name}": (value, NET) for name, value in {
        "width": 8, "head": "mse", "components": 3, "spectrum_bins": 5,
    }.items()},
    "train.backend": ("jax", {"train", "evaluate", "infer"}),
    **{f"train.{name}": (value, NET) for name, value in {
        "epochs": 7, "batch_size": 8, "lr": 0.1, "lr_scaling": "sqrt", "weight_decay": 0.1, "warmup": 0.2, "clip": 2.0,
        "patience": 3, "seed": 5, "fresh_maps": True, "precision": "mixed_bfloat16", "xla": "off", "freeze": "stem",
        "ensemble": 3,
        "init_from": None,
    }.items()},
    "train.checkpoint_minutes": (1.0, NOTHING),
    "train.wandb": (True, NOTHING),
    "evaluate.samples": (300, {"evaluate"}),
    "evaluate.spectrum_bins": (5, {"evaluate"}),
    "evaluate.nuisance_maps": (64, {"evaluate", "infer"}),
    "real.source": ("healpix", SKY),
    "real.mock": ("pm", SKY),
    "real.mirror": ("/somewhere", NOTHING),
    "real.path": ("other.fits", SKY),
    "real.mask": ("other.npy", SKY),
    "real.pixel_arcmin": (2.0, SKY),
    "real.map": (1, SKY),
    "real.offline": (True, NOTHING),
    "real.missing": (0.0, SKY),
    "real.observed": (True, SKY),
    "real.truth": ({"omega_m": 0.3}, SKY),
    "real.max_masked": (0.2, SKY | {"infer"}),
    "infer.refuse": (True, {"infer"}),
    "infer.threshold": (0.02, {"infer"}),
}  # fmt: skip
# Field of the preset, the same
CATALOGUE_BLOCK = {
    "files": "shear.fits", "columns": {"ra": "RA", "dec": "DEC", "e1": "E1", "e2": "E2"}, "signs": [1, -1],
    "calibration": {"method": "none"},
}  # fmt: skip
PRESET: dict[str, tuple[Any, set[str]]] = {
    "name": ("renamed", NET | SKY),  # a mock says which survey it is of
    "title": ("another", NET),  # stands in the words about a result
    "citation": ("another", NET),
    "pixel_arcmin": (9.0, MAPS | SKY),
    "smoothing_arcmin": (20.0, NET),
    "made_from": ("shear", MAPS | SKY),  # pixels show other things
    "nside": (128, NET | SKY),
    "lmax": (130, MAPS | SKY),
    "mean": ("removed_patch", NET | SKY),
    "field_deg": (20.0, NOTHING),
    "mask": ("masks/b.npy", NET | SKY),
    "mock": ("b.fits.gz", SKY),
    "sky": ([[0.0, 10.0, 0.0, 10.0]], NET | SKY),
    "catalogue": (CATALOGUE_BLOCK, NOTHING),  # of real.source=catalogue alone
    "z_max": (2.5, MAPS),
    "bins.0.n_eff": (5.0, NET | SKY),
    "bins.1.sigma_e": (0.3, NET | SKY),
    "bins.0.n_z.0.weight": (0.5, MAPS),
    "bins.0.n_z.0.mean": (0.6, MAPS),
    "bins.0.n_z.0.sigma": (0.3, MAPS),
    "bins.0.n_z.1.weight": (0.5, MAPS),
    "bins.0.n_z.1.alpha": (2.5, MAPS),
    "bins.0.n_z.1.beta": (1.6, MAPS),
    "bins.0.n_z.1.z0": (0.4, MAPS),
    "bins.1.n_z.0.file": ("b.txt", MAPS),
    "bins.1.n_z.0.z_column": (1, MAPS),
    "bins.1.n_z.0.n_column": (3, MAPS),
    "bins.1.n_z.0.weight": (2.0, MAPS),
    "bins.1.n_z.0.z_is": ("low_edge", MAPS),
}
# File that one of them names
FILES = {
    "data/surveys/a.txt": MAPS,
    "data/surveys/masks/a.npy": NET | SKY,
    "data/surveys/a.fits.gz": SKY,
    "mine.fits": SKY,
    "mine.npy": SKY,
    "trained/model.keras": NET,
    "data/surveys/b.txt": NOTHING,
    "data/surveys/masks/b.npy": NOTHING,
}
SURVEY: dict[str, Any] = {
    "name": "a", "title": "t", "citation": "c", "pixel_arcmin": 10.0, "smoothing_arcmin": 1.0, "made_from": "healpix",
    "nside": 64, "lmax": 128, "mask": "masks/a.npy", "mock": "a.fits.gz", "sky": [[0.0, 20.0, 0.0, 20.0]], "z_max": 3.0,
    "mean": "kept", "field_deg": None,
    "bins": [
        {"n_eff": 10.0, "sigma_e": 0.26, "n_z": [
            {"kind": "gaussian", "weight": 1.0, "mean": 0.5, "sigma": 0.2},
            {"kind": "smail", "weight": 1.0, "alpha": 2.0, "beta": 1.5, "z0": 0.5},
        ]},
        {"n_eff": 10.0, "sigma_e": 0.26, "n_z": [
            {"kind": "table", "file": "a.txt", "z_column": 0, "n_column": 2, "weight": 1.0, "z_is": "centre"},
        ]},
    ],
}  # fmt: skip


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """Parameters in a folder of their own, with a preset that has every field and names files of every kind."""
    surveys = tmp_path / "data" / "surveys"
    (surveys / "masks").mkdir(parents=True)
    (tmp_path / "trained").mkdir()
    write_preset(tmp_path, SURVEY)
    (surveys / "twin.yaml").write_text(yaml.safe_dump(SURVEY | {"name": "twin"}))
    for name in FILES:
        (tmp_path / name).write_text(content(name))
    (surveys / "b.fits.gz").write_text("b")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"size": 32, "n_cosmologies": 24, "realisations": 2, "validation": 8, "test": 8}
    params["lensing"] |= {"survey": "a"}
    params["train"] |= {"init_from": str(tmp_path / "trained")}
    params["real"] |= {"path": "mine.fits", "mask": "mine.npy"}
    return params


def content(name: str, peak: float = 0.5) -> str:
    """Something to read: a table of two columns of redshifts and two of n(z), or the name."""
    if not name.endswith(".txt"):
        return f"{name} {peak}"
    z = np.arange(0.05, 2, 0.05)
    columns = [z, 1.3 * z, np.exp(-((z - peak) ** 2) / 0.05), np.exp(-((z - peak) ** 2) / 0.1)]
    return "".join(" ".join(f"{one:.6f}" for one in row) + "\n" for row in zip(*columns, strict=True))


def write_preset(folder: Path, preset: dict[str, Any]) -> None:
    (folder / "data" / "surveys" / "a.yaml").write_text(yaml.safe_dump(preset))


def config(raw: dict[str, Any], folder: Path) -> Config:
    """Parameters by their types alone: combinations do not matter here."""

    def tuples(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: tuples(value) for key, value in node.items()}
        return tuple(map(tuples, node)) if isinstance(node, list) else node

    return Config.model_validate({**tuples(raw), "root": str(folder)})


def all_statements(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    cfg = config(raw, folder)
    return {name: statement(cfg, name) for name in RESULTS}


def put(node: Any, dotted: str, value: Any) -> Any:
    """A copy with one value changed."""
    out = inner = copy.deepcopy(node)
    *way, last = dotted.split(".")
    for key in way:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    assert inner.get(last) != value
    inner[last] = value
    return out


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Stages whose statements differ; what is kept of each must say the same."""
    names = {name for name in RESULTS if before[name] != after[name]}
    assert {KEPT[name] for name in names & KEPT.keys()} == names & set(KEPT.values())
    return names & set(STAGES)


def leaves(node: Any, name: str = "") -> set[str]:
    if isinstance(node, dict):
        return set().union(*(leaves(value, f"{name}.{key}" if name else key) for key, value in node.items()))
    return {name}


@pytest.mark.slow
@pytest.mark.parametrize("key", PARAMS)
def test_a_key_counts_where_it_matters_and_nowhere_else(key: str, raw: dict[str, Any], tmp_path: Path) -> None:
    value, stages = PARAMS[key]
    assert changed(all_statements(raw, tmp_path), all_statements(put(raw, key, value), tmp_path)) == stages


@pytest.mark.parametrize("field", PRESET)
def test_a_field_of_the_preset_likewise(field: str, raw: dict[str, Any], tmp_path: Path) -> None:
    value, stages = PRESET[field]
    before = all_statements(raw, tmp_path)
    write_preset(tmp_path, put(SURVEY, field, value))
    assert changed(before, all_statements(raw, tmp_path)) == stages


def test_the_inversion_of_a_catalogue_likewise(raw: dict[str, Any], tmp_path: Path) -> None:
    """And of a field whose mean is removed, how wide it is."""
    shear = SURVEY | {"made_from": "shear", "mock": None}
    write_preset(tmp_path, shear)
    before = all_statements(raw, tmp_path)
    write_preset(tmp_path, shear | {"inversion": "field"})
    assert changed(before, all_statements(raw, tmp_path)) == NET | SKY
    write_preset(tmp_path, shear | {"inversion": "field", "mean": "removed_field", "field_deg": 20.0})
    field = all_statements(raw, tmp_path)
    assert changed(before, field) == MAPS | SKY
    write_preset(tmp_path, shear | {"inversion": "field", "mean": "removed_field", "field_deg": 30.0})
    assert changed(field, all_statements(raw, tmp_path)) == MAPS | SKY


def test_a_catalogue_counts_for_its_source(raw: dict[str, Any], tmp_path: Path) -> None:
    """Columns, and the content of its files."""
    write_preset(tmp_path, SURVEY | {"catalogue": CATALOGUE_BLOCK})
    own = put(put(raw, "real.source", "catalogue"), "real.path", None)
    (tmp_path / "shear.fits").write_text("first")
    before = all_statements(own, tmp_path)
    write_preset(tmp_path, SURVEY | {"catalogue": CATALOGUE_BLOCK | {"signs": [1, 1]}})
    assert changed(before, all_statements(own, tmp_path)) == SKY
    write_preset(tmp_path, SURVEY | {"catalogue": CATALOGUE_BLOCK})
    (tmp_path / "shear.fits").write_text("another")
    assert changed(before, all_statements(own, tmp_path)) == SKY
    pattern = put(own, "real.path", "part_*.fits")
    (tmp_path / "part_1.fits").write_text("first")
    before = all_statements(pattern, tmp_path)
    (tmp_path / "part_2.fits").write_text("second")
    assert changed(before, all_statements(pattern, tmp_path)) == SKY


def test_pixels_of_cut_maps_are_those_of_a_place(raw: dict[str, Any], tmp_path: Path) -> None:
    """Without lmax, HEALPix pixels are averages, and noise-free maps depend on their size and latitude."""
    for field, value in {"nside": 128, "sky": [[0.0, 10.0, 0.0, 10.0]]}.items():
        write_preset(tmp_path, SURVEY | {"lmax": None})
        before = all_statements(raw, tmp_path)
        write_preset(tmp_path, SURVEY | {"lmax": None, field: value})
        assert changed(before, all_statements(raw, tmp_path)) == MAPS | SKY


@pytest.mark.parametrize("name", FILES)
def test_the_content_of_a_file_likewise(name: str, raw: dict[str, Any], tmp_path: Path) -> None:
    before = all_statements(raw, tmp_path)
    (tmp_path / name).write_text(content(name, peak=0.8))
    assert changed(before, all_statements(raw, tmp_path)) == FILES[name]
    if name == "data/surveys/a.txt":
        return  # without it there is no preset
    (tmp_path / name).unlink()
    assert changed(before, all_statements(raw, tmp_path)) == FILES[name]


def test_the_table_is_complete_or_new_keys_count_by_themselves(raw: dict[str, Any], tmp_path: Path) -> None:
    """Nobody need add a new key above: it counts, in the stage that its section belongs to."""
    cfg = config(raw, tmp_path)
    counted = {
        "prior": leaves(cfg.simulation_key()), "data": leaves(cfg.simulation_key()), "grf": set(), "lpt": set(),
        "files": set(), "lensing": leaves(cfg.simulation_key()), "model": leaves(cfg.training_key()),
        "train": leaves(cfg.training_key()), "real": leaves(cfg.sky_key()),
        "evaluate": leaves(statement(cfg, "evaluate")["params"]), "infer": leaves(statement(cfg, "infer")["params"]),
    }  # fmt: skip
    for section, keys in cfg.model_dump(exclude={"root"}).items():
        for key in set(keys):
            name = f"{section}.{key}"
            assert name in PARAMS or name in counted[section], f"{name} counts nowhere"
    fields = {f"survey.{name}" for name in Survey.model_fields if name not in (*PRESET, "bins", "inversion")}
    assert fields <= leaves(cfg.simulation_key())
    assert fields <= leaves(cfg.observation_key())
    assert fields <= leaves(cfg.sky_key())
    dumped = cfg.simulation_key()["survey"]["bins"]
    assert set(Bin.model_fields) - {"n_eff", "sigma_e"} == set(dumped[0])
    terms = [*dumped[0]["n_z"], *dumped[1]["n_z"]]
    for kind, term in zip((Gaussian, Smail, Table), terms, strict=True):
        assert set(kind.model_fields) - {"folder"} == set(term)


@pytest.mark.parametrize(
    ("kind", "key", "value", "stages"),
    [
        ("grf", "grf.box_mpc_h", 100.0, MAPS | SKY),
        ("grf", "prior.n_s", 0.9, MAPS | SKY),  # this mock sky is simulated
        ("grf", "data.seed", 9, MAPS | SKY),
        ("grf", "prior.sigma8", 0.9, NOTHING),  # has no influence on these maps
        ("grf", "lensing.pixel_arcmin", 1.0, NOTHING),
        ("grf", "lensing.mask", "none", NOTHING),
        ("grf", "lpt.particles", 64, NOTHING),
        ("2lpt", "lpt.particles", 64, MAPS | SKY),
        ("2lpt", "prior.sigma8", 0.9, MAPS | SKY),
        ("2lpt", "grf.box_mpc_h", 100.0, NOTHING),
        ("2lpt", "prior.a_ia", 1.0, NOTHING),
    ],
)
def test_other_kinds_depend_on_their_own_keys(
    raw: dict[str, Any], tmp_path: Path, kind: str, key: str, value: Any, stages: set[str]
) -> None:
    raw = put(raw, "data.kind", kind)
    assert changed(all_statements(raw, tmp_path), all_statements(put(raw, key, value), tmp_path)) == stages


def test_a_mock_that_is_simulated_here_depends_on_all_of_the_survey(raw: dict[str, Any], tmp_path: Path) -> None:
    preset = put(SURVEY, "mock", None)
    write_preset(tmp_path, preset)
    before = all_statements(raw, tmp_path)
    for field, value in {"bins.0.n_z.0.mean": 0.7, "bins.0.n_eff": 4.0, "z_max": 2.0}.items():
        write_preset(tmp_path, put(preset, field, value))
        assert "fetch_real" in changed(before, all_statements(raw, tmp_path)), field
    write_preset(tmp_path, preset)
    (tmp_path / "data" / "surveys" / "a.txt").write_text(content("a.txt", peak=0.8))
    assert "fetch_real" in changed(before, all_statements(raw, tmp_path))


def test_what_does_not_matter_to_noise_free_maps_does_not_change_a_bit(
    lensing: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields that the maps' fingerprint leaves out, changed: the simulator must give the same bytes."""
    from cosmokeras.simulators import simulate

    cfg = lensing.model_copy(update={"data": lensing.data.model_copy(update={"size": 16})})
    theta = np.array([[0.3]])
    expected = simulate(cfg, theta, seed=1)
    preset = cfg.survey.model_dump()
    others = {"sky": [[0.0, 10.0, 0.0, 10.0]], "smoothing_arcmin": 3.0, "mask": None}
    others |= {"bins": [{**one, "n_eff": 9.0, "sigma_e": 0.5} for one in preset["bins"]]}
    for field, value in others.items():
        other = cfg.model_copy()
        monkeypatch.setitem(other.__dict__, "survey", Survey.model_validate(preset | {field: value}))
        assert other.simulation_key() == cfg.simulation_key(), field
        np.testing.assert_array_equal(simulate(other, theta, seed=1), expected, err_msg=field)


def test_own_maps_anywhere_are_followed_by_their_content(raw: dict[str, Any], tmp_path: Path) -> None:
    outside, folder = tmp_path.parent / f"{tmp_path.name}-maps", tmp_path / "cubes"
    for one in (outside, folder):
        one.mkdir()
    for one in (outside / "a.npy", outside / "b.npz", outside / "c.fits", folder / "df_m_1_z=0.npy"):
        one.write_text("first")
    paths = [f"../{outside.name}/a.npy", f"{outside}/b.npz:maps", f"{outside}/c.fits[2]", "cubes"]
    raw = put(put(raw, "real.path", paths), "real.source", "array")
    before = all_statements(raw, tmp_path)
    assert None not in before["sky"]["files"].values()
    for one in (outside / "a.npy", outside / "b.npz", outside / "c.fits", folder / "df_m_1_z=0.npy"):
        one.write_text("second")
        assert changed(before, all_statements(raw, tmp_path)) == SKY, one
        one.write_text("first")
    (folder / "df_m_2_z=0.npy").write_text("one more")
    assert changed(before, all_statements(raw, tmp_path)) == SKY
    # what is not there is for the source to say
    assert all_statements(put(raw, "real.path", ["", "nowhere.npy"]), tmp_path)["sky"]["files"]["nowhere.npy"] is None


def test_own_maps_in_the_home_folder_are_followed_too(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    raw = put(put(raw, "real.source", "array"), "real.mask", "~/mask.npz:seen")
    raw = put(raw, "real.path", ["~/a.npy", "~/b.h5:bin1/kappa"])
    files = [home / name for name in ("a.npy", "b.h5", "mask.npz")]
    for one in files:
        one.write_text("first")
    before = all_statements(raw, tmp_path)
    assert None not in before["sky"]["files"].values()
    for one in files:
        one.write_text("second")
        assert changed(before, all_statements(raw, tmp_path)) == SKY, one
        one.write_text("first")


def test_the_manifest_of_published_maps_counts(raw: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "data" / "manifest.yaml"
    path.write_text((ROOT / "data" / "manifest.yaml").read_text())
    raw = put(raw, "real.source", "des_y3")
    before = all_statements(raw, tmp_path)
    path.write_text(path.read_text().replace("KS_tomo1.fits", "KS_tomo1_new.fits"))
    assert changed(before, all_statements(raw, tmp_path)) == SKY
    path.write_text((ROOT / "data" / "manifest.yaml").read_text().replace("label.npy", "labels.npy"))  # of hsc_y3
    assert changed(before, all_statements(raw, tmp_path)) == NOTHING


def test_statements_do_not_say_where_they_were_made(raw: dict[str, Any], tmp_path: Path) -> None:
    """Nothing of the folder but what params.yaml itself says."""
    raw = put(raw, "train.init_from", None)
    for name, one in all_statements(raw, tmp_path).items():
        assert str(tmp_path) not in json.dumps(one), name


def test_differences_are_named_the_first_of_them(raw: dict[str, Any], tmp_path: Path) -> None:
    then = all_statements(raw, tmp_path)["maps"]
    (tmp_path / "data" / "surveys" / "a.txt").write_text(content("a.txt", peak=0.8))
    now = all_statements(put(raw, "data.seed", 7), tmp_path)["maps"]
    assert differences(then, now) == ["data.seed=1, now 7", "content of data/surveys/a.txt"]
    assert listed(["a", "b", "c", "d", "e", "f"]) == "a; b; c; d; and 2 more"
    write_preset(tmp_path, SURVEY | {"bins": SURVEY["bins"][:1]})
    now = all_statements(put(raw, "lensing.shell_mpc_h", 50.0), tmp_path)["maps"]
    found = differences(then, now)
    assert found[0] == "lensing.shell_mpc_h=100.0, now 50.0"
    assert "survey.bins.2.n_z.1.file=a.txt, no longer used" in found
    code = now | {"code": now["code"] | {"cosmokeras/theory/halofit.py": "0"}}
    assert differences(now, code) == ["code of cosmokeras/theory/halofit.py"]


def test_an_output_of_other_inputs_is_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    cfg, folder = config(raw, tmp_path), tmp_path / "outputs" / "model"
    with pytest.raises(UserError, match=r"inputs.json is missing; run `dvc repro train`"):
        check_record(folder, cfg, "model", "train")
    write_json(folder / statements.NOTE, statement(cfg, "model"))
    check_record(folder, cfg, "model", "train")
    write_preset(tmp_path, put(SURVEY, "smoothing_arcmin", 20.0))
    with pytest.raises(UserError) as caught:
        check_record(folder, config(raw, tmp_path), "model", "train")
    remedy = "lensing.smoothing_arcmin=1.0, now 20.0; run `dvc repro train`"
    assert str(caught.value) == f"{folder} was made with other inputs: {remedy}"
    for damaged in ("{", "[]", "{}", '{"params": 1, "files": {}, "code": {}}'):
        (folder / statements.NOTE).write_text(damaged)
        with pytest.raises(UserError, match=r"run `dvc repro train`"):
            check_record(folder, cfg, "model", "train")


def lock(folder: Path, cfg: Config, without: Callable[[str], bool] = lambda stage: False) -> None:
    """dvc.lock and statements after a run of all stages with these parameters."""
    import hashlib

    stages: dict[str, Any] = {}
    makes = {"generate": "outputs/simulations", "fetch_real": "outputs/real", "train": "outputs/model"}
    reads = {"train": ["outputs/simulations"], "evaluate": ["outputs/simulations", "outputs/model"]}
    reads["infer"] = ["outputs/real", "outputs/model"]
    for stage in filter(lambda stage: not without(stage), STAGES):
        path = folder / "outputs" / "inputs" / f"{stage}.json"
        write_json(path, statement(cfg, stage))
        deps = [{"path": f"outputs/inputs/{stage}.json", "md5": hashlib.md5(path.read_bytes()).hexdigest()}]
        deps += [{"path": name, "md5": "1"} for name in reads.get(stage, [])]
        stages[stage] = {"deps": deps, "outs": [{"path": makes[stage], "md5": "1"}] if stage in makes else []}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def test_stale_results_are_named_with_what_differs(raw: dict[str, Any], tmp_path: Path) -> None:
    cfg = config(raw, tmp_path)
    assert stale.stale(cfg, tmp_path) == {stage: ["not recorded in dvc.lock"] for stage in STAGES}
    lock(tmp_path, cfg)
    assert stale.stale(cfg, tmp_path) == {}
    found = stale.stale(config(put(raw, "infer.threshold", 0.02), tmp_path), tmp_path)
    assert found == {"infer": ["infer.threshold=0.01, now 0.02"]}
    found = stale.stale(config(put(raw, "train.lr", 0.1), tmp_path), tmp_path)
    old = ["outputs/model is stale"]
    assert found == {"train": ["train.lr=0.002, now 0.1"], "evaluate": old, "infer": old}
    again = yaml.safe_load((tmp_path / "dvc.lock").read_text())
    again["stages"]["generate"]["outs"][0]["md5"] = "2"
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(again))
    assert "outputs/simulations was made again" in stale.stale(cfg, tmp_path)["train"]
    lock(tmp_path, cfg, without=lambda stage: stage == "infer")
    assert stale.stale(cfg, tmp_path) == {"infer": ["not recorded in dvc.lock"]}

"""Parameters are read as DVC writes them: YAML 1.2."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml

from cosmokeras import UserError, load_params
from cosmokeras.common import yaml12

ROOT = Path(__file__).parents[2]

VALUES: dict[str, Any] = {
    "on": "on", "off": "off", "yes": "yes", "no": "no", "y": "y", "On": "On", "OFF": "OFF",
    "true": True, "False": False, "null": None, "~": None, "": None, "none": "none",
    "1e-5": 1e-5, "5e-5": 5e-5, "1E5": 1e5, "1.0e-05": 1e-5, "5.e-5": 5e-5, "+1e3": 1000.0, ".5": 0.5, "-.5": -0.5,
    "1.": 1.0, "12e03": 12000.0, ".inf": math.inf, "-.Inf": -math.inf,
    "017": 17, "0o17": 15, "0x1F": 31, "1_000": 1000, "1_000.5": 1000.5, "-2": -2,
    "1e": "1e", "e5": "e5", "1e5x": "1e5x", "1:30": "1:30", "'1e-5'": "1e-5", '"on"': "on",
    "[1e-3, on]": [1e-3, "on"], "{a: 1e-3}": {"a": 1e-3},
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values_are_those_of_yaml_12(text: str, tmp_path: Path) -> None:
    found = yaml12.loads(f"a: {text}\n")["a"]
    assert (found, type(found)) == (VALUES[text], type(VALUES[text]))
    (tmp_path / "params.yaml").write_text(f"a: {text}\n")
    assert load_yaml(str(tmp_path / "params.yaml"))["a"] == found  # what DVC reads, and compares runs by


def test_not_a_number_is_read() -> None:
    assert math.isnan(yaml12.loads("a: .nan")["a"])


def test_anchors_stand_for_what_they_name() -> None:
    assert yaml12.loads("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\ne: *x\n") == {
        "a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ["a: given twice (line 3, column 1)"]),
        ("train:\n  lr: 1e-3\n  lr: 1e-4\n", ["lr: given twice (line 3"]),
        ("a: [1,", ["not valid YAML", "line 1"]),
        ("a: b: c", ["not valid YAML", "line 1, column 5"]),
        ("\ta: 1", ["not valid YAML", "line 1, column 1"]),
        ("a: *x", ["'x'"]),
        ("a: 1\n---\nb: 1\n", ["another document (line 2"]),
        ("a: !!python/object:os.system x", ["python/object"]),
        ("a: 2020-13-45", ["month"]),
        ("a: &x [*x]", ["alias"]),
        ("a: &x {b: {c: [*x]}}", ["alias"]),
        ("? [1, {b: 2}]\n: 3", ["unhashable"]),
        ("a: \x00", ["#x0000"]),
        ("[" * 5000, ["recursion"]),
    ],
)
def test_what_is_no_yaml_is_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        yaml12.read(path)
    assert "\n" not in str(error.value)
    for word in (f"{path}: ", *words):
        assert word in str(error.value)


def test_what_is_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: Is a directory"):
        yaml12.read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(UserError, match="latin.yaml: .*UTF-8"):
        yaml12.read(tmp_path / "latin.yaml")
    with pytest.raises(FileNotFoundError):
        yaml12.read(tmp_path / "no.yaml")
    (tmp_path / "mark.yaml").write_bytes("\ufeffa: 1\r\nb: é\r\n".encode())
    assert yaml12.read(tmp_path / "mark.yaml") == {"a": 1, "b": "é"}


def test_what_is_written_is_read_back() -> None:
    texts = [
        "on",
        "yes",
        "1e-5",
        "1_000",
        "012",
        "0o17",
        "null",
        "~",
        "",
        "x: y",
        "2020-01-01",
        "true",
        " a ",
        "# a",
        "é",
    ]
    content = {
        "texts": texts, "numbers": [1, 1e-5, 0.1, 1e22, -3.0, 5e-324], "more": {"z": None, "a": True, "b": {}, "c": []},
        "on": {"off": 1}, "long": "word " * 50,
    }  # fmt: skip
    found = yaml12.loads(yaml12.dumps(content))
    assert found == content
    assert list(found) == list(content)
    types = [type(a) for a in found["numbers"]]
    assert types == [type(a) for a in content["numbers"]]


OVERRIDES: dict[str, tuple[str, str, Any]] = {
    "train.xla=on": ("train", "xla", "on"),
    "train.xla=off": ("train", "xla", "off"),
    "train.xla=true": ("train", "xla", "on"),
    "train.xla=False": ("train", "xla", "off"),
    "train.xla=auto": ("train", "xla", "auto"),
    "train.lr=1e-3": ("train", "lr", 1e-3),
    "train.lr=1E-4": ("train", "lr", 1e-4),
    "train.weight_decay=1e-5": ("train", "weight_decay", 1e-5),
    "train.weight_decay=5e-5": ("train", "weight_decay", 5e-5),
    "train.clip=1e1": ("train", "clip", 10.0),
    "infer.threshold=1e-4": ("infer", "threshold", 1e-4),
    "grf.box_mpc_h=2.56e2": ("grf", "box_mpc_h", 256.0),
    "prior.m_bias=[-1e-2,1e-2]": ("prior", "m_bias", (-1e-2, 1e-2)),
    "prior.delta_z=1e-3": ("prior", "delta_z", 1e-3),
    "lensing.mask=none": ("lensing", "mask", "none"),
    "lensing.smoothing_arcmin=0": ("lensing", "smoothing_arcmin", 0.0),
    "real.mirror=null": ("real", "mirror", None),
    "real.offline=true": ("real", "offline", True),
    "data.n_cosmologies=2_000": ("data", "n_cosmologies", 2000),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_what_dvc_writes_is_what_is_read(params: Path, override: str) -> None:
    apply_overrides(str(params), [override])
    section, key, value = OVERRIDES[override]
    assert getattr(getattr(load_params(params), section), key) == value


@pytest.mark.parametrize(
    ("line", "section", "value"),
    [("lr: 1e-3", "train", 1e-3), ("weight_decay: 1e-4", "train", 1e-4), ("xla: off", "train", "off"),
     ("xla: on", "train", "on"), ("threshold: 1e-3", "infer", 1e-3)],
)  # fmt: skip
def test_what_is_written_by_hand_is_what_is_read(params: Path, line: str, section: str, value: Any) -> None:
    key = line.partition(":")[0]
    lines = [f"  {line}" if one.startswith(f"  {key}: ") else one for one in params.read_text().splitlines()]
    params.write_text("\n".join(lines) + "\n")
    assert getattr(getattr(load_params(params), section), key) == value


def test_a_switch_that_is_no_boolean_says_what_is_allowed(params: Path) -> None:
    for key in ("train.wandb", "train.fresh_maps", "real.offline", "infer.refuse"):
        with pytest.raises(UserError, match=f"{key}='on': must be true or false"):
            load_params(params, {key: "on"})
    with pytest.raises(UserError, match="train.xla='maybe': .*'auto', 'on' or 'off'"):
        load_params(params, {"train.xla": "maybe"})


def test_presets_are_read_as_parameters_are(params: Path) -> None:
    folder = params.parent / "data"
    folder.unlink()
    (folder / "surveys").mkdir(parents=True)
    preset = (ROOT / "data" / "surveys" / "lsst_y1.yaml").read_text()
    assert "\npixel_arcmin: " in preset
    path = folder / "surveys" / "own.yaml"
    lines = ["pixel_arcmin: 4e0" if one.startswith("pixel_arcmin:") else one for one in preset.splitlines()]
    path.write_text("\n".join(lines).replace("name: lsst_y1", "name: own"))
    own = {"lensing.survey": "own", "lensing.mask": "none"}
    assert load_params(params, own).survey.pixel_arcmin == 4.0
    path.write_text(path.read_text() + "\npixel_arcmin: 5\n")
    with pytest.raises(UserError, match=r"own.yaml: pixel_arcmin: given twice"):
        load_params(params, own)


def test_no_other_reader_of_yaml_is_used() -> None:
    found = []
    for folder in ("cosmokeras", "stages", "study", "benchmarks", "slurm"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found += [
                    path.relative_to(ROOT).as_posix() for name in names if name.split(".")[0] in ("yaml", "ruamel")
                ]
    assert set(found) == {"cosmokeras/common/yaml12.py"}

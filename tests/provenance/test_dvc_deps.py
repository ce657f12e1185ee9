"""What stages depend on, by DVC: what their statements say, which hold all code that a stage imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cosmokeras.common.code import LOCAL, NOT_FOLLOWED, ROOT, code_digests, module_file
from cosmokeras.evaluation import nuisances
from cosmokeras.params.config import Config
from cosmokeras.provenance.results import LITERATURE, RESULTS, WIDTHS
from cosmokeras.provenance.statements import STAGES, statement
from cosmokeras.report.draw import DRAWINGS
from cosmokeras.report.published import FILE

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
MAKERS = {"outputs/simulations": "generate", "outputs/real": "fetch_real", "outputs/model": "train"}
MAKERS |= {f"outputs/figures/{stage}.npz": stage for stage in STAGES[:-1]}
DRAWING = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cosmokeras" / "report").glob("*.py")} - {
    f"cosmokeras/report/{name}.py"
    for name in ("__init__", "published", "summary")  # of metrics and tables
}
# Each list of modules in a child of one process that has imported all that is not of the project. What is not followed
# is not there: what it imports counts for nobody.
LOADED = """
import importlib, json, os, sys
from unittest.mock import MagicMock
import astropy.io.fits, h5py, healpy, keras, matplotlib.pyplot, numba, pyccl, pydantic, scipy.stats, tensorflow
for name in sys.argv[2:]:
    sys.modules[name] = MagicMock()
for names in json.loads(sys.argv[1]):
    sys.stdout.flush()
    if os.fork() == 0:
        for name in names:
            importlib.import_module(name)
        print(*(name for name in sys.modules if name.split(".")[0] in ("cosmokeras", "stages")))
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1] != 0:
        sys.exit("a module could not be imported")
"""


def name_of(path: str) -> str:
    """Module in a file below the project's folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_every_stage_follows_its_statement_and_the_first_one_writes_them_all() -> None:
    assert list(DVC) == ["inputs", *STAGES]
    assert DVC["inputs"]["always_changed"] is True
    # data is a dependency, so that a copy of the checkout gets it from DVC
    assert DVC["inputs"]["deps"] == ["data"]
    written = [next(iter(entry)) for entry in DVC["inputs"]["outs"]]
    assert written == [f"outputs/inputs/{stage}.json" for stage in STAGES]
    for stage, path in zip(STAGES, written, strict=True):
        others = set(DVC[stage]["deps"]) - {path}
        assert path in DVC[stage]["deps"]
        assert others <= set(MAKERS), "what else counts belongs into the statement"


@pytest.mark.slow
def test_statements_hold_whatever_running_python_imports(config: Callable[..., Config]) -> None:
    code = {stage: statement(config(), stage)["code"] for stage in ("generate", "fetch_real", "train", "plots")}
    named = {stage: [name_of(path) for path in paths] for stage, paths in code.items()}
    left_out = [name_of(path.relative_to(ROOT).as_posix()) for path in (ROOT / "cosmokeras/provenance").glob("*.py")]
    command = [sys.executable, "-c", LOADED, json.dumps(list(named.values())), *left_out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (stage, names), line in zip(named.items(), done.stdout.splitlines(), strict=True):
        assert f"stages/{stage}.py" in code[stage]
        loaded = {name for name in line.split() if not name.startswith(NOT_FOLLOWED)}
        assert loaded - {"stages"} == set(names), stage


@pytest.mark.parametrize("result", RESULTS)
def test_functions_that_import_are_followed(result: str, config: Callable[..., Config]) -> None:
    """Every module of the project that is named by an import anywhere in the code of a statement is in it."""
    code = statement(config(), result)["code"]
    for path in code:
        text = re.sub(r"if TYPE_CHECKING:\n((    .*)?\n)+", "", (ROOT / path).read_text())
        named = re.findall(r"^ *(?:from|import) ((?:cosmokeras|stages)[\w.]*)", text, re.MULTILINE)
        for name in (one for one in set(named) if not one.startswith(NOT_FOLLOWED)):
            file = module_file(name)
            assert file is not None and file.relative_to(ROOT).as_posix() in code, f"{path}: {name}"


def test_code_that_is_chosen_by_name_counts_and_no_other(config: Callable[..., Config]) -> None:
    def code(result: str, **overrides: str) -> set[str]:
        return set(statement(config({key.replace("__", "."): v for key, v in overrides.items()}), result)["code"])

    lensing, grf = code("maps"), code("maps", data__kind="grf")
    assert "cosmokeras/simulators/lensing.py" in lensing and "cosmokeras/simulators/grf.py" in grf
    assert {"cosmokeras/theory/halofit.py", "cosmokeras/theory/limber.py", "cosmokeras/theory/table.py"} <= lensing
    assert not {"cosmokeras/simulators/grf.py", "cosmokeras/simulators/lpt.py", "cosmokeras/report/maps.py"} & lensing
    resnet, hybrid = code("weights", model__name="resnet"), code("weights")
    assert {"cosmokeras/models/resnet.py"} == resnet - hybrid
    assert {
        "cosmokeras/observation/ops/counters.py",
        "cosmokeras/params/config.py",
        "cosmokeras/observation/observer.py",
    } <= hybrid
    assert "cosmokeras/inference/calibrate.py" in code("model") - hybrid
    mock, real = code("sky"), code("sky", real__source="des_y3")
    assert "cosmokeras/surveys/sources/mock.py" in mock - real and "cosmokeras/surveys/sources/des_y3.py" in real - mock
    assert not any("models" in path or "training" in path for path in lensing | mock)
    assert all(path.split("/")[0] in LOCAL for path in code_digests("stages.infer"))


def test_what_draws_is_in_the_statement_of_plots_alone(config: Callable[..., Config]) -> None:
    """A change of a colour or of a sentence draws and writes again, and computes nothing."""
    code = {result: set(statement(config(), result)["code"]) for result in RESULTS}
    assert {result for result in RESULTS if code[result] & DRAWING} == {"plots"}
    assert code["plots"] >= DRAWING - {"cosmokeras/report/plot.py"} | {"stages/plots.py"}  # that is for notebooks


def test_the_last_stage_draws_what_the_others_kept() -> None:
    assert {path for path in DVC["plots"]["deps"] if path.endswith(".npz")} == {
        f"outputs/figures/{stage}.npz" for stage in DRAWINGS
    }
    drawn = [f"plots/{name}" for drawing in DRAWINGS.values() for name in drawing.pictures]
    outputs = [next(iter(entry)) for entry in DVC["plots"]["plots"]]
    assert [path for path in outputs if path.endswith(".png")] == drawn
    assert [path for path in outputs if not path.endswith(".png")] == ["plots/posterior"]  # for `dvc plots diff`
    for stage in DRAWINGS:
        assert f"outputs/figures/{stage}.npz" in [next(iter(entry)) for entry in DVC[stage]["outs"]]


def test_published_values_count_where_results_are_compared_with_them(config: Callable[..., Config]) -> None:
    named = {result for result in RESULTS if LITERATURE in statement(config(), result)["files"]}
    assert named == {"infer", "plots"}
    assert FILE == ROOT / LITERATURE
    named = {result for result in RESULTS if WIDTHS in statement(config(), result)["files"]}
    assert named == {"evaluate", "infer", "plots"}
    assert nuisances.FILE == ROOT / WIDTHS


def test_the_file_of_stages_stays_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 130


@pytest.mark.parametrize("stage", DVC)
def test_parameters_that_the_code_reads_are_listed(stage: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    listed = set(DVC[stage].get("params", []))
    text = (Path(ROOT) / "stages" / f"{stage}.py").read_text()
    read = {(s, k) for s in params for k in re.findall(rf"(?<![.\w])cfg\.{s}\.(\w+)", text)}
    missing = {f"{s}.{k}" for s, k in read if not {s, f"{s}.{k}"} & listed}
    assert not missing, f"add to params of {stage}: {sorted(missing)}"
    known = set(params) | {f"{s}.{k}" for s, keys in params.items() for k in keys}
    assert listed <= known
    if stage == "inputs":
        assert listed == set(params)

"""What the pages tell people to do, done in a clone: one small network, comparisons, own maps, all Python code."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

import cosmokeras as ck
from cosmokeras.project import load_params
from tests.docs.conftest import changed_files, ref, run, tiny
from tests.docs.extract import ROOT, blocks, commands, section, spans, words

pytestmark = pytest.mark.slow
PYTHON = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(page, "python")]
QUICK = ROOT / "docs" / "quick_reference.md"


RUNS = {"wide": 0.02, "s8": 0.005}  # thresholds: tests/docs/test_recipes.py runs what README says


@pytest.fixture(scope="module")
def trained(clone: Path) -> Path:
    """A network in `outputs/model`, committed, and the experiments of RUNS beside it."""
    run(clone, "dvc", "exp", "run", "-n", "base", *tiny())
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-q", "-m", "a small network")
    # one stage anew, under the names that the pages give runs
    for name, threshold in RUNS.items():
        run(clone, "dvc", "exp", "run", "--temp", "-n", name, "-S", f"infer.threshold={threshold}")
    return clone


@pytest.fixture(scope="module")
def typed(trained: Path) -> Callable[[Path], None]:
    """`typed(page)`: all blocks of a page, one after the other, as somebody would type them; once."""

    @cache
    def type_page(page: Path) -> None:
        code = "\n".join(block.text for block in blocks(page, "python") if not block.title)
        run(trained, "python", "-W", "ignore", "-c", code)

    return type_page


@pytest.mark.parametrize("page", [p for p in PYTHON if p.name != "extend.md"], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, typed: Callable[[Path], None]) -> None:
    typed(page)


def test_a_run_is_what_its_line_says(trained: Path) -> None:
    """Each begins with the parameters as committed, whatever ran before it, and changes nothing here."""
    assert not changed_files(trained)
    for name, threshold in RUNS.items():
        params = {
            rev: yaml.safe_load(run(trained, "git", "show", f"{rev}:params.yaml"))
            for rev in ("HEAD", ref(trained, name))
        }
        before, after = params.values()
        assert after["infer"] == {**before["infer"], "threshold": threshold}
        assert {**after, "infer": before["infer"]} == before
    table = run(trained, "python", "-m", "study.compare_runs").splitlines()
    assert [line.split()[0] for line in table] == ["run", "main", *sorted(RUNS)]
    for line, name in zip(table[2:], sorted(RUNS), strict=True):
        assert line.endswith(f"infer.threshold={RUNS[name]}")


def test_back_takes_a_run_away_and_keeps_what_was_changed_here(trained: Path) -> None:
    committed = (trained / "metrics" / "infer.json").read_text()
    run(trained, "dvc", "exp", "apply", "wide")
    assert "threshold: 0.02" in (trained / "params.yaml").read_text()
    (trained / "notes.txt").write_text("mine\n")
    run(trained, "make", "back", "DVC=dvc")
    assert not changed_files(trained)
    assert (trained / "notes.txt").read_text() == "mine\n"
    assert (trained / "metrics" / "infer.json").read_text() == committed
    assert "threshold: 0.02" in run(trained, "git", "stash", "show", "-p")
    run(trained, "git", "stash", "drop", "-q")
    (trained / "notes.txt").unlink()


def test_the_network_is_an_artifact_with_a_card(trained: Path, tmp_path: Path) -> None:
    run(trained, "git", "tag", "-a", "estimator@v1.0.0", "-m", "a small network")
    run(tmp_path, "dvc", "artifacts", "get", str(trained), "estimator", "-o", "mine")
    assert ck.Estimator.load(tmp_path / "mine").parameters == ("omega_m",)
    assert "48 maps of 24 simulations" in (tmp_path / "mine" / "README.md").read_text()


def test_own_maps_get_a_posterior(trained: Path, typed: Callable[[Path], None]) -> None:
    """The example of docs/data.md, after its Python block has written the maps."""
    page = ROOT / "docs" / "data.md"
    typed(page)
    command = next(c for c in commands(page) if "real.source=array" in c)
    output = run(trained, command)
    assert "Running stage 'train'" not in output
    run(trained, "dvc", "exp", "apply", "mine")
    infer = json.loads((trained / "metrics" / "infer.json").read_text())
    assert infer["source"] == "array"
    assert infer["n_patches"] == 1
    assert "array" in (trained / "outputs" / "inference.md").read_text()
    run(trained, "make", "back", "DVC=dvc")


def test_a_refused_map_is_one_line_and_exit_2(trained: Path) -> None:
    import numpy as np

    np.save(trained / "percent.npy", 100 * np.random.default_rng(0).normal(size=(64, 64, 4)).astype("float32"))
    mine = ["-S", "real.source=array", "-S", "real.path=percent.npy", "-S", "real.pixel_arcmin=5"]
    output = run(trained, "dvc", "exp", "run", "--temp", "-n", "refused", *mine, ok=False)
    assert "has an rms of" in output
    assert "Traceback" not in output
    assert not run(trained, "git", "status", "--short", "params.yaml", "metrics", "outputs")


def test_dvc_commands_do_what_the_reference_says(trained: Path) -> None:
    """The rows of the quick reference, in order, but those that train anew, `dvc queue start` and `dvc push`."""
    text = "".join(section(QUICK, f"DVC: {name}") for name in ("run", "several runs", "compare, keep, throw away"))
    typed = [s for s in spans(text) if s.split()[0] in ("dvc", "git") and len(s.split()) > 1]
    skipped = ("dvc exp run -n", "dvc exp run --temp", "dvc queue start", "dvc repro -f", "dvc gc")
    done = [command for command in typed if not command.startswith(skipped)]
    assert len(done) > 15
    for command in dict.fromkeys(done):
        output = run(trained, *words(command))
        if command == "dvc params diff main wide":
            assert "infer.threshold" in output
        if command == "dvc exp show --csv":
            assert "wide" in output
    assert run(trained, "git", "branch", "--list", "wide-branch").strip() == "wide-branch"
    assert "dvc_plots" in run(trained, "git", "check-ignore", "dvc_plots/")


def test_fine_tuning_of_the_readme_starts(trained: Path) -> None:
    """`cp -r outputs/model my_model` gives a folder that train.init_from takes."""
    run(trained, next(c for c in commands(ROOT / "README.md") if c.startswith("cp -r outputs/model")))
    load_params(trained / "params.yaml", {"train.init_from": "my_model", "train.freeze": "stem"})
    assert ck.Estimator.load(trained / "my_model").parameters == ("omega_m",)

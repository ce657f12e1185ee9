"""The examples of docs/extend.md, written into a clone as they stand and run through all stages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.docs.conftest import run, tiny
from tests.docs.extract import ROOT, blocks, commands, overrides

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "extend.md"


def apply(folder: Path, name: str, text: str) -> None:
    """Change a file as a `diff` block says: its lines without + must be there, once."""
    rows = text.splitlines()
    old = "\n".join(row[1:] for row in rows if row[0] in " -")
    new = "\n".join(row[1:] for row in rows if row[0] in " +")
    before = (folder / name).read_text()
    assert before.count(old) == 1, f"{name}: {old!r} is there {before.count(old)} times"
    (folder / name).write_text(before.replace(old, new))


@pytest.fixture(scope="module")
def extended(clone: Path) -> Path:
    """The clone with all files and lines of the page, committed."""
    for language in ("python", "yaml"):
        for block in blocks(PAGE, language):
            assert block.title, block.text
            (clone / block.title).write_text(block.text)
    for block in blocks(PAGE, "diff"):
        apply(clone, block.title, block.text)
    run(clone, next(c for c in commands(PAGE) if c.startswith("dvc add")))
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-q", "-m", "extended")
    return clone


def test_examples_are_short_and_follow_the_rules(extended: Path) -> None:
    files = [block.title for block in blocks(PAGE, "python")]
    assert len(files) == 3
    for block in blocks(PAGE, "python") + blocks(PAGE, "yaml"):
        assert len([line for line in block.text.splitlines() if line.strip()]) < 40, block.title
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *files], cwd=extended, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_commands_of_the_page_are_accepted(extended: Path) -> None:
    changes = [change for c in commands(PAGE) if "exp run" in c for change in overrides(c)]
    assert len(changes) == 5
    code = (
        "import json, sys; from cosmokeras.project import load_params\n"
        "for change in json.loads(sys.argv[1]): load_params('params.yaml', change)"
    )
    run(extended, "python", "-c", code, json.dumps(changes))


def test_simulator_network_and_source_go_through_all_stages(extended: Path) -> None:
    """New maps, learned by the new network, applied to maps of the new source."""
    rng, k = np.random.default_rng(3), np.hypot(*np.meshgrid(np.fft.rfftfreq(32), np.fft.fftfreq(32))) * 2 * np.pi
    amplitude = np.where(k > 0, np.where(k > 0, k, 1) ** -1.5, 0)  # Omega_m 0.3
    maps = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((4, 32, 32))) * amplitude, s=(32, 32))[..., None]
    np.savez(extended / "patches.npz", maps=maps, ra=np.arange(4.0), dec=np.zeros(4))
    names = ("power_law", "octaves", "bundle")
    chosen = [f"data.kind={names[0]}", f"model.name={names[1]}", f"real.source={names[2]}", "real.path=patches.npz"]
    size = ["data.size=32", "data.n_cosmologies=120", "data.test=30", "data.validation=30", "train.epochs=8"]
    run(extended, "dvc", "exp", "run", "-n", "new", *tiny(*size, *chosen))
    assert json.loads((extended / "metrics/generate.json").read_text())["spectrum_ratio"] == pytest.approx(1, abs=0.05)
    found = json.loads((extended / "metrics/evaluate.json").read_text())["omega_m"]
    assert found["rmse"] < 0.5 * found["prior_rmse"]
    infer = json.loads((extended / "metrics/infer.json").read_text())
    assert (infer["source"], infer["observed"], infer["n_patches"]) == ("bundle", True, 4)
    assert 0.2 < infer["omega_m"]["mean"] < 0.4


def test_the_survey_makes_maps_with_its_noise(extended: Path) -> None:
    run(extended, "git", "checkout", "-q", "-f")  # params.yaml of before the experiment
    code = (
        "import numpy as np, cosmokeras as ck\n"
        "cfg = ck.load_params(overrides={'lensing.survey': 'deep_field'})\n"
        "obs = ck.observe(cfg, np.zeros((8, 64, 64, 2), 'float32'), seed=1)\n"
        "maps = ck.simulate(cfg, np.array([[0.3]]), seed=1)\n"
        "print(cfg.channels, round(float(obs.std()), 2), maps.shape)"
    )
    # TensorFlow's own notes may come before or after
    assert "2 1.0 (1, 64, 64, 2)" in run(extended, "python", "-W", "ignore", "-c", code).splitlines()
    preset = yaml.safe_load(blocks(PAGE, "yaml")[0].text)
    assert preset["name"] == Path(blocks(PAGE, "yaml")[0].title).stem

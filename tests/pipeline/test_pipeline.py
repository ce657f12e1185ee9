"""The pipeline as people use it: a clone, `dvc repro`, experiments, comparisons, kills and errors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cosmokeras.common.checksums import write_checksums
from tests.clones import clone_as_it_stands
from tests.shared import Program

ROOT = Path(__file__).parents[2]
SMOKE = (ROOT / "tests" / "smoke.txt").read_text().split()
METRICS = {
    "generate": {"maps", "maps_per_second", "bytes"},
    "real": {"source", "patches", "masked_fraction"},
    "train": {"rmse", "loss", "epochs", "maps_per_second"},
    "evaluate": {"omega_m", "nll", "tarp_ks_p", "n_maps", "n_cosmologies"},
    "infer": {"omega_m", "n_patches", "surprise_p", "in_distribution"},
}

OF_DVC = re.compile(r"\s*$|(Running|Stage|Updating|Generating|Importing|Reproducing|Ran experiment|Use|'data.dvc')")

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str, env: dict[str, str] | None = None, ok: bool = True) -> str:
    """Output of a command typed in `folder`, with this Python's scripts first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    full = {**os.environ, "PATH": path, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})}
    done = subprocess.run(command, cwd=folder, env=full, text=True, capture_output=True, timeout=400)
    assert (done.returncode == 0) == ok, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def longest_silence(folder: Path, *command: str) -> tuple[float, str]:
    """Run a command in `folder`; the longest time [s] without a line of its log, and the line before it.

    What DVC itself takes between two stages does not count.
    """
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    silences, lines, last = [], ["(nothing yet)"], time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now = time.monotonic()
            if not OF_DVC.match(line):
                silences.append((now - last, lines[-1]))
            lines.append(line.rstrip())
            last = now
    assert process.returncode == 0, "\n".join(lines)
    return max(silences)


def ran(output: str) -> list[str]:
    """Stages that `dvc repro` ran."""
    return re.findall(r"Running stage '(\w+)'", output)


def overrides(arguments: list[str]) -> dict[str, object]:
    """`-S key=value ...` as a mapping."""
    return {k: yaml.safe_load(v) for k, v in (a.split("=", 1) for a in arguments if a != "-S")}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's clone of this checkout as it stands, with its data pulled from the store inside it."""
    folder = clone_as_it_stands(tmp_path_factory.mktemp("clone") / "cosmokeras")
    run(folder, "dvc", "pull", "data.dvc")
    return folder


@pytest.fixture(scope="module")
def lensing_run(clone: Path) -> Path:
    """The seconds-long configuration, run to its end and committed."""
    (clone.parent / "silence.json").write_text(
        json.dumps(longest_silence(clone, "dvc", "exp", "run", "-n", "tiny", *SMOKE))
    )
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-q", "-m", "tiny")
    return clone


def test_no_stage_is_silent_for_long(lensing_run: Path) -> None:
    """A line every 8 seconds, and what Python takes to start: twice as long where tests share the cores."""
    seconds, after = json.loads((lensing_run.parent / "silence.json").read_text())
    assert seconds < 20, f"{seconds:.0f} s of silence after {after!r}"


def test_a_run_writes_all_metrics_and_plots_and_is_then_up_to_date(lensing_run: Path) -> None:
    for name, keys in METRICS.items():
        metrics = json.loads((lensing_run / "metrics" / f"{name}.json").read_text())
        assert keys <= set(metrics), f"{name}: {keys - set(metrics)}"
    stages = yaml.safe_load((lensing_run / "dvc.yaml").read_text())["stages"].values()
    for path in (next(iter(p)) for stage in stages for p in stage.get("plots", [])):
        assert (lensing_run / path).stat().st_size > 50
    real = json.loads((lensing_run / "outputs" / "real" / "provenance.json").read_text())
    assert real["observed"] is False
    assert "SIMULATION" in real["provenance"]["statement"]
    assert ran(run(lensing_run, "dvc", "repro")) == ["inputs"]
    assert json.loads(run(lensing_run, "dvc", "status", "--json")) == {"inputs": ["always changed"]}
    said = run(lensing_run, sys.executable, "-m", "stages.inputs", "--stale")
    # without the line of a process that takes long to start
    lines = [line for line in said.splitlines() if not line.endswith("starting")]
    assert [line.split(": ")[1].strip() for line in lines] == ["of the inputs of today"] * 6
    assert run(lensing_run, "git", "status", "--porcelain") == ""


def test_chains_say_what_the_metrics_say(lensing_run: Path) -> None:
    getdist = pytest.importorskip("getdist")
    said = json.loads((lensing_run / "metrics" / "infer.json").read_text())
    folder = lensing_run / "outputs" / "chains"
    read = getdist.loadMCSamples(str(folder / "combined"))
    one = said["omega_m"]
    assert read.mean("omega_m") == pytest.approx(one["mean"], abs=1e-5)
    assert read.std("omega_m") == pytest.approx(one["std"], rel=1e-3)
    limits = [read.confidence("omega_m", 0.16, upper=upper) for upper in (False, True)]
    assert limits == pytest.approx([one["q16"], one["q84"]], abs=0.02 * one["std"])
    assert len(list(folder.glob("patch_*.txt"))) == said["n_patches"]


def test_an_experiment_can_be_run_shown_and_compared(lensing_run: Path) -> None:
    grf = ["-S", "data.kind=grf", "-S", "train.epochs=3", "-S", "grf.box_mpc_h=128"]
    run(lensing_run, "dvc", "exp", "run", "-n", "shallow", *grf)
    assert "shallow" in run(lensing_run, "dvc", "exp", "show", "--no-pager", "--csv")
    metrics = json.loads((lensing_run / "metrics" / "evaluate.json").read_text())["omega_m"]
    assert metrics["efficiency"] == pytest.approx(metrics["limit_rmse"] / metrics["rmse"], rel=1e-3)
    assert "omega_m.limit_rmse" in run(lensing_run, "dvc", "metrics", "diff", "HEAD", "shallow", "--md")
    assert "data.kind" in run(lensing_run, "dvc", "params", "diff", "HEAD", "shallow", "--md")
    run(lensing_run, "dvc", "plots", "diff", "HEAD", "shallow", "-o", "dvc_plots")
    assert (lensing_run / "dvc_plots" / "index.html").exists()
    run(lensing_run, "git", "checkout", "-q", "-f", "HEAD")
    run(lensing_run, "dvc", "checkout", "-q")


def test_a_changed_preset_is_followed(lensing_run: Path) -> None:
    """Smoothing that changes in the preset's file trains a new network; the noise-free maps stay as they are."""
    preset = lensing_run / "data" / "surveys" / "des_y3.yaml"
    text = preset.read_text()
    preset.unlink()  # it may be a link into the cache
    preset.write_text(text.replace("smoothing_arcmin: 0.0", "smoothing_arcmin: 20.0"))
    before = json.loads((lensing_run / "metrics" / "train.json").read_text())
    # what is there of the old smoothing is refused by who reads it
    said = run(lensing_run, sys.executable, "-m", "stages.evaluate", ok=False)
    assert "outputs/model was made with other inputs: lensing.smoothing_arcmin=0.0, now 20.0" in said
    assert "Traceback" not in said
    assert "train:      lensing.smoothing_arcmin=0.0, now 20.0" in run(
        lensing_run, sys.executable, "-m", "stages.inputs", "--stale"
    )
    assert ran(run(lensing_run, "dvc", "repro", "train")) == ["inputs", "train"]
    after = json.loads((lensing_run / "metrics" / "train.json").read_text())
    assert after["loss"] != before["loss"]
    copied = lensing_run / "outputs" / "model" / "data" / "surveys" / "des_y3.yaml"
    assert "smoothing_arcmin: 20.0" in copied.read_text()
    run(lensing_run, "git", "checkout", "-q", "-f", "HEAD")
    run(lensing_run, "dvc", "checkout", "-q", "--force")


REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA", ROOT.parent / "shared" / "real")).resolve()


@pytest.mark.skipif(not (REAL / "cosmos" / "e1.fits").exists(), reason=f"no COSMOS catalogue in {REAL}")
def test_the_observed_cosmos_field_gets_a_posterior(lensing_run: Path) -> None:
    cosmos = ["-S", "real.source=cosmos", "-S", "lensing.survey=cosmos", "-S", "data.size=64"]
    env = {"COSMOKERAS_REAL_DATA": str(REAL)}
    run(lensing_run, "dvc", "exp", "run", "-n", "cosmos", *cosmos, "-S", "lensing.pixel_arcmin=null", env=env)
    infer = json.loads((lensing_run / "metrics" / "infer.json").read_text())
    assert infer["source"] == "cosmos"
    assert infer["observed"] is True
    assert infer["n_patches"] == 1
    assert 0.1 < infer["omega_m"]["q16"] < infer["omega_m"]["q84"] < 0.5
    assert "truth" not in infer["omega_m"]
    null_tests = json.loads((lensing_run / "metrics" / "real.json").read_text())["null_tests"]
    assert null_tests["e_excess_sigma"] > 10
    assert abs(null_tests["b_excess_sigma"]) < 3
    provenance = json.loads((lensing_run / "outputs" / "real" / "provenance.json").read_text())["provenance"]
    assert "Schrabback" in provenance["citation"]
    run(lensing_run, "git", "checkout", "-q", "-f", "HEAD")
    run(lensing_run, "dvc", "checkout", "-q")


@pytest.mark.long
@pytest.mark.skipif(not (REAL / "hsc_y3").exists(), reason=f"no FAIR-Universe maps in {REAL}")
def test_maps_of_the_hsc_challenge_get_a_posterior_and_a_verdict(lensing_run: Path) -> None:
    """Third-party simulations on the footprint of HSC Y3, with its holes: never called observed."""
    hsc = ["-S", "lensing.survey=hsc_y3_fair", "-S", "lensing.pixel_arcmin=2", "-S", "real.source=hsc_y3"]
    masks = ("python", "-m", "cosmokeras.surveys.hsc_y3", "--mask", "hsc_masks.npy", "--size", "32")
    run(lensing_run, *masks, env={"COSMOKERAS_REAL_DATA": str(REAL)})
    run(lensing_run, "git", "add", "-f", "hsc_masks.npy")
    arguments = [*SMOKE, *hsc, "-S", "lensing.mask=hsc_masks.npy"]
    said = run(lensing_run, "dvc", "exp", "run", "-n", "hsc", *arguments, env={"COSMOKERAS_REAL_DATA": str(REAL)})
    assert "hsc_y3 (a simulation, not an observation)" in said
    found = json.loads((lensing_run / "metrics" / "infer.json").read_text())
    assert 0.1 < found["omega_m"]["q16"] < found["omega_m"]["mean"] < found["omega_m"]["q84"] < 0.5
    assert found["n_patches"] > 10 and 0 < found["surprise_p"] <= 1 and found["observed"] is False
    real = json.loads((lensing_run / "metrics" / "real.json").read_text())
    assert 0 < real["masked_fraction"] < 0.1
    run(lensing_run, "git", "reset", "-q")
    (lensing_run / "hsc_masks.npy").unlink(missing_ok=True)
    run(lensing_run, "git", "checkout", "-q", "-f", "HEAD")
    run(lensing_run, "dvc", "checkout", "-q")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.knid=grf", ["data.knid", "unknown key", "kind"]),
        ("train.epochs=many", ["train.epochs", "many"]),
        ("data.size=4096", ["data.size", "1024"]),
        ("lensing.pixel_arcmin=60", ["data.size", "lensing.pixel_arcmin", "30 deg"]),
        ("real.source=cosmos", ["real.source", "lensing.survey"]),
    ],
)
def test_a_wrong_parameter_is_one_line_and_exit_2(
    lensing_run: Path, program: Program, override: str, words: list[str]
) -> None:
    text = yaml.safe_load((lensing_run / "params.yaml").read_text())
    section, key = override.split("=")[0].split(".")
    text[section][key] = yaml.safe_load(override.split("=")[1])
    (lensing_run / "wrong.yaml").write_text(yaml.safe_dump(text))
    before = sorted(lensing_run.rglob("outputs/**"))
    ended = program(lensing_run, "stages.generate", "--params", "wrong.yaml")
    (lensing_run / "wrong.yaml").unlink()
    lines = ended.err.strip().splitlines()
    assert ended.code == 2
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines[0]
    assert sorted(lensing_run.rglob("outputs/**")) == before


def test_training_through_dvc_resumes_after_a_kill(lensing_run: Path, tmp_path: Path) -> None:
    env = {**os.environ, "COSMOKERAS_WORK": str(tmp_path), "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    params = yaml.safe_load((lensing_run / "params.yaml").read_text())
    params["train"]["epochs"] = 6
    (lensing_run / "params.yaml").write_text(yaml.safe_dump(params))
    process = subprocess.Popen(
        ["dvc", "repro", "train"], cwd=lensing_run, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    limit = time.monotonic() + 200
    while not list(tmp_path.glob("train/*/state-*.npz")) and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("train/*/state-*.npz"))
    output = run(lensing_run, "dvc", "repro", "train", env={"COSMOKERAS_WORK": str(tmp_path)})
    assert "resumed at epoch" in output
    assert json.loads((lensing_run / "metrics" / "train.json").read_text())["epochs"] == 6


def test_an_unlikely_sky_is_a_warning_or_an_error(lensing_run: Path) -> None:
    import numpy as np

    path = lensing_run / "outputs" / "real" / "patches.npz"
    with np.load(path) as stored:
        maps, coverage = stored["maps"], stored["coverage"]
    path.unlink()
    np.savez(path, maps=3 * maps, coverage=coverage)
    assert "patches.npz is damaged" in run(lensing_run, sys.executable, "-m", "stages.infer", ok=False)
    write_checksums(path.parent, ["patches.npz", "positions.csv", "provenance.json"])
    output = run(lensing_run, sys.executable, "-W", "ignore", "-m", "stages.infer")
    warning = next(line for line in output.splitlines() if line.startswith("WARNING: MOCK"))
    assert "does not look like the training set" in warning
    metrics = json.loads((lensing_run / "metrics" / "infer.json").read_text())
    assert metrics["in_distribution"] is False
    why = json.loads((lensing_run / "outputs" / "misspecification.json").read_text())
    assert len(why["surprise_features"]) == 3
    assert all(name in warning for name in why["surprise_features"])
    assert min(why["surprise_tests"].values()) < 0.01
    params = yaml.safe_load((lensing_run / "params.yaml").read_text())
    params["infer"]["refuse"] = True
    (lensing_run / "params.yaml").write_text(yaml.safe_dump(params))
    assert "infer.refuse=true" in run(lensing_run, sys.executable, "-m", "stages.infer", ok=False)

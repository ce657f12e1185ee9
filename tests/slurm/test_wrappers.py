"""Scripts and their messages; how a job ends, is put back or is given up."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import ROOT, log, write_site

SCRIPTS = sorted((ROOT / "slurm").glob("*.sbatch"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def checkout(fresh_clone: Callable[[str], Path]) -> Path:
    return fresh_clone("wrappers")


def error(cluster: Cluster, checkout: Path, *command: str, **more: str) -> str:
    """The one line that a command ends with, with exit code 2."""
    done = cluster.try_to(*command, cwd=checkout, **more)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    files = ["slurm/submit", "slurm/env.sh", "slurm/site.example", *(str(p.relative_to(ROOT)) for p in SCRIPTS)]
    done = subprocess.run(["shellcheck", "-x", *files], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_slurm_would_take_every_script(cluster: Cluster, checkout: Path, script: Path) -> None:
    assert "to start at" in cluster.run("sbatch", "--test-only", f"slurm/{script.name}", cwd=checkout)


def test_slurm_would_take_the_whole_chain_and_gets_nothing(cluster: Cluster, checkout: Path) -> None:
    assert "all 3 jobs" in cluster.run("slurm/submit", "--test-only", "--tasks", "3", cwd=checkout)
    assert cluster.run("squeue", "-h") == ""


def test_what_is_missing_or_wrong_is_one_line(cluster: Cluster, checkout: Path) -> None:
    site = checkout / "slurm" / "site"
    site.unlink()
    assert "slurm/site is missing: cp slurm/site.example slurm/site" in error(cluster, checkout, "slurm/submit")
    write_site(checkout, PARTITION="nowhere")
    assert "slurm/site: no partition nowhere; there are: main urgent" in error(cluster, checkout, "slurm/submit")
    write_site(checkout, GPUS="two")
    assert "slurm/site: GPUS=two: must be a whole number" in error(cluster, checkout, "slurm/submit")
    write_site(checkout, GPUS="9")
    assert "Slurm refuses slurm/train.sbatch: " in error(cluster, checkout, "slurm/submit")
    write_site(checkout, WORK="here")
    assert "WORK=here: must be an absolute path" in error(cluster, checkout, "slurm/submit")
    write_site(checkout)
    nowhere = error(cluster, checkout, "slurm/submit", SLURM_CONF=str(checkout / "no.conf"))
    assert "error: Slurm does not answer: sinfo: " in nowhere
    assert "--epochs: unknown option" in error(cluster, checkout, "slurm/submit", "--epochs", "3")
    assert cluster.run("squeue", "-h") == ""


def test_wrong_parameters_are_said_before_anything_is_submitted(cluster: Cluster, checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    assert "data.knd=grf: not a key" in error(cluster, checkout, "slurm/submit", "--", "data.knd=grf")
    assert "params.yaml: train.epochs='many'" in error(cluster, checkout, "slurm/submit", "--", "train.epochs=many")
    assert "use train.backend=jax" in error(cluster, checkout, "slurm/submit", "--nodes", "2")
    (checkout / "sweep.txt").write_text("# rates\n\ntrain.lr=0.1\ntrain.lr=fast\n")
    said = error(cluster, checkout, "slurm/submit", "--sweep", "sweep.txt")
    assert "sweep.txt, experiment 1: params.yaml: train.lr='fast'" in said
    (checkout / "sweep.txt").unlink()
    assert (checkout / "params.yaml").read_bytes() == before
    assert cluster.run("squeue", "-h") == ""


def test_a_gpu_that_no_backend_sees_stops_the_job(cluster: Cluster, checkout: Path) -> None:
    job = cluster.run("sbatch", "--parsable", "--gpus-per-node=1", "slurm/train.sbatch", cwd=checkout).strip()
    assert cluster.wait(job) == {"FAILED"}
    assert cluster.jobs(job)[0]["ExitCode"] == "2:0"
    assert cluster.restarts(job) == 0
    last = log(checkout, "train", job).splitlines()[-1]
    assert re.match(r"error: 1 GPUs were asked for on \S+, train.backend=tensorflow sees 0 \(driver: .*\): ", last)


WAITS = 'trap "" TERM; echo begun; until [ -e "$COSMOKERAS_STOP_FILE" ]; do sleep 0.1; done; echo saved; exit 75'


def wrapped(cluster: Cluster, checkout: Path, command: str, *options: str, retries: int = 0) -> str:
    """Submit a command, run as the scripts here run theirs; the id of its job."""
    script = checkout / "wrapped.sh"
    lines = ["#!/bin/bash", "source slurm/env.sh", "begin", f"retries={retries}", f"persist bash -c '{command}'"]
    script.write_text("\n".join(lines) + "\n")
    where = ("--job-name=wrapped", "--requeue", "--open-mode=append", "--output=slurm/logs/cosmokeras-wrapped-%j.out")
    return cluster.run("sbatch", "--parsable", *where, *options, script.name, cwd=checkout).strip()


def count(checkout: Path, job: str, word: str) -> int:
    """How many lines of a job's log are this word."""
    path = checkout / "slurm" / "logs" / f"cosmokeras-wrapped-{job}.out"
    return path.read_text().splitlines().count(word) if path.exists() else 0


def test_what_breaks_down_is_started_again_but_not_for_ever(cluster: Cluster, checkout: Path) -> None:
    job = wrapped(cluster, checkout, "echo begun; kill -9 $$", retries=2)
    assert cluster.wait(job) == {"FAILED"}
    assert (count(checkout, job, "begun"), cluster.restarts(job)) == (3, 2)
    said = log(checkout, "wrapped", job)
    assert said.count(f"job {job} goes back into the queue: error: exit code 137") == 2
    assert f"error: job {job} (wrapped) failed with exit code 137; jobs that wait for it are cancelled" in said


def test_a_users_error_is_not_tried_again(cluster: Cluster, checkout: Path) -> None:
    job = wrapped(cluster, checkout, "echo begun; exit 2", retries=2)
    assert cluster.wait(job) == {"FAILED"}
    assert (count(checkout, job, "begun"), cluster.restarts(job)) == (1, 0)


def test_a_preempted_job_saves_goes_back_and_goes_on(cluster: Cluster, checkout: Path) -> None:
    job = wrapped(cluster, checkout, WAITS, "--nodes=2", "--exclusive")
    until(lambda: count(checkout, job, "begun"), 30, "the job")
    urgent = cluster.run("sbatch", "--parsable", "-p", "urgent", "-o", "/dev/null", "--wrap", "true").strip()
    assert cluster.wait(urgent, 30) == {"COMPLETED"}
    until(lambda: cluster.states(job) == {"PENDING"}, 30, "the job back in the queue")
    assert (count(checkout, job, "saved"), cluster.restarts(job)) == (1, 1)
    cluster.let_go(job)
    until(lambda: count(checkout, job, "begun") == 2, 30, "the second start")
    # cancelled by its owner it saves, and does not come back
    cluster.run("scancel", job)
    until(lambda: count(checkout, job, "saved") == 2, 30, "the end")
    assert cluster.wait(job, 30) == {"CANCELLED"}


def test_the_environment_is_made_once(cluster: Cluster, checkout: Path, tmp_path: Path) -> None:
    make = tmp_path / "make"
    venv = f"mkdir -p .venv/bin && ln -s {cluster.environment['COSMOKERAS_VENV']}/bin/dvc .venv/bin/dvc"
    make.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nsleep 1\n{venv} && touch .venv/.installed-x\n')
    make.chmod(0o755)
    script = "source slurm/env.sh; EXTRAS=jax; read_site; use_environment; command -v dvc"
    environment = {**cluster.environment, "PATH": f"{tmp_path}:{cluster.environment['PATH']}", "COSMOKERAS_VENV": ""}
    (checkout / "slurm" / "site").write_text("EXTRAS=jax\n")
    both = [
        subprocess.Popen(["bash", "-c", script], cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [each.communicate()[0].strip() for each in both] == [f"{checkout}/.venv/bin/dvc"] * 2
    assert (tmp_path / "calls").read_text() == "--no-print-directory install EXTRAS=jax\n"

"""The pipeline through the queue: the same numbers as without it, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from cosmokeras.dataset.shards import Shard, made_with, plan
from cosmokeras.project import load_params
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import TINY, log, submitted, write_site

# What a run's numbers do not say of its result: how fast it was, and where.
OF_THE_MACHINE = {"maps_per_second", "seconds", "peak_memory_mb"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@dataclass
class Chain:
    """A checkout whose pipeline went through the queue, and one where DVC ran it at once."""

    checkout: Path
    reference: Path
    jobs: dict[str, str]
    states: dict[str, set[str]]
    restarts: int  # of training
    waited: str  # why the last job did not start at once


def hold_until_warned(cluster: Cluster, job: str, work: Path) -> None:
    """Keep a job from ending its training before it is warned of its time limit, when an epoch of it is done."""
    held: list[int] = []

    def warned() -> bool:
        if not held and list(work.glob("train/*/state-*.npz")):
            for number in cluster.processes(f"SLURM_JOB_ID={job}"):
                if b"stages.train" in Path(f"/proc/{number}/cmdline").read_bytes():
                    held.append(number)
                    os.kill(number, signal.SIGSTOP)
        return (work / "slurm" / f"stop-{job}").exists()

    until(warned, 600, "the warning before the time limit")
    for number in held:
        os.kill(number, signal.SIGCONT)


@pytest.fixture(scope="module")
def chain(cluster: Cluster, fresh_clone: Callable[[str], Path]) -> Iterator[Chain]:
    """Submit from a fresh clone; training is held until its time limit comes near."""
    checkout, reference = fresh_clone("chain"), fresh_clone("reference")
    cluster.run("dvc", "pull", "-q", "data.dvc", cwd=reference)
    by_hand = subprocess.Popen(
        ["dvc", "exp", "run", "-n", "tiny", *(f"--set-param={word}" for word in TINY)],
        cwd=reference, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    write_site(checkout, TRAIN_OPTIONS="--time=10 --signal=B:USR1@570")
    jobs = submitted(cluster.run("slurm/submit", "--name", "tiny", "--", *TINY, cwd=checkout))
    waited = cluster.jobs(jobs["repro"])[0]["Reason"]
    hold_until_warned(cluster, jobs["train"], checkout / ".work")
    cluster.run("scontrol", "update", f"jobid={jobs['train']}", "TimeLimit=30")  # once is enough
    states = {kind: cluster.wait(job, 600) for kind, job in jobs.items()}
    said = by_hand.communicate(timeout=600)[0]
    assert by_hand.returncode == 0, said
    yield Chain(checkout, reference, jobs, states, cluster.restarts(jobs["train"]), waited)


def flat(node: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(node, dict):
        return {name: node}
    return {k: v for key, value in node.items() for k, v in flat(value, f"{name}.{key}" if name else key).items()}


def metrics(folder: Path, name: str) -> dict[str, Any]:
    """Numbers of a stage that do not depend on the machine."""
    found = json.loads((folder / "metrics" / f"{name}.json").read_text())
    return flat({key: value for key, value in found.items() if key not in OF_THE_MACHINE})


def assert_up_to_date(cluster: Cluster, checkout: Path) -> None:
    """All stages but the first, which runs every time, have nothing to do."""
    status = cluster.run("dvc", "status", "--json", cwd=checkout)
    assert json.loads(status.strip().splitlines()[-1]) == {"inputs": ["always changed"]}


def test_the_chain_ends_well_and_leaves_everything_up_to_date(cluster: Cluster, chain: Chain) -> None:
    assert chain.states == {kind: {"COMPLETED"} for kind in ("generate", "train", "repro")}
    assert chain.waited == "Dependency"
    assert_up_to_date(cluster, chain.checkout)
    assert "tiny" in cluster.run("dvc", "exp", "list", "--names-only", cwd=chain.checkout).split()


def test_training_at_its_time_limit_is_put_back_and_goes_on(chain: Chain) -> None:
    said = log(chain.checkout, "train", chain.jobs["train"])
    assert chain.restarts == 1
    assert re.search(r"stopped on request: saved at epoch \d+, step \d", said)
    assert "goes back into the queue: asked to stop before the time limit" in said
    assert re.search(r"resumed at epoch [1-8], step \d of 4", said)
    assert [int(epoch) for epoch in dict.fromkeys(re.findall(r"Epoch (\d)/8", said))] == list(range(1, 9))


@pytest.mark.parametrize("name", ["generate", "train", "evaluate", "real", "infer"])
def test_the_numbers_are_those_of_a_run_without_slurm(chain: Chain, name: str) -> None:
    found, expected = metrics(chain.checkout, name), metrics(chain.reference, name)
    assert found.keys() == expected.keys()
    assert expected
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value), key


def test_an_array_that_is_submitted_again_makes_nothing(cluster: Cluster, chain: Chain) -> None:
    shards = {path: path.stat().st_mtime_ns for path in (chain.checkout / ".work").glob("generate/*/*/*.npy")}
    assert shards
    job = cluster.run("sbatch", "--parsable", "--array=0-1", "slurm/generate.sbatch", "2", cwd=chain.checkout).strip()
    assert cluster.wait(job) == {"COMPLETED"}
    said = [log(chain.checkout, "generate", f"{job}_{task}") for task in range(2)]
    assert [re.findall(r"part \d/2: \d+ maps, (\d+) made now", each) for each in said] == [["0"], ["0"]]
    assert {path: path.stat().st_mtime_ns for path in shards} == shards


def test_a_task_that_is_killed_is_made_up_for_alone(cluster: Cluster, chain: Chain) -> None:
    parameters = chain.checkout / "params.yaml"
    before, old = parameters.read_text(), set(chain.checkout.glob(".work/generate/*"))
    more = ("data.seed=7", "data.size=128", "data.realisations=16")
    cluster.run("python", "-m", "slurm.parameters", "apply", "1", *more, cwd=chain.checkout)
    cfg = load_params(parameters)
    part = plan(cfg)[1::2]
    array = ("sbatch", "--parsable", "--array=0-1", "slurm/generate.sbatch", "2")
    job = cluster.run(*array, cwd=chain.checkout).strip()

    def whole() -> list[Shard]:
        folders = set(chain.checkout.glob(".work/generate/*")) - old
        return [shard for shard in part if any(made_with(folder / f"{shard.name}.npy") for folder in folders)]

    until(whole, 100, "a shard of the second task")
    cluster.run("scancel", "--signal=KILL", f"{job}_1")
    cluster.wait(job)
    assert sorted(each["JobState"] for each in cluster.jobs(job)) == ["CANCELLED", "COMPLETED"]
    kept = whole()
    assert 1 <= len(kept) < len(part)

    job = cluster.run(*array, cwd=chain.checkout).strip()
    assert cluster.wait(job) == {"COMPLETED"}
    said = [log(chain.checkout, "generate", f"{job}_{task}") for task in range(2)]
    made = [int(number) for each in said for number in re.findall(r"(\d+) made now", each)]
    assert made == [0, sum(s.stop - s.start for s in part if s not in kept) * cfg.data.realisations]
    parameters.write_text(before)


def test_what_waits_for_a_task_that_fails_is_cancelled_and_says_why(cluster: Cluster, chain: Chain) -> None:
    write_site(chain.checkout, GENERATE_OPTIONS="--time=10 --hold")
    jobs = submitted(cluster.run("slurm/submit", cwd=chain.checkout))
    # while they wait, nobody else may submit from this checkout
    refused = cluster.try_to("slurm/submit", cwd=chain.checkout)
    assert refused.returncode == 2
    assert re.search(rf"jobs of this checkout are in the queue \([^)]*\b{jobs['repro']}\b", refused.stderr)
    parameters = chain.checkout / "params.yaml"
    before = parameters.read_text()
    parameters.write_text(before.replace("epochs: 8", "epochs: 9"))
    cluster.run("scontrol", "release", jobs["generate"])
    assert cluster.wait(jobs["generate"]) == {"FAILED"}
    parameters.write_text(before)
    assert "error: params.yaml has changed since these jobs were submitted" in log(
        chain.checkout, "generate", f"{jobs['generate']}_0"
    )
    for kind in ("train", "repro"):
        assert cluster.wait(jobs[kind], 60) == {"CANCELLED"}
        assert cluster.jobs(jobs[kind])[0]["Reason"] == "DependencyNeverSatisfied"
    write_site(chain.checkout)


def test_a_sweep_is_an_array_of_experiments(cluster: Cluster, chain: Chain) -> None:
    def git(*words: str) -> str:
        return cluster.run("git", *words, cwd=chain.checkout)

    git("add", "-A")
    git("commit", "-q", "-m", "tiny")
    rates = [0.001, 0.002, 0.003]
    lines = ["# learning rates", *(f"train.lr={rate}" for rate in rates)]
    (chain.checkout / ".work" / "rates.txt").write_text("\n".join(lines) + "\n")
    options = ("--sweep", ".work/rates.txt", "--target", "train", "--", "train.epochs=1")
    job = submitted(cluster.run("slurm/submit", *options, cwd=chain.checkout))["sweep"]
    assert cluster.wait(job, 400) == {"COMPLETED"}
    table = list(csv.DictReader(StringIO(cluster.run("dvc", "exp", "show", "--csv", cwd=chain.checkout))))
    found = {row["Experiment"]: row for row in table}
    assert [float(found[f"sweep-{job}-{i}"]["train.lr"]) for i in range(len(rates))] == rates
    assert {found[f"sweep-{job}-{i}"]["train.epochs"] for i in range(len(rates))} == {"1"}
    assert git("status", "--porcelain") == ""
    assert_up_to_date(cluster, chain.checkout)

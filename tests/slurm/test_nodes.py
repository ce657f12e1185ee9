"""Training on two nodes, one of which loses its process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmokeras.common.sealed import read_arrays
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import TINY, log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# at the rate of TINY this network overshoots, and what differs in the last bit soon differs in the fifth digit
JAX = [*TINY, "train.backend=jax", "train.lr=2.0e-4", "train.lr_scaling=none", "train.patience=20"]

QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiles in half the time, for both


def run_state(work: Path) -> dict[str, Any]:
    """What a run of training has kept."""
    (folder,) = work.glob("train/*")
    return dict(json.loads(read_arrays(max(folder.glob("state-*.npz")))["progress"].tobytes()))


def test_two_nodes_do_what_one_process_does_even_if_one_is_lost(
    cluster: Cluster, fresh_clone: Callable[[str], Path], tmp_path: Path
) -> None:
    checkout = fresh_clone("nodes")
    cluster.run("dvc", "pull", "-q", "data.dvc", cwd=checkout)
    apply = ("python", "-m", "slurm.parameters", "apply")
    work = {"COSMOKERAS_WORK": str(tmp_path / "alone")}
    cluster.run(*apply, "1", *JAX, cwd=checkout)
    (checkout / "one.yaml").write_text((checkout / "params.yaml").read_text())
    generate = ("python", "-m", "stages.generate", "--part", "0/1")
    cluster.run(*generate, cwd=checkout)
    cluster.run(*generate, cwd=checkout, **work)
    train = ["python", "-m", "stages.train", "--work-only", "--params", "one.yaml"]
    with open(tmp_path / "alone.log", "w") as said:
        environment = {**cluster.environment, **work, **QUICK}
        single = subprocess.Popen(train, cwd=checkout, env=environment, stdout=said, stderr=subprocess.STDOUT)

    cluster.run(*apply, "2", "train.batch_size=8", cwd=checkout)  # on each node: 16 together
    job = cluster.run("sbatch", "--parsable", "slurm/train_multinode.sbatch", cwd=checkout, **QUICK).strip()
    until(lambda: list((checkout / ".work").glob("train/*/state-*.npz")), 600, "an epoch")
    (second,) = [
        number for number in cluster.processes(f"SLURM_JOB_ID={job}", "COSMOKERAS_PROCESS=1")
        if b"stages.train" in Path(f"/proc/{number}/cmdline").read_bytes()
    ]  # fmt: skip
    os.kill(second, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: cluster.states(job) == {"PENDING"}, 120, "the job back in the queue")
    print(f"{time.monotonic() - killed:.1f} s from the kill to the queue")
    assert cluster.wait(job, 600) == {"COMPLETED"}
    said = log(checkout, "train", job)
    assert cluster.restarts(job) == 1
    assert f"job {job} goes back into the queue: error: exit code" in said
    assert re.search(r"resumed at epoch [2-8], step 0 of 4", said)

    assert single.wait(600) == 0, (tmp_path / "alone.log").read_text()
    expected, found = run_state(tmp_path / "alone"), run_state(checkout / ".work")
    assert (expected["trained_on"]["devices"], found["trained_on"]["devices"]) == (1, 2)
    assert (expected["trained_on"]["batch"], found["trained_on"]["batch"]) == (16, 16)
    assert len(found["history"]) == len(expected["history"]) == 8
    for epoch, want in zip(found["history"], expected["history"], strict=True):
        assert epoch == pytest.approx(want, abs=1e-5)

"""Training that is killed, or asked to stop, ends as if nothing had happened; many devices do what one does."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from cosmokeras.project import load_params
from cosmokeras.training.checkpoint import EXIT_STOPPED

STEPS = 4  # of an epoch
# Processes that have imported TensorFlow, but not begun to use it, before they are forked: seconds less for each run.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["cosmokeras.training.loop"])
SPAWNED = multiprocessing.get_context("spawn")  # for other backends, which are chosen by the environment

Result = tuple[list[np.ndarray], dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One process: trains, and writes down its steps and how it ended.

    `stop` is a step ("epoch step", from 0) in which it sends itself the signal `number`: before the callback at the end
    of that step, or, when `saving`, while the state is being written.
    """

    params: Path
    overrides: dict[str, Any]
    data: Path
    work: Path
    out: Path
    devices: int = 1
    stop: str = ""
    number: int = 0
    saving: bool = False
    environment: tuple[tuple[str, str], ...] = ()

    def __call__(self) -> None:
        os.environ.update(self.environment)
        from cosmokeras.training import checkpoint, loop

        with open(self.out.with_suffix(".log"), "wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if self.devices > 1:
            import tensorflow as tf

            cpu = tf.config.list_physical_devices("CPU")[0]
            logical = [tf.config.LogicalDeviceConfiguration()] * self.devices
            tf.config.set_logical_device_configuration(cpu, logical)
        after_batch, write_arrays, now = checkpoint.RunState.on_train_batch_end, checkpoint.write_arrays, ""

        def watched(state: checkpoint.RunState, batch: int, logs: Any = None) -> None:
            nonlocal now
            now = f"{state.progress.epoch} {state._offset_steps + batch}"
            with open(self.out.with_suffix(".steps"), "a") as steps:
                steps.write(now + "\n")
            if now == self.stop and not self.saving:
                os.kill(os.getpid(), self.number)
            after_batch(state, batch, logs)

        def interrupted(path: Path, content: Any) -> None:
            if now == self.stop and self.saving:
                os.kill(os.getpid(), self.number)
            write_arrays(path, content)

        checkpoint.RunState.on_train_batch_end, checkpoint.write_arrays = watched, interrupted
        cfg = load_params(self.params, self.overrides)
        splits = [open_split(cfg, self.data, name) for name in ("train", "validation")]
        done = loop.train(cfg, *splits, self.work)
        np.savez(self.out, *[np.asarray(w) for w in done.model.get_weights()])
        progress = done.progress
        note = {"history": progress.history, "best": progress.best_loss, "best_epoch": progress.best_epoch}
        self.out.with_suffix(".json").write_text(json.dumps(note | {"devices": done.devices.count}))


class Bench:
    """Simulations of a tiny problem, and runs of training on them in processes of their own."""

    def __init__(self, folder: Path, params: Path, overrides: dict[str, Any], forked: bool = True) -> None:
        self.folder, self.params, self.overrides, self.forked = folder, params, overrides, forked
        generate(load_params(params, overrides), folder / "data", workers=1, progress=False)

    def prepare(self, name: str, more: dict[str, Any] | None = None, **how: Any) -> Run:
        """A run, ready to be started."""
        overrides = {**self.overrides, **(more or {})}
        folders = (self.folder / "data", self.folder / f"work-{name}", self.folder / f"{name}.npz")
        return Run(self.params, overrides, *folders, **how)

    def run(self, name: str, code: int = 0, more: dict[str, Any] | None = None, **how: Any) -> tuple[str, list[str]]:
        """What a run says, and its steps; `code` is the exit code that it must have, minus a signal's number."""
        before = len(self.steps(name))
        self.finish([self.prepare(name, more, **how)], code)
        return (self.folder / f"{name}.log").read_text(), self.steps(name)[before:]

    def finish(self, runs: list[Run], code: int = 0) -> None:
        """Run all at once, to the end."""
        backend = runs[0].overrides.get("train.backend", "tensorflow")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KERAS_BACKEND", backend)
            patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # they take longer than the training itself
            context = FORKED if self.forked and backend == "tensorflow" else SPAWNED
            processes = [context.Process(target=run) for run in runs]
            for process in processes:
                process.start()
        for run, process in zip(runs, processes, strict=True):
            process.join(250)
            said = run.out.with_suffix(".log")
            assert process.exitcode == code, said.read_text() if said.exists() else "said nothing"

    def steps(self, name: str) -> list[str]:
        path = self.folder / f"{name}.steps"
        return path.read_text().splitlines() if path.exists() else []

    def result(self, name: str) -> Result:
        with np.load(self.folder / f"{name}.npz") as stored:
            weights = [stored[key] for key in stored.files]
        return weights, json.loads((self.folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, default_params: Path, tiny: dict[str, Any]) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), default_params, tiny)


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> Result:
    _, steps = bench.run("undisturbed")
    assert steps == [f"{epoch} {step}" for epoch in range(3) for step in range(STEPS)]
    return bench.result("undisturbed")


def assert_same(found: Result, expected: Result, curves: float = 1e-6, weights: float = 1e-6) -> None:
    """Curves and final weights agree within absolute errors."""
    assert len(found[1]["history"]) == len(expected[1]["history"])
    for epoch, want in zip(found[1]["history"], expected[1]["history"], strict=True):
        assert epoch == pytest.approx(want, abs=curves)
    assert found[1]["best_epoch"] == expected[1]["best_epoch"]
    assert found[1]["best"] == pytest.approx(expected[1]["best"], abs=curves)
    for weight, want in zip(found[0], expected[0], strict=True):
        assert weight == pytest.approx(want, abs=weights)


@pytest.mark.slow
def test_undisturbed_run_trains(undisturbed: Result) -> None:
    weights, note = undisturbed
    assert [epoch["epoch"] for epoch in note["history"]] == [1, 2, 3]
    assert note["best"] == min(epoch["val_loss"] for epoch in note["history"])
    assert note["best_epoch"] == 1 + int(np.argmin([epoch["val_loss"] for epoch in note["history"]]))
    assert note["history"][-1]["loss"] < note["history"][0]["loss"]
    assert all(np.isfinite(w).all() for w in weights)


@pytest.mark.slow
def test_run_that_is_killed_and_stopped_ends_like_an_undisturbed_one(bench: Bench, undisturbed: Result) -> None:
    every_step = {"train.checkpoint_minutes": 1e-9}
    # killed within an epoch: goes on from the end of the one before
    bench.run("disturbed", code=-signal.SIGKILL, stop="1 2", number=signal.SIGKILL)
    # killed while it writes its state: goes on from the state before
    said, steps = bench.run(
        "disturbed", code=-signal.SIGKILL, stop="1 2", number=signal.SIGKILL, saving=True, more=every_step
    )
    assert f"resumed at epoch 2, step 0 of {STEPS}" in said
    assert steps == ["1 0", "1 1", "1 2"]
    # asked to stop: says that it can go on, and does so from there
    said, steps = bench.run("disturbed", code=75, stop="2 1", number=signal.SIGTERM)
    assert f"resumed at epoch 2, step 2 of {STEPS}" in said
    assert "saved at epoch 2, step 2" in said
    assert steps == ["1 2", "1 3", "2 0", "2 1"]
    assert EXIT_STOPPED == 75
    assert not (bench.folder / "disturbed.npz").exists()
    said, steps = bench.run("disturbed")
    assert f"resumed at epoch 3, step 2 of {STEPS}" in said
    assert steps == ["2 2", "2 3"]
    assert_same(bench.result("disturbed"), undisturbed)
    # nothing but the last two states and the best weights is kept
    left = sorted(p.name for p in (bench.folder / "work-disturbed").iterdir() if not p.name.startswith("."))
    assert left == ["best.npz", "state-00002-0000002.npz", "state-00003-0000000.npz"]


@pytest.mark.slow
def test_an_ensemble_goes_on_in_the_member_that_was_stopped(bench: Bench, undisturbed: Result) -> None:
    pair: dict[str, Any] = {"train.ensemble": 2}
    whole = bench.run("pair-whole", more=pair)[1]
    assert whole == 2 * [f"{epoch} {step}" for epoch in range(3) for step in range(STEPS)]
    # stopped in the first member, then in the second
    bench.run("pair", code=75, stop="2 1", number=signal.SIGTERM, more=pair)
    said, steps = bench.run("pair", code=75, stop="2 1", number=signal.SIGTERM, more=pair)
    assert f"resumed at epoch 3, step 2 of {STEPS}" in said and "member 2 of 2" in said
    assert steps == [*whole[-2:], *whole[:10]]
    assert bench.run("pair", more=pair)[1] == whole[-2:]
    assert_same(bench.result("pair"), bench.result("pair-whole"))
    # the first is the network that there is without an ensemble, the second is another
    weights = bench.result("pair")[0]
    first, second = weights[: len(undisturbed[0])], weights[len(undisturbed[0]) :]
    assert_same((first, undisturbed[1]), undisturbed)
    assert [one.shape for one in first] == [one.shape for one in second]
    assert not np.allclose(first[0], second[0])


@pytest.mark.slow
def test_network_of_the_default_size_is_trained_to_the_same_bytes(
    tmp_path: Path, default_params: Path, tiny: dict[str, Any]
) -> None:
    # TensorFlow rewrote the graph of this one differently in each process but in forked ones, which share addresses
    sizes = {"data.kind": "lensing", "data.size": 64, "data.realisations": 4, "train.batch_size": 64}
    sizes |= {"model.width": 16, "model.spectrum_bins": 16, "train.epochs": 2}
    bench = Bench(tmp_path, default_params, tiny | sizes, forked=False)
    bench.run("whole")
    bench.run("parts", code=-signal.SIGKILL, stop="1 1", number=signal.SIGKILL)
    bench.run("parts")
    weights, note = bench.result("whole")
    assert sum(w.size for w in weights) > 200_000
    others, other = bench.result("parts")
    assert other == note
    assert all(np.array_equal(a, b) for a, b in zip(others, weights, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.long)])
def test_killed_run_on_another_backend_ends_like_an_undisturbed_one(bench: Bench, backend: str) -> None:
    more = {"train.backend": backend, "train.epochs": 2, "train.fresh_maps": True}
    bench.run(f"{backend}-whole", more=more)
    # stopped within an epoch, where JAX keeps the weights to itself, then killed in the next one
    bench.run(f"{backend}-parts", code=75, stop="0 1", number=signal.SIGTERM, more=more)
    bench.run(f"{backend}-parts", code=-signal.SIGKILL, stop="1 2", number=signal.SIGKILL, more=more)
    said, steps = bench.run(f"{backend}-parts", more=more)
    assert f"resumed at epoch 2, step 0 of {STEPS}" in said
    assert steps == [f"1 {step}" for step in range(STEPS)]
    assert_same(bench.result(f"{backend}-parts"), bench.result(f"{backend}-whole"))


@pytest.mark.slow
def test_finished_run_is_not_trained_again(bench: Bench, undisturbed: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmokeras.training.loop import train

    monkeypatch.setattr("keras.Model.fit", None)  # not called
    cfg = load_params(bench.params, bench.overrides)
    splits = [open_split(cfg, bench.folder / "data", name) for name in ("train", "validation")]
    done = train(cfg, *splits, bench.folder / "work-undisturbed")
    assert done.progress.history == undisturbed[1]["history"]
    for weight, want in zip(done.model.get_weights(), undisturbed[0], strict=True):
        assert (weight == want).all()


SHARED = {"train.batch_size": 8, "train.lr_scaling": "none"}  # two devices then share the batch of 16 of one


@pytest.mark.slow
def test_two_devices_have_the_curves_of_one(bench: Bench, undisturbed: Result) -> None:
    bench.run("two", devices=2, more=SHARED)
    weights, note = bench.result("two")
    assert (note["devices"], undisturbed[1]["devices"]) == (2, 1)
    assert_same((weights, note), undisturbed, curves=1e-5, weights=1e-3)


@pytest.mark.slow
def test_two_jax_processes_have_the_curves_of_one(bench: Bench) -> None:
    jax = {"train.backend": "jax", "data.validation": 8}
    bench.run("jax-one", more=jax)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    run = bench.prepare("jax-two", {**jax, **SHARED})
    names = ("COSMOKERAS_COORDINATOR", "COSMOKERAS_PROCESSES", "COSMOKERAS_PROCESS")
    each = [tuple(zip(names, (address, "2", str(i)), strict=True)) for i in range(2)]
    outs = [run.out, run.out.with_stem("jax-two-second")]
    bench.finish([replace(run, environment=env, out=out) for env, out in zip(each, outs, strict=True)])
    found = bench.result("jax-two")
    assert found[1]["devices"] == 2
    assert_same(found, bench.result("jax-one"), curves=1e-5, weights=1e-3)
    # both went through the same epochs; the first one alone wrote the state
    assert bench.result("jax-two-second")[1]["history"] == found[1]["history"]

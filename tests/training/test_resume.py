"""Training that is killed, or asked to stop, ends as if nothing had happened; two devices do what one does."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.config import load_params
from cosmokeras.dataset.shards import generate, open_split
from cosmokeras.training.checkpoint import EXIT_STOPPED

STEPS = 4  # of an epoch
# Processes that have imported TensorFlow, but not begun to use it, before they are forked: seconds less for each run.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["cosmokeras.training.loop"])


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

    def __call__(self) -> None:
        import tensorflow as tf

        from cosmokeras.training import checkpoint, loop

        with open(self.out.with_suffix(".log"), "wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if self.devices > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            logical = [tf.config.LogicalDeviceConfiguration()] * self.devices
            tf.config.set_logical_device_configuration(cpu, logical)
        after_batch, write_json, now = checkpoint.RunState.on_train_batch_end, checkpoint.write_json, ""

        def watched(state: checkpoint.RunState, batch: int, logs: Any = None) -> None:
            nonlocal now
            now = f"{state.epoch} {state._offset_steps + batch}"
            with open(self.out.with_suffix(".steps"), "a") as steps:
                steps.write(now + "\n")
            if now == self.stop and not self.saving:
                os.kill(os.getpid(), self.number)
            after_batch(state, batch, logs)

        def interrupted(path: Path, content: Any) -> None:
            if now == self.stop and self.saving:
                os.kill(os.getpid(), self.number)
            write_json(path, content)

        checkpoint.RunState.on_train_batch_end, checkpoint.write_json = watched, interrupted
        cfg = load_params(self.params, self.overrides)
        splits = [open_split(cfg, self.data, name) for name in ("train", "validation")]
        done = loop.train(cfg, *splits, self.work)
        np.savez(self.out, *[np.asarray(w) for w in done.model.get_weights()])
        note = {"history": done.history, "best": done.best_loss, "best_epoch": done.best_epoch, "devices": done.devices}
        self.out.with_suffix(".json").write_text(json.dumps(note))


class Bench:
    """Simulations of a tiny problem, and runs of training on them in processes of their own."""

    def __init__(self, folder: Path, params: Path, overrides: dict[str, Any]) -> None:
        self.folder, self.params, self.overrides = folder, params, overrides
        generate(load_params(params, overrides), folder / "data", workers=1, progress=False)

    def run(self, name: str, code: int = 0, more: dict[str, Any] | None = None, **how: Any) -> tuple[str, list[str]]:
        """What a run says, and its steps; `code` is the exit code that it must have, minus a signal's number."""
        before = len(self.steps(name))
        out = self.folder / f"{name}.npz"
        overrides = {**self.overrides, **(more or {})}
        run = Run(self.params, overrides, self.folder / "data", self.folder / f"work-{name}", out, **how)
        process = PROCESSES.Process(target=run)
        process.start()
        process.join(120)
        said = out.with_suffix(".log").read_text()
        assert process.exitcode == code, said
        return said, self.steps(name)[before:]

    def steps(self, name: str) -> list[str]:
        path = self.folder / f"{name}.steps"
        return path.read_text().splitlines() if path.exists() else []

    def result(self, name: str) -> tuple[list[np.ndarray], dict[str, Any]]:
        with np.load(self.folder / f"{name}.npz") as stored:
            weights = [stored[key] for key in stored.files]
        return weights, json.loads((self.folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, default_params: Path, tiny: dict[str, Any]) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), default_params, tiny)


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> tuple[list[np.ndarray], dict[str, Any]]:
    _, steps = bench.run("undisturbed")
    assert steps == [f"{epoch} {step}" for epoch in range(3) for step in range(STEPS)]
    return bench.result("undisturbed")


def assert_same(
    found: tuple[list[np.ndarray], dict[str, Any]], expected: tuple[list[np.ndarray], dict[str, Any]]
) -> None:
    for weight, want in zip(found[0], expected[0], strict=True):
        assert weight == pytest.approx(want, abs=1e-6)
    assert found[1]["best_epoch"] == expected[1]["best_epoch"]
    assert found[1]["best"] == pytest.approx(expected[1]["best"], abs=1e-6)
    assert len(found[1]["history"]) == len(expected[1]["history"])
    for epoch, want in zip(found[1]["history"], expected[1]["history"], strict=True):
        assert epoch == pytest.approx(want, abs=1e-6)


def test_undisturbed_run_trains(undisturbed: tuple[list[np.ndarray], dict[str, Any]]) -> None:
    weights, note = undisturbed
    assert [epoch["epoch"] for epoch in note["history"]] == [1, 2, 3]
    assert note["best"] == min(epoch["val_loss"] for epoch in note["history"])
    assert note["best_epoch"] == 1 + int(np.argmin([epoch["val_loss"] for epoch in note["history"]]))
    assert note["history"][-1]["loss"] < note["history"][0]["loss"]
    assert all(np.isfinite(w).all() for w in weights)


@pytest.mark.slow
def test_run_that_is_killed_and_stopped_ends_like_an_undisturbed_one(
    bench: Bench, undisturbed: tuple[list[np.ndarray], dict[str, Any]]
) -> None:
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
    # nothing but the last state and the best weights is kept
    left = sorted(p.name for p in (bench.folder / "work-disturbed").iterdir() if not p.name.startswith("."))
    assert left == ["best.npz", "latest", "state-00003-0000000"]


def test_finished_run_is_not_trained_again(
    bench: Bench, undisturbed: tuple[list[np.ndarray], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmokeras.training.loop import train

    monkeypatch.setattr("keras.Model.fit", None)  # not called
    cfg = load_params(bench.params, bench.overrides)
    splits = [open_split(cfg, bench.folder / "data", name) for name in ("train", "validation")]
    done = train(cfg, *splits, bench.folder / "work-undisturbed")
    assert done.history == undisturbed[1]["history"]
    for weight, want in zip(done.model.get_weights(), undisturbed[0], strict=True):
        assert (weight == want).all()


def test_two_devices_have_the_loss_of_one(bench: Bench, undisturbed: tuple[list[np.ndarray], dict[str, Any]]) -> None:
    bench.run("two", devices=2)
    weights, note = bench.result("two")
    assert (note["devices"], undisturbed[1]["devices"]) == (2, 1)
    for epoch, want in zip(note["history"], undisturbed[1]["history"], strict=True):
        assert epoch["loss"] == pytest.approx(want["loss"], abs=1e-4)
        assert epoch["val_loss"] == pytest.approx(want["val_loss"], abs=1e-4)
        assert epoch["lr"] == pytest.approx(want["lr"])
    for weight, want in zip(weights, undisturbed[0], strict=True):
        assert weight == pytest.approx(want, abs=1e-3)

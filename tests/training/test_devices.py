"""Devices, batches and learning rates; several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.models.backend import check_backend, select_backend
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.training.checkpoint import RunState
from cosmokeras.training.devices import Devices, cpu_name, find_devices, peak_memory
from cosmokeras.training.loop import check_batch, compiled_model, divisor, precision
from cosmokeras.training.optimizer import scaled_rate


def test_this_process_has_one_processor_with_a_name_and_memory() -> None:
    devices = find_devices()
    assert (devices.count, devices.processes, devices.main) == (1, 1, True)
    assert devices.names == (cpu_name(),)
    assert 50 < peak_memory()["process"] < 100_000  # MB


def test_processes_share_a_batch_without_gaps() -> None:
    assert Devices(("a",)).share(64) == slice(None)
    shares = [Devices(("a",), 4, process, 2).share(64) for process in range(2)]
    assert shares == [slice(0, 32), slice(32, 64)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_several_processes_are_refused_where_they_cannot_work(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOKERAS_COORDINATOR", "first:1234")
    monkeypatch.setenv("COSMOKERAS_PROCESSES", "2")
    monkeypatch.setenv("COSMOKERAS_PROCESS", "1")
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(UserError, match=rf"train.backend={backend}: .*; for several nodes use train.backend=jax"):
        find_devices()


@pytest.mark.parametrize(("processes", "process"), [("2", "2"), ("two", "0"), ("2", "")])
def test_wrong_numbers_of_processes_are_said(processes: str, process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOKERAS_COORDINATOR", "first:1234")
    monkeypatch.setenv("COSMOKERAS_PROCESSES", processes)
    monkeypatch.setenv("COSMOKERAS_PROCESS", process)
    with pytest.raises(UserError, match=r"COSMOKERAS_PROCESS=.*must be host:port"):
        find_devices()


def test_learning_rate_grows_with_the_batch_as_asked() -> None:
    assert [scaled_rate(0.1, how, 4) for how in ("linear", "sqrt", "none")] == pytest.approx([0.4, 0.2, 0.1])


@pytest.mark.parametrize(
    ("count", "devices", "batch"),
    [(800, 1, 200), (800, 8, 200), (7, 1, 7), (1024, 2, 256), (514, 2, 2), (600, 300, 300)],
)
def test_validation_batches_are_equal_and_shared_evenly(count: int, devices: int, batch: int) -> None:
    found = divisor(count, devices)
    assert found == batch
    assert (count % found, found % devices) == (0, 0)


def test_validation_maps_that_devices_cannot_share_are_refused() -> None:
    with pytest.raises(UserError, match=r"data.validation: 801 validation maps cannot be shared by 2 devices"):
        divisor(801, 2)


def test_a_run_goes_on_with_steps_of_the_same_size(tmp_path: Path) -> None:
    state = RunState(tmp_path, steps=4, patience=5, minutes=1.0)
    state.progress.trained_on = {"batch": 64, "devices": 4}
    check_batch(state, 64)
    with pytest.raises(UserError, match=r"begun with 64 maps to a step on 4 devices, now it would be 16; go on with"):
        check_batch(state, 16)


def test_a_run_that_was_saved_within_its_first_epoch_has_no_best_loss_yet(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    states = [RunState(tmp_path, steps=4, patience=5, minutes=1.0) for _ in range(2)]
    for state in states:
        state.set_model(model)
    model.optimizer.build(model.trainable_variables)
    states[0].save()
    states[1].progress.best_loss = 0.0
    states[1].restore(model)
    assert states[1].progress.best_loss == float("inf")


def test_of_several_processes_only_the_main_one_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOKERAS_STOP_FILE", str(tmp_path / "stop"))
    main, other = (RunState(tmp_path, 4, 5, 1.0, main=which) for which in (True, False))
    assert not main.asked
    (tmp_path / "stop").touch()
    assert (main.asked, other.asked) == (True, False)


def test_a_backend_is_the_one_that_runs_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_backend(keras.backend.backend())
    with pytest.raises(UserError, match=r"train.backend=jax: this process runs Keras on tensorflow"):
        select_backend("jax")
    monkeypatch.setattr("cosmokeras.models.backend.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the package torch is not installed; `make install EXTRAS=torch`"):
        select_backend("torch")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_heads_exact_and_scales_where_it_must(
    config: Callable[..., Config], tiny: dict[str, Any], policy: str
) -> None:
    cfg = config({**tiny, "train.precision": policy})
    with precision(cfg.train.precision):
        model = compiled_model(cfg, 10, 1, Forward(cfg))
    assert keras.config.dtype_policy().name == "float32"
    network = model.layers[-1]
    assert network.get_layer("stem").compute_dtype == policy.removeprefix("mixed_")
    assert network.get_layer("mixture").compute_dtype == "float32"
    assert model.get_layer("observation").compute_dtype == "float32"
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")


def test_signals_end_the_program_again_once_training_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    state = RunState(tmp_path, steps=4, patience=5, minutes=1.0)
    try:
        for _ in range(2):  # the rest of an epoch, and the others
            state.on_train_begin()
            signal.raise_signal(signal.SIGTERM)
            assert state.asked
            state.on_train_end()
            assert signal.getsignal(signal.SIGTERM) == before
        signal.raise_signal(signal.SIGUSR1)  # says that time is short: no reason to die of it
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

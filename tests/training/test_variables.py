"""Variables are kept by their paths; those of another network are refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.training.checkpoint import Progress, RunState
from cosmokeras.training.variables import assign, values_of


def network(units: int = 3, second: str = "second") -> keras.Model:
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(units, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, name=second)(hidden))


def test_variables_go_where_their_paths_say(tmp_path: Path) -> None:
    one, other = network(), network()
    values = values_of(one.weights)
    assert set(values) == {"first/kernel", "first/bias", "second/kernel", "second/bias"}
    assign(tmp_path / "kept.npz", values, other.weights[::-1])
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(units=4), r"first/bias: \(3,\) there, \(4,\) here"),
        (network(second="third"), r"second/bias: \(1,\) there, missing here"),
    ],
)
def test_those_of_another_network_are_refused(tmp_path: Path, other: keras.Model, message: str) -> None:
    before = other.get_weights()
    with pytest.raises(UserError, match=message) as error:
        assign(tmp_path / "kept.npz", values_of(network().weights), other.weights)
    assert "\n" not in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder of a run with two states, the second with the best weights."""
    state, model = RunState(tmp_path / "run", steps=4, patience=5, minutes=1.0), network()
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    model.optimizer.build(model.trainable_variables)
    state.set_model(model)
    state.save()
    state.progress.epoch = 1
    state.on_epoch_begin(0)
    state.on_epoch_end(0, {"val_loss": 0.5})
    assert sorted(path.name for path in state.folder.iterdir()) == [
        "best.npz", "state-00000-0000000.npz", "state-00001-0000000.npz",
    ]  # fmt: skip
    return state.folder


def restored(folder: Path) -> Progress:
    state, model = RunState(folder, steps=4, patience=5, minutes=1.0), network()
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    state.set_model(model)
    state.restore(model)
    return state.progress


@pytest.mark.parametrize("content", [b"", b"{}", b"3", b"PK", b"\xff\xfe" * 99])
def test_a_damaged_state_is_named_and_the_one_before_taken(
    run: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = restored(run)
    assert (progress.epoch, progress.best_loss, progress.best_epoch) == (1, 0.5, 1)
    (run / "state-00001-0000000.npz").write_bytes(content)
    assert restored(run).epoch == 0
    assert "state-00001-0000000.npz is damaged: going on from the state before" in capsys.readouterr().out
    (run / "state-00000-0000000.npz").write_bytes(content)
    with pytest.raises(UserError, match=rf"{run}: no state of this run is whole; delete that folder to begin anew"):
        restored(run)


def test_damaged_best_weights_are_named(run: Path) -> None:
    content = bytearray((run / "best.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "best.npz").write_bytes(content)
    with pytest.raises(UserError, match=rf"best.npz: damaged; delete {run} to begin anew"):
        restored(run)


def test_progress_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"of another version; delete {tmp_path} to begin anew"):
        Progress.of(tmp_path / "state.npz", {"epoch": 2})

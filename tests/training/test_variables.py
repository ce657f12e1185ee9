"""Variables are kept by their paths; those of another network are refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.training.checkpoint import Progress
from cosmokeras.training.variables import load_variables, save_variables


def network(units: int = 3, second: str = "second") -> keras.Model:
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(units, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, name=second)(hidden))


def test_variables_go_where_their_paths_say(tmp_path: Path) -> None:
    one, other = network(), network()
    save_variables(tmp_path / "kept.npz", one.weights)
    with np.load(tmp_path / "kept.npz") as stored:
        assert set(stored.files) == {"first/kernel", "first/bias", "second/kernel", "second/bias"}
    load_variables(tmp_path / "kept.npz", other.weights[::-1])
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(units=4), r"first/bias: \(3,\) there, \(4,\) here"),
        (network(second="third"), r"second/bias: \(1,\) there, missing here"),
    ],
)
def test_those_of_another_network_are_refused(tmp_path: Path, other: keras.Model, message: str) -> None:
    save_variables(tmp_path / "kept.npz", network().weights)
    before = other.get_weights()
    with pytest.raises(UserError, match=message) as error:
        load_variables(tmp_path / "kept.npz", other.weights)
    assert "\n" not in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match=rf"kept.npz: damaged \(.*\); delete {tmp_path} to begin anew"):
        load_variables(tmp_path / "kept.npz", network().weights)


def test_progress_is_read_as_it_was_written_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.json"
    progress = Progress(epoch=2, step=1, history=[{"epoch": 1, "loss": 0.5}], trained_on={"batch": 16})
    progress.write(path)
    assert Progress.read(path) == progress
    path.write_text('{"epoch": 2}')
    with pytest.raises(UserError, match=rf"state.json: damaged or of another version .*; delete {tmp_path} to begin"):
        Progress.read(path)

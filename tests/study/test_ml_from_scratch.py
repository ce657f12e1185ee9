"""The lesson runs, and what it claims is so: derivatives, convolution, the way of training, how near the limit."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

SCRIPT = Path(__file__).parents[2] / "study" / "ml_from_scratch.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All names of the script after its last cell; `folder` is where it ran."""
    folder = tmp_path_factory.mktemp("lesson")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return runpy.run_path(str(SCRIPT)) | {"folder": folder}


def test_convolution_and_gradients_are_those_of_keras(lesson: dict[str, Any]) -> None:
    assert lesson["worst_convolution"] < 1e-12
    assert lesson["worst_gradient"] < 1e-12


def test_gradients_are_those_of_differences(lesson: dict[str, Any]) -> None:
    """Also of a value that is used twice, and of one that is broadcast."""
    node, add, backward = (lesson[name] for name in ("Node", "add", "backward"))
    truth = np.array([[0.3, -0.1], [0.2, 0.5]])

    def loss(w: np.ndarray) -> Any:
        one = node(w)
        return one, lesson["mean_square"](lesson["tanh"](add(add(node(truth.T), one), one)), truth)

    w, step = np.array([0.4, -0.7]), 1e-6
    leaf, end = loss(w)
    backward(end)
    steps = step * np.eye(2)
    differences = [(loss(w + d)[1].value - loss(w - d)[1].value) / (2 * step) for d in steps]
    np.testing.assert_allclose(leaf.grad, differences, rtol=1e-6)


def test_keras_goes_the_same_way(lesson: dict[str, Any]) -> None:
    assert lesson["early"] < 1e-3
    assert lesson["rmse"]["Keras"] == pytest.approx(lesson["rmse"]["by hand"], rel=0.05)


def test_both_come_near_the_limit_and_not_below(lesson: dict[str, Any]) -> None:
    rmse = lesson["rmse"]
    assert rmse["no map"] == pytest.approx(0.4 / 12**0.5, rel=0.03)
    for name in ("by hand", "Keras"):
        assert 0.90 < rmse["exact posterior"] / rmse[name] < 1.005


def test_the_text_counts_right(lesson: dict[str, Any]) -> None:
    stated = re.search(r"A network of (\d+) numbers", SCRIPT.read_text())
    assert stated
    assert int(stated[1]) == sum(weight.value.size for weight in lesson["weights"]) == lesson["model"].count_params()


def test_the_picture_is_there(lesson: dict[str, Any]) -> None:
    image = imread(lesson["folder"] / lesson["PICTURE"])
    assert image.shape[1] == 1350
    assert len(np.unique(image[..., 0])) > 50

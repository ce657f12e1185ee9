"""Pictures from Python."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from cosmokeras.common import figure_data
from cosmokeras.common.errors import UserError
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference.estimator import Estimator
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.report import plot


def pixels(picture: plot.Picture) -> np.ndarray:
    return imread(BytesIO(picture._repr_png_()))


def test_maps_are_drawn_with_their_parameters(config: Callable[..., Config], tmp_path: Path) -> None:
    cfg = config({"data.kind": "grf", "data.size": 32})
    maps = np.random.default_rng(0).normal(size=(2, 32, 32, 1))
    plain, named = plot.maps(cfg, maps), plot.maps(cfg, maps, np.array([[0.2], [0.3]]))
    assert not np.array_equal(pixels(plain), pixels(named))
    named.save(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes() == named.png
    assert "Picture of" in repr(named) and len(repr(named)) < 120
    with pytest.raises(UserError, match=r"must end in \.png"):
        named.save(tmp_path / "maps.pdf")
    with pytest.raises(UserError, match="theta"):
        plot.maps(cfg, maps, np.array([[0.2]]))


@pytest.mark.slow
def test_posteriors_and_their_coverage_are_drawn(estimator: Estimator, splits: dict[str, Split]) -> None:
    test = splits["test"]
    obs = observed(test, Forward(estimator.cfg), 0)
    one, four = plot.posterior(estimator, obs[:1]), plot.posterior(estimator, obs[:4], truth={"omega_m": 0.3})
    assert not np.array_equal(pixels(one), pixels(four))
    assert pixels(plot.coverage(estimator, obs, test.theta)).shape[2] == 4
    with pytest.raises(UserError, match="obs"):
        plot.posterior(estimator, obs[0])


def test_pictures_of_a_run_are_those_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figure_data.save("train", history=[{"epoch": 1, "loss": 1.0, "val_loss": 0.9, "lr": 0.1}])
    rng = np.random.default_rng(0)
    figure_data.save(
        "infer", maps=rng.normal(size=(2, 8, 8, 1)), coverage=np.ones((2, 8, 8)), ra=np.array([1.0, 2.0]),
        dec=np.array([0.0, 1.0]), title="a sky", unit="kappa",
    )  # fmt: skip
    monkeypatch.chdir("/")
    assert pixels(plot.training(tmp_path)).size and pixels(plot.sky(tmp_path)).size
    with pytest.raises(UserError, match="train"):
        plot.training(tmp_path / "none")

"""The prior of a suite: said as it is, made uniform by drawing simulations by weight, refused where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from cosmokeras.params.config import Config
from cosmokeras.suites import prior
from cosmokeras.suites.opening import open_suite

COUNT, EACH = 1200, 2
BOX = {"omega_m": [0.2, 0.4], "sigma8": [0.7, 0.9]}


@pytest.fixture
def cloud(folder: Path, suite: Callable[..., Config]) -> Callable[..., Config]:
    """A Gaussian cloud of cosmologies, two white maps of each, as `files.prior` wants it."""
    rng = np.random.default_rng(3)
    theta = np.array([0.3, 0.8]) + np.array([0.06, 0.06]) * rng.standard_normal((COUNT, 2))
    np.save(folder / "maps.npy", rng.standard_normal((COUNT, EACH, 16, 16), dtype=np.float32))
    np.savetxt(folder / "table.txt", theta, header="Om s8")

    def load(columns: dict[str, list[float] | None], **files: object) -> Config:
        names = {"omega_m": "Om", "sigma8": "s8"}
        given = {name: {"column": names[name]} | ({"range": box} if box else {}) for name, box in columns.items()}
        sizes = {"data.size": 16, "data.n_cosmologies": 300, "data.validation": 100, "data.test": 100}
        keys = {"parameters": "table.txt", "split": None, "pixel_arcmin": None, "units": "arbitrary", "noise": "none"}
        keys |= {"channels": 1}
        small = {"model.spectrum_bins": 4, "evaluate.spectrum_bins": 4}
        return suite(sizes | small, columns=given, **(keys | files))

    return load


def test_a_cloud_becomes_uniform_in_the_box_in_every_split(cloud: Callable[..., Config], folder: Path) -> None:
    cfg = cloud(BOX, prior="uniform")
    generate(cfg, folder / "out", 1, progress=False)
    seen: set[tuple[float, ...]] = set()
    drawn = []
    for split, count in (("train", 300), ("validation", 100), ("test", 100)):
        found = open_split(cfg, folder / "out", split)
        assert len(found) == EACH * count
        assert (found.theta >= cfg.bounds[:, 0]).all()
        assert (found.theta <= cfg.bounds[:, 1]).all()
        own = {tuple(row) for row in found.theta}
        assert not own & seen  # no simulation is in two splits
        seen |= own
        drawn.append(found.theta)
    # simulations of a cloud are fewer towards the corners, where each is drawn more often
    unit = (np.concatenate(drawn) - cfg.bounds[:, 0]) / np.ptp(cfg.bounds, axis=1)
    assert np.mean(np.abs(unit - 0.5)) == pytest.approx(0.25, abs=0.025)
    plain = open_suite(cloud(BOX, prior="uniform"))
    theta = prior.simulations(plain)[1][prior.inside(plain)]
    before = (theta - cfg.bounds[:, 0]) / np.ptp(cfg.bounds, axis=1)
    assert np.mean(np.abs(before - 0.5)) == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_analyses_of_spectra_know_the_prior_of_the_sample(cloud: Callable[..., Config]) -> None:
    cfg = cloud({"omega_m": None, "sigma8": None})
    theta = open_suite(cfg).rows
    log_prior = prior.log_prior(cfg, theta)
    assert log_prior is not None
    middle, corner = log_prior(np.array([[0.3, 0.8], [0.38, 0.88]]))
    assert middle - corner == pytest.approx((0.08 / 0.06) ** 2, abs=0.35)
    even = cfg.bounds[:, 0] + np.ptp(cfg.bounds, axis=1) * np.random.default_rng(1).random((300, 2))
    assert prior.log_prior(cfg, even) is None  # the box
    assert prior.log_prior(cloud(BOX, prior="uniform"), theta) is None


def test_as_sampled_it_stays_the_cloud_and_that_is_said(
    cloud: Callable[..., Config], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = cloud({"omega_m": None, "sigma8": None})
    generate(cfg, folder / "out", 1, progress=False)
    assert "not uniform" in (said := capsys.readouterr().out)
    assert "the prior is this sample, not the box" in said
    theta = open_split(cfg, folder / "out", "train").theta
    assert theta.std(axis=0) == pytest.approx([0.06, 0.06], rel=0.15)


def test_masks_and_maps_go_with_their_simulations(cloud: Callable[..., Config], folder: Path) -> None:
    cfg = cloud(BOX, prior="uniform")
    suite, maps = open_suite(cfg), np.load(folder / "maps.npy").reshape(-1, 16, 16)
    table = np.loadtxt(folder / "table.txt")
    numbers = suite.chosen["test"]
    assert np.array_equal(suite.read(numbers)[..., 0], maps[numbers])
    assert np.allclose(suite.theta(numbers), table[numbers // EACH])
    assert len(np.unique(numbers)) < len(numbers)  # some are drawn twice


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ({"omega_m": [0.1, 0.9], "sigma8": [0.2, 1.6]}, "files.prior=uniform: the cosmologies cover"),
        ({"omega_m": [0.299, 0.301], "sigma8": [0.79, 0.81]}, "simulations, but data.n_cosmologies"),
        ({"omega_m": [0.7, 0.9], "sigma8": [0.7, 0.9]}, "0 simulations, but data.n_cosmologies"),
    ],
)
def test_a_box_that_cannot_be_filled_is_refused(cloud: Callable[..., Config], folder: Path, box, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        generate(cloud(box, prior="uniform"), folder / "out", 1, progress=False)
    assert "\n" not in str(caught.value)
    assert not (folder / "out" / "simulation.json").exists()


def test_few_cosmologies_are_not_judged(cloud: Callable[..., Config], folder: Path) -> None:
    cfg = cloud(BOX, prior="uniform")
    suite = open_suite(cfg)
    object.__setattr__(suite, "rows", np.repeat(suite.rows[:1], len(suite.rows), axis=0))
    assert prior.words(suite).startswith("1 cosmologies: too few")

"""`ck.plot`: the figures of the report, from Python objects; displayed in notebooks, written by `save`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import arguments, cli, figure_data
from cosmokeras.common.files import atomic
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.report import evaluation
from cosmokeras.report import maps as map_pictures
from cosmokeras.report import posterior as posterior_pictures
from cosmokeras.report import training as training_pictures

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

PATCH_SAMPLES = 500  # of the posterior of each map that is drawn
SAMPLES = 4000  # of the posterior of all maps together
CREDIBILITY_SAMPLES = 1000  # of each map's posterior, for TARP


@dataclass(frozen=True)
class Picture:
    """A PNG image, shown by notebooks."""

    png: bytes

    def __repr__(self) -> str:
        return f"Picture of {len(self.png):,} bytes; a notebook shows it, and .save('name.png') writes it"

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: Path | str) -> None:
        """Write it as a .png file."""
        target = arguments.path_of("path", path)
        cli.output_file("path", target, ".png")
        with atomic(target) as handle:
            handle.write(self.png)


def _picture(draw: Callable[..., None], *args: Any, **keywords: Any) -> Picture:
    """What a function draws that takes the path of a file first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path, *args, **keywords)
        return Picture(path.read_bytes())


def maps(cfg: Config, maps: np.ndarray, theta: np.ndarray | None = None) -> Picture:
    """The first four maps of (n, size, size, channels), with their parameters `theta` (n, p) if given."""
    values = checked.maps(checked.checked_config(cfg), maps)
    titles = [f"map {i + 1}" for i in range(len(values))]
    if theta is not None:
        rows, name = arguments.rows("theta", theta, cfg.parameter_names, len(values)), cfg.parameter_names[0]
        titles = [f"{name} = {row[0]:.3g}" for row in rows]
    return _picture(map_pictures.example_maps, values, titles, cfg.kind.unit)


def posterior(est: Estimator, obs: np.ndarray, truth: dict[str, float] | None = None, seed: int = 0) -> Picture:
    """Joint posterior of observed maps (n, size, size, channels) of one sky; for one parameter that of each too."""
    values = checked.maps(est.cfg, obs, "obs")
    each = est.sample(values, PATCH_SAMPLES, seed)
    together = est.combine(values, SAMPLES, seed)
    label = f"{len(values)} maps" if len(values) > 1 else "one map"
    return _picture(posterior_pictures.posterior, each, together, est.parameters, est.bounds, truth, label)


def coverage(est: Estimator, obs: np.ndarray, theta: np.ndarray, seed: int = 0) -> Picture:
    """Coverage of the posteriors of observed maps, given their true parameters (n, p)."""
    from cosmokeras.evaluation.diagnostics import tarp

    values = checked.maps(est.cfg, obs, "obs")
    rows = arguments.rows("theta", theta, est.cfg.parameter_names, len(values))
    truth, answers = rows[:, est.cfg.target_columns], est.posterior(values)
    credibility = tarp(answers.sample(CREDIBILITY_SAMPLES, seed), truth, est.bounds)
    cosmology = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    return _picture(evaluation.coverage, answers.cdf(truth), credibility, cosmology, est.parameters)


def training(project: Path | str = ".") -> Picture:
    """Losses and learning rate of the last run in the folder of a project."""
    kept = figure_data.load("train", arguments.path_of("project", project))
    return _picture(training_pictures.training_curves, kept["history"])


def sky(project: Path | str = ".") -> Picture:
    """The first twelve patches of the sky of the last run in the folder of a project."""
    kept = figure_data.load("infer", arguments.path_of("project", project))
    patches = (kept[name] for name in ("maps", "coverage", "ra", "dec", "title", "unit"))
    return _picture(map_pictures.gallery, *patches)

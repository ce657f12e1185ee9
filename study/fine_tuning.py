"""How many maps of an expensive simulator does a network need that was trained on maps of a cheap one?

    python -m study.fine_tuning

trains networks on 0, 50, 200, 1000 and 5000 maps of perturbation theory (2lpt): from scratch; from the weights of a
network trained on Gaussian fields (grf; `train.init_from`); and from those with all but its last layers kept as they
are (`train.freeze=features`). It writes the rms error of Omega_m on 2lpt maps that none has seen into
metrics/fine_tuning.json, and a picture of it. Networks and maps are those of `study.domain_gap`; what was trained is
kept in the work folder.

The scales of the maps: grf maps are shown each in units of its own standard deviation, 2lpt maps as they are, since
their amplitude depends on Omega_m. To a network of the first the second are of another scale. Here 2lpt maps are
divided by one number, the same for all maps and all ways of training: the rms of the first 50 training maps (`unit`).
That is the same as dividing the filters of the first layers by it: nothing is lost, and differences in amplitude stay.
With 0 maps the network of Gaussian fields is asked as it is, in these units. `models.standardise` sets the offset and
scale of features from the first maps; `starting_model` then takes those of the grf network with its weights.

Of N maps four fifths are trained on, a fifth chooses the epoch: no way of training sees more than N maps. A cosmology
has four maps, so that 50 maps are 13 cosmologies.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.files import sha256, work_folder, write_json
from cosmokeras.dataset.shards import Split, open_split
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.project import changed
from cosmokeras.provenance.statements import statement
from study import domain_gap, gap_pictures
from study.options import parser as study_parser

UNIT_MAPS = 50  # from which the unit of 2lpt maps is taken
WAYS = {"scratch": None, "fine_tuned": "none", "frozen": "features"}  # of training: train.freeze of a trained network


@dataclass(frozen=True)
class Effort:
    """How much to compute: numbers of maps, seeds of each (fewer above `few` maps), steps of training at least."""

    numbers: tuple[int, ...] = (50, 200, 1000, 5000)
    seeds: int = 3
    few: int = 1000
    steps: int = 600
    epochs: int = 15
    networks: domain_gap.Effort = domain_gap.FULL


FULL = Effort()
QUICK = Effort(numbers=(16,), seeds=1, steps=4, epochs=1, networks=domain_gap.QUICK)


@dataclass(frozen=True)
class Maps:
    """Maps of the 2lpt simulator, in one unit: those to train on, those to judge by, and the folder they are in."""

    cfg: Config
    training: Split
    test: np.ndarray
    truth: np.ndarray
    unit: float
    folder: Path


def read_maps(folder: Path, cfg: Config) -> Maps:
    """The maps of a network's folder."""
    training, test = (open_split(cfg, folder / cli.SIMULATIONS, split) for split in ("train", "test"))
    unit = float(training.read(np.arange(min(UNIT_MAPS, len(training)))).std())
    held_out = test.read(np.arange(len(test))) / unit
    return Maps(cfg, training, held_out, test.theta[:, cfg.target_columns], unit, folder)


def some(maps: Maps, count: int, seed: int) -> tuple[Split, Split]:
    """`count` maps of cosmologies chosen at random, four fifths to train on and a fifth to choose the epoch by."""
    chosen = np.random.default_rng(seed).permutation(np.unique(maps.training.cosmology))
    order = np.concatenate([np.flatnonzero(maps.training.cosmology == one) for one in chosen])[:count]
    held = max(1, count // 5)
    return in_memory(maps, order[:-held]), in_memory(maps, order[-held:])


def in_memory(maps: Maps, indices: np.ndarray) -> Split:
    """Training maps by index, in their unit."""
    part = maps.training
    array = part.read(indices) / np.float32(maps.unit)
    return Split(arrays=[array], offsets=np.array([0]), theta=part.theta[indices], cosmology=part.cosmology[indices])


def settings(maps: Maps, trained: Path, way: str, count: int, seed: int, effort: Effort) -> Config:
    """Parameters of one run: batches of at most a quarter of the maps, and epochs for `effort.steps` steps."""
    learnt = count - max(1, count // 5)
    batch = min(maps.cfg.train.batch_size, max(1, learnt // 4))
    epochs = max(effort.epochs, -(-effort.steps // (learnt // batch)))
    changes: dict[str, Any] = {"train.batch_size": batch, "train.epochs": epochs, "train.patience": epochs}
    changes |= {"train.seed": seed, "train.lr": maps.cfg.train.lr / 2}
    if WAYS[way] is not None:
        changes |= {"train.init_from": str(trained), "train.freeze": WAYS[way]}
    return changed(maps.cfg, changes)


def error(maps: Maps, trained: Path, way: str, count: int, seed: int, effort: Effort) -> float:
    """Rms error of Omega_m after training on `count` maps; kept in the work folder."""
    cfg = settings(maps, trained, way, count, seed, effort)
    key = {"count": count, "maps": sha256(maps.folder / cli.SIMULATIONS / "simulation.json")}
    folder = work_folder("fine-tuning", fingerprint(key | statement(cfg, "weights")))
    if not (folder / "result.json").exists():
        from cosmokeras.training.loop import train

        with redirect_stdout(StringIO()):  # a line for each of thousands of epochs
            run = train(cfg, *some(maps, count, seed), folder / "run")
        write_json(folder / "result.json", {"rmse": rmse(maps, cfg, run.model)})
    return json.loads((folder / "result.json").read_text())["rmse"]


def rmse(maps: Maps, cfg: Config, model: Any) -> float:
    """Rms error of Omega_m on the maps that no network has seen."""
    from cosmokeras.inference.estimator import Estimator

    wrong = Estimator(cfg, model).mean(maps.test) - maps.truth
    return float(np.sqrt(np.mean(wrong[:, cfg.targets.index(domain_gap.PARAMETER)] ** 2)))


def curve(effort: Effort) -> Iterator[dict[str, Any]]:
    """Errors so far, after each seed: way of training -> number of maps -> rms error of each seed; and the prior's."""
    from cosmokeras import models

    trained = (domain_gap.trained(domain_gap.config("grf", effort.networks)) / cli.MODEL).resolve()
    cfg = domain_gap.config("2lpt", effort.networks)
    maps = read_maps(domain_gap.trained(cfg, ("generate",)), cfg)
    low, high = cfg.bounds[cfg.parameter_names.index(domain_gap.PARAMETER)]
    result: dict[str, Any] = {"prior_rmse": round(float(high - low) / np.sqrt(12), 5)}
    result |= {"unit": round(maps.unit, 5), "test_maps": len(maps.test)}
    numbers = [n for n in effort.numbers if n <= len(maps.training)]
    untouched = [round(rmse(maps, cfg, models.load(trained)), 5)]
    print(f"grf network, 0 2lpt maps: rmse {untouched[0]}", flush=True)
    for way, frozen in WAYS.items():
        result[way] = ({} if frozen is None else {"0": untouched}) | {str(n): [] for n in numbers}
    for seed in range(1, effort.seeds + 1):
        for count, way in itertools.product(numbers, WAYS):
            if seed == 1 or count <= effort.few:
                result[way][str(count)].append(round(error(maps, trained, way, count, seed, effort), 5))
                print(f"{way}, {count} 2lpt maps, seed {seed}: rmse {result[way][str(count)][-1]}", flush=True)
        yield result


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = study_parser("study.fine_tuning", __doc__, "plots/fine_tuning.png", "metrics/fine_tuning.json")
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    cli.writable(options.metrics, options.out)
    for result in curve(QUICK if options.quick else FULL):
        write_json(options.metrics, result)
        gap_pictures.fine_tuning(options.out, result)
    return 0


if __name__ == "__main__":
    cli.entry(main)

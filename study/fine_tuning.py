"""How many maps of an expensive simulator does a network need that was trained on maps of a cheap one?

    python -m study.fine_tuning [CASE ...]

trains networks on few and on many maps of an expensive kind: from scratch; from the weights of a network trained on a
cheap kind (`train.init_from`); and from those with all but its last layers kept as they are (`train.freeze=features`).
The rms error of Omega_m on maps that none has seen goes into metrics/fine_tuning.json, and a picture of it. Cases:

- `2lpt`: a network of Gaussian fields (grf), and maps of perturbation theory. Those of `study.domain_gap`.
- `nbody`: a network of lognormal lensing maps, and lensing maps through N-body boxes (`lensing.matter: pm`), both with
  the noise and the masks of DES Y3. Those of `study.patches`. With `saving`: how many times as many maps a network
  from scratch needs for the same error; and `worth`: how many it needs to be as good as the network of the cheap kind
  that has seen none (`study.saving`).

Cases that are not asked for keep their earlier figures; what was trained is kept in the work folder.

The scales of the maps of `2lpt`: grf maps are shown each in units of its own standard deviation, 2lpt maps as they are,
since their amplitude depends on Omega_m. To a network of the first the second are of another scale. Here 2lpt maps are
divided by one number, the same for all maps and all ways of training: the rms of the first 50 training maps (`unit`).
That is the same as dividing the filters of the first layers by it: nothing is lost, and differences in amplitude stay.
With 0 maps the network of Gaussian fields is asked as it is, in these units. `models.standardise` sets the offset and
scale of features from the first maps; `starting_model` then takes those of the grf network with its weights. Lensing
maps of both kinds are in units of the noise, which is the same.

Of N maps four fifths are trained on, a fifth chooses the epoch: no way of training sees more than N maps. A cosmology
has four maps of 2lpt and eight through boxes, so that 50 maps are 13 or 7 cosmologies.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.files import read_json, sha256, work_folder, write_json
from cosmokeras.dataset.shards import Split, open_split
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.project import changed
from cosmokeras.provenance.statements import statement
from study import domain_gap, gap_pictures, patches, recorded
from study.options import parser as study_parser
from study.saving import savings, worth

UNIT_MAPS = 50  # from which a unit of maps is taken
TEST_NOISE = 5_000_011  # seed of the noise of the maps that no network has seen
WAYS = {"scratch": None, "fine_tuned": "none", "frozen": "features"}  # of training: train.freeze of a trained network


@dataclass(frozen=True)
class Effort:
    """How much to compute: numbers of maps, seeds of each (fewer above `few` maps), steps of training at least."""

    numbers: tuple[int, ...]
    seeds: int = 3
    few: int = 1000
    steps: int = 600
    epochs: int = 15
    networks: domain_gap.Effort = domain_gap.FULL


@dataclass(frozen=True)
class Case:
    """Names of a cheap and of an expensive kind of maps, parameters of both by name, and how much to compute.

    `unit` of the expensive maps: `rms` of a few of them, where kinds have units of their own, or `same`.
    """

    cheap: str
    expensive: str
    config: Callable[[str, domain_gap.Effort], Config]
    unit: Literal["rms", "same"]
    effort: Effort
    saves: bool = True


CASES = {
    "2lpt": Case("grf", "2lpt", domain_gap.config, "rms", Effort((50, 200, 1000, 5000)), saves=False),
    "nbody": Case("lognormal", "pm", patches.config, "same", Effort((50, 150, 600, 2400), few=2400, steps=400)),
}
FIRST = "2lpt"  # whose figures stand at the top of the file, those of others below their names
QUICK = Effort(numbers=(16,), seeds=1, steps=4, epochs=1, networks=domain_gap.QUICK)


@dataclass(frozen=True)
class Maps:
    """Maps of the expensive kind, in one unit: those to train on, those to judge by, and the folder they are in.

    `test` as networks see them.
    """

    cfg: Config
    training: Split
    test: np.ndarray
    truth: np.ndarray
    unit: float
    folder: Path


def read_maps(folder: Path, cfg: Config, unit_is: Literal["rms", "same"]) -> Maps:
    """The maps of a network's folder."""
    training, test = (open_split(cfg, folder / cli.SIMULATIONS, split) for split in ("train", "test"))
    unit = 1.0
    if unit_is == "rms":
        unit = float(training.read(np.arange(min(UNIT_MAPS, len(training)))).std())
    return Maps(cfg, training, seen(test, cfg, unit), test.theta[:, cfg.target_columns], unit, folder)


def seen(test: Split, cfg: Config, unit: float) -> np.ndarray:
    """Test maps (n, size, size, channels) as networks see them: with noise and mask, where a survey has them."""
    if cfg.kind.observed != "survey":
        return test.read(np.arange(len(test))) / unit
    from cosmokeras.dataset.observed import observed
    from cosmokeras.observation.ops.forward import forward_of

    return observed(test, forward_of(cfg), TEST_NOISE)


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


def curve(case: Case, effort: Effort) -> Iterator[dict[str, Any]]:
    """Errors so far, after each seed: way of training -> number of maps -> rms error of each seed; and the prior's."""
    from cosmokeras import models

    trained = (domain_gap.trained(case.config(case.cheap, effort.networks)) / cli.MODEL).resolve()
    cfg = case.config(case.expensive, effort.networks)
    maps = read_maps(domain_gap.trained(cfg, ("generate",)), cfg, case.unit)
    low, high = cfg.bounds[cfg.parameter_names.index(domain_gap.PARAMETER)]
    result: dict[str, Any] = {"prior_rmse": round(float(high - low) / np.sqrt(12), 5)}
    result |= {"unit": round(maps.unit, 5), "test_maps": len(maps.test)}
    numbers = [n for n in effort.numbers if n <= len(maps.training)]
    untouched = [round(rmse(maps, cfg, models.load(trained)), 5)]
    print(f"{case.cheap} network, 0 {case.expensive} maps: rmse {untouched[0]}", flush=True)
    for way, frozen in WAYS.items():
        result[way] = ({} if frozen is None else {"0": untouched}) | {str(n): [] for n in numbers}
    for seed in range(1, effort.seeds + 1):
        for count, way in itertools.product(numbers, WAYS):
            if seed == 1 or count <= effort.few:
                result[way][str(count)].append(round(error(maps, trained, way, count, seed, effort), 5))
                print(
                    f"{way}, {count} {case.expensive} maps, seed {seed}: rmse {result[way][str(count)][-1]}",
                    flush=True,
                )
        if case.saves:
            result["worth"] = worth(result["scratch"], untouched[0])
            result["saving"] = savings({way: result[way] for way in WAYS}, "scratch")
        yield result


def merged(table: dict[str, Any], name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The figures of all cases with those of one of them in their place."""
    if name != FIRST:
        return {**table, name: result}
    return {**result, **{other: table[other] for other in CASES if other in table}}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = study_parser("study.fine_tuning", __doc__, "plots/fine_tuning.png", "metrics/fine_tuning.json")
    parser.add_subset("cases", "case", list(CASES))
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    cli.writable(options.metrics, options.out)
    table = read_json(options.metrics)
    for name in options.cases:
        case = CASES[name]
        for result in curve(case, QUICK if options.quick else case.effort):
            table = merged(table, name, result)
            recorded.write(options.metrics, table, "study.fine_tuning", name)
            gap_pictures.fine_tuning(options.out, table)
    return 0


if __name__ == "__main__":
    cli.entry(main)

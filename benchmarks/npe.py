"""Neural posterior estimation beside other libraries: `python -m benchmarks.npe [--quick] [--out FOLDER] [CASE ...]`.

The same simulated maps, one of each cosmology, the same test maps, the same seconds on two cores; each training is a
process of its own, and contenders take turns. The seconds begin after the first epoch, which compiles. Of the training
maps a tenth is for validation, for all of them.

- cosmokeras: `hybrid` of params.yaml by the product's own training, with as many epochs as there is time for.
- sbi, bayesflow, lampe: see `benchmarks.npe_torch` and `benchmarks.npe_bayesflow`. They train on observed maps, with
  one draw of noise, as their users have them in files. Ours knows the noise and draws it anew, and turns the map, at
  every step: that is a part of the comparison. The best of the others is given eight draws and turns of each of 2,000
  maps too (`noise x 8`).

Measured: negative log density (nll) of the true parameters of the test maps in their natural units, normalised over the
prior box, and its difference to ours with the standard error over test maps; coverage of the 68 % interval of Omega_m;
seconds of training, of which looking at the 500 watched maps takes none; seconds until ours is where the other is at
its best; samples a second; memory; weights. The floor of `grf` is the exact posterior.

Figures go to metrics/bench_npe.json and plots/bench_npe.png; exit status 1 if a requirement is missed. `--quick` runs
everything on tiny numbers, without requirements, and writes nothing unless `--out` says where.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.npe_picture import picture
from benchmarks.npe_trial import SAMPLES, Task, best_of, time_to
from benchmarks.peers import installed
from benchmarks.simulators import machine
from cosmokeras.common import cli
from cosmokeras.common.files import read_json, work_folder
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from study import recorded
from study.requirements import required

ROOT = Path(__file__).parents[1]
OURS = "cosmokeras"
# module of each contender, and what Keras runs on in its process
CONTENDERS = {
    OURS: ("benchmarks.npe_ours", "tensorflow"),
    "sbi": ("benchmarks.npe_torch", "torch"),
    "bayesflow": ("benchmarks.npe_bayesflow", "tensorflow"),
    "lampe": ("benchmarks.npe_torch", "torch"),
}
NEEDS = {"lampe": ("lampe", "zuko")}
PEERS = tuple(CONTENDERS)[1:]
CORES = 2
BUDGETS = {500: 40.0, 2000: 60.0, 8000: 100.0}  # seconds after the first epoch by number of training maps
WATCHED, TEST = 500, 2000
DRAWS = 8  # of noise and turns of every map
NOISE, WATCH_NOISE, TEST_NOISE = 11_000_003, 12_000_017, 13_000_027  # seeds
WORSE, FASTER, SAMPLED = 2.0, 3.0, 10.0  # standard errors; times as fast as sbi and BayesFlow; samples, as sbi
TIMED = 2000  # training maps for which speed is required, and of which there are DRAWS


@dataclass(frozen=True)
class Case:
    """Maps of a kind, and what is free."""

    name: str
    keys: Mapping[str, Any]

    def config(self, quick: bool) -> Config:
        """Parameters of maps and of our network."""
        most = max(sizes(quick))
        keys = {"data.kind": self.name, "data.n_cosmologies": most, "data.realisations": 1}
        keys |= {"data.validation": WATCHED, "data.test": TEST, "evaluate.nuisance_maps": 0}
        tiny = {"data.size": 32, "model.width": 4, "model.spectrum_bins": 8, "evaluate.spectrum_bins": 4}
        tiny |= {"train.batch_size": 8, "data.validation": 8, "data.test": 24, "lensing.mask": "none"}
        return load_params(ROOT / "params.yaml", keys | dict(self.keys) | (tiny if quick else {}))


CASES = (Case("grf", {}), Case("lensing", {"prior.sigma8": [0.6, 1.0]}))


def sizes(quick: bool) -> dict[int, float]:
    """Seconds of training after the first epoch by number of training maps."""
    return {40: 2.0} if quick else BUDGETS


def drawn_often(quick: bool) -> int:
    """The number of training maps of which there are DRAWS."""
    return min(sizes(quick)) if quick else TIMED


def prepare(cfg: Config, folder: Path, quick: bool) -> float | None:
    """Write the arrays of a case: noise-free maps for ours, observed ones for others; nll of the exact posterior.

    In a process of its own: it observes with Keras.
    """
    from cosmokeras.observation.observe import drawn, observed_by
    from cosmokeras.observation.ops.blocks import in_blocks
    from cosmokeras.observation.ops.forward import forward_of

    parts = {name: open_split(cfg, folder / "simulations", name) for name in ("train", "validation", "test")}
    forward, train = forward_of(cfg), parts["train"]
    every = np.arange(len(train))
    np.save(folder / "signal.npy", train.stored(every))
    np.save(folder / "theta.npy", train.theta)
    maps = train.read(every)
    np.save(folder / "obs-0.npy", observed_by(forward, maps, NOISE))
    some = maps[: drawn_often(quick)]
    which = drawn(forward, NOISE, 0, len(some))[0]  # the mask of a map stays
    for draw in range(1, DRAWS):
        keys = drawn(forward, NOISE + draw, 0, len(some))[1]
        turned = in_blocks(lambda x, w, k: forward(forward.signal(x, w), w, k), (some, which, keys))
        np.save(folder / f"obs-{draw}.npy", turned)
    for name, split, seed in (("watch", "validation", WATCH_NOISE), ("test", "test", TEST_NOISE)):
        one = parts[split]
        np.save(folder / f"{name}.npy", observed_by(forward, one.read(np.arange(len(one))), seed))
        np.save(folder / f"{name}_theta.npy", one.theta)
    return exact_nll(cfg, np.load(folder / "test.npy"), parts["test"].theta)


def exact_nll(cfg: Config, obs: np.ndarray, theta: np.ndarray) -> float | None:
    """Mean negative log density of the true parameter under the exact posterior, where that is known."""
    from cosmokeras.evaluation.limits import exact_posterior

    if cfg.data.kind != "grf" or len(cfg.parameter_names) != 1:
        return None
    grid, probability = exact_posterior(cfg, obs)
    cell = grid[1, 0] - grid[0, 0]
    nearest = np.abs(grid[:, 0] - theta).argmin(axis=1)
    return -float(np.mean(np.log(probability[np.arange(len(theta)), nearest] / cell)))


def apart(function: Any, *arguments: Any, backend: str = "tensorflow") -> Any:
    """What a function gives in a process of its own, on the first cores, silent; `backend` is that of Keras."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(backend,)) as pool:
        return pool.submit(function, *arguments).result()


def _begin(backend: str) -> None:
    if hasattr(os, "sched_setaffinity"):  # before any library asks how many cores there are
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries say how far they are; errors come back as exceptions
    os.dup2(1, 2)


def train(who: str, task: Task) -> dict[str, Any]:
    """One training of a contender, in the process that is for it."""
    return import_module(CONTENDERS[who][0]).RUN[who](task)


def contest(case: Case, cfg: Config, folder: Path, quick: bool, longer: float) -> dict[int, dict[str, dict[str, Any]]]:
    """Figures of all contenders that are installed, by number of training maps."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    there = [who for who in CONTENDERS if who == OURS or is_there(who)]
    for count, seconds in sizes(quick).items():
        rows = found[count] = {}
        for who in there:
            task = Task(cfg.model_dump_json(), folder, count, longer * seconds)
            rows[who] = apart(train, who, task, backend=CONTENDERS[who][1])
            say(case.name, count, who, rows[who])
        if len(there) > 1 and count == drawn_often(quick):
            who = best_peer(rows)
            task = Task(cfg.model_dump_json(), folder, count, longer * seconds, DRAWS)
            name = f"{who}, noise x {DRAWS}"
            rows[name] = apart(train, who, task, backend=CONTENDERS[who][1])
            say(case.name, count, name, rows[name])
    return found


def is_there(who: str) -> bool:
    """Whether a library is installed."""
    return all(installed(name) for name in NEEDS.get(who, (who,)))


def best_peer(rows: Mapping[str, dict[str, Any]]) -> str:
    """The peer with the lowest nll on the test maps."""
    return min((who for who in rows if who in PEERS), key=lambda who: np.mean(rows[who]["nll"]))


def say(case: str, count: int, who: str, row: dict[str, Any]) -> None:
    """Print the figures of a training."""
    print(
        f"     {case}, {count} maps, {who}: nll {np.mean(row['nll']):.4f}, coverage {row['coverage_68']:.3f}, "
        f"{row['epochs']} epochs in {row['seconds']:.1f} s{' (the limit)' if row['capped'] else ''}, "
        f"{row['samples_per_second']:.3g} samples/s, {row['weights']} weights, {row['peak_memory_mb']} MB",
        flush=True,
    )


def compared(rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same with the mean nll, its difference ours - theirs, its standard error, and how much sooner ours is."""
    ours, out = rows[OURS], {}
    for who, row in rows.items():
        out[who] = {**row, "nll": float(np.mean(row["nll"])), "curve": [list(point) for point in row["curve"]]}
        if who == OURS:
            continue
        difference = np.asarray(ours["nll"]) - np.asarray(row["nll"])
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        theirs, level = best_of(row["curve"])
        out[who] |= {
            "difference": float(difference.mean()),
            "difference_error": float(error),
            "faster_to_same_nll": theirs / time_to(ours["curve"], level),
            "times_samples": ours["samples_per_second"] / row["samples_per_second"],
        }
    return out


def meets(case: str, found: Mapping[str, Mapping[str, dict[str, Any]]]) -> bool:
    """Print what is required of figures by number of training maps, as in the file; whether all of it is met."""
    good = []
    for count, rows in found.items():
        peers = [who for who in rows if who in PEERS]
        if not peers:
            continue
        best = min(peers, key=lambda who: rows[who]["nll"])
        off = rows[best]["difference"] / rows[best]["difference_error"]
        good.append(required(f"{case}, {count} maps: (nll - that of {best}) / error", off, -np.inf, WORSE))
        for who in ("sbi", "bayesflow"):
            if who in rows and int(count) == TIMED:
                words = f"{case}, {count} maps: times as fast as {who} to the same nll"
                good.append(required(words, rows[who]["faster_to_same_nll"], FASTER, np.inf))
        if "sbi" in rows:
            words = f"{case}, {count} maps: times as many samples a second as sbi"
            good.append(required(words, rows["sbi"]["times_samples"], SAMPLED, np.inf))
    return all(good)


def run_case(case: Case, quick: bool, longer: float) -> dict[str, Any]:
    """All figures of a case."""
    cfg = case.config(quick)
    with TemporaryDirectory(dir=work_folder("npe", case.name)) as name:
        folder = Path(name).resolve()
        generate(cfg, folder / "simulations", progress=False)
        exact = apart(prepare, cfg, folder, quick)
        found = contest(case, cfg, folder, quick, longer)
    out: dict[str, Any] = {"exact_nll": exact} if exact is not None else {}
    out |= {"parameters": list(cfg.targets), "test_maps": cfg.data.test, "watched_maps": cfg.data.validation}
    out |= {"not_run": [who for who in PEERS if not is_there(who)], "samples": SAMPLES}
    out["budget_seconds"] = {str(count): longer * seconds for count, seconds in sizes(quick).items()}
    return out | {"maps": {str(count): compared(rows) for count, rows in found.items()}}


def main(arguments: list[str] | None = None) -> int:
    """Measure the cases that are asked for; exit 1 if a requirement is missed."""
    parser = results.parser("benchmarks.npe", __doc__, "metrics/ and plots/")
    parser.add_subset("cases", "case", [case.name for case in CASES])
    parser.add_argument("--longer", type=cli.positive, default=1.0, help="so many times the seconds of each training")
    options = parser.parse_args(arguments)
    file = results.results_file(options, "bench_npe.json")
    result = read_json(file) if file else {}
    if missing := [who for who in PEERS if not is_there(who)]:
        print(f"not run, as not installed: {', '.join(missing)} (make install EXTRAS=bench)")
    good = []
    for case in CASES:
        if case.name not in options.cases:
            continue
        found = run_case(case, options.quick, options.longer)
        good.append(options.quick or meets(case.name, found["maps"]))
        result[case.name] = results.rounded({**found, "machine": _machine()})
        if file:
            ordered = {each.name: result[each.name] for each in CASES if each.name in result}
            recorded.write(file, ordered, "benchmarks.npe", case.name)
            picture(file.parents[1] / "plots" / "bench_npe.png", ordered)
    return 0 if all(good) else 1


def _machine() -> dict[str, Any]:
    names = ("keras", "tensorflow", "tensorflow-cpu", "torch", *PEERS, "zuko")
    found = machine(min(CORES, len(os.sched_getaffinity(0))))
    return found | {"versions": {name: version(name) for name in names if installed(name)}}


if __name__ == "__main__":
    cli.entry(main)

"""How fast networks are trained: `python -m benchmarks.training [--quick] [NAME ...]`.

Ours, as the training stage compiles and fits it, on every backend; against the same network in plain torch with the
loop that its users write (https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html), in both memory formats.
The same maps in memory, the same batches, two cores. Every contender is a process that lives through all rounds and
sleeps between its turns; they take turns, and the ratio is of medians. tests/benchmarks/test_training.py holds the two
networks and loops against each other. Needs torch (https://pytorch.org, its build for CPUs).

Rates go to metrics/bench_training.json; exit status 1 if our fastest backend is slower than the fastest of torch.
`--quick` runs everything on tiny numbers, without requirements, and writes nothing unless `--out` says where.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import zip_longest
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import results
from benchmarks.peers import configure, installed
from benchmarks.simulators import machine
from cosmokeras.common import cli
from cosmokeras.common.files import read_json
from cosmokeras.params.config import Config
from study import recorded
from study.requirements import required

if TYPE_CHECKING:
    import keras

CORES = 2
Turn = Callable[[], float]  # trains on all maps once and gives the mean loss


@dataclass(frozen=True)
class Case:
    """A network and the maps that it sees."""

    network: str
    kind: str

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.network} {self.kind}"

    def config(self, quick: bool) -> Config:
        """Parameters of the run."""
        keys = {"data.kind": self.kind, "model.name": self.network, "model.spectrum_bins": 16, "train.batch_size": 64}
        tiny = {"data.size": 32, "model.width": 4, "train.batch_size": 8, "train.lr": 3e-4} if quick else {}
        return configure(keys | tiny)


CASES = (
    Case("cosmonet", "grf"),
    Case("hybrid", "grf"),
    Case("hybrid", "lensing"),
    Case("resnet", "grf"),
)
# what Keras runs on and whether XLA compiles it; torch's memory format
OURS = {"tensorflow": ("tensorflow", False), "tensorflow, XLA": ("tensorflow", True), "jax": ("jax", True)}
THEIRS = {"torch": False, "torch, channels last": True}


def sample(cfg: Config, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (n, size, size, channels) and what to predict of them (n, targets), both white noise."""
    rng = np.random.default_rng(0)
    n, size = steps * cfg.train.batch_size, cfg.data.size
    maps = rng.standard_normal((n, size, size, cfg.channels), dtype=np.float32)
    return maps, rng.standard_normal((n, len(cfg.targets)), dtype=np.float32)


def keras_model(cfg: Config, steps: int, xla: bool | str) -> keras.Model:
    """Our network, compiled as the training stage does."""
    from cosmokeras import models
    from cosmokeras.models.heads import MixtureLoss
    from cosmokeras.training.devices import find_devices
    from cosmokeras.training.optimizer import ClippedAdamW, schedule

    find_devices()
    model, options = models.build(cfg), cfg.train
    rate = schedule(options.lr, options.epochs * steps, options.warmup)
    optimizer = ClippedAdamW(rate, weight_decay=options.weight_decay, clip=options.clip)
    model.compile(optimizer, loss=MixtureLoss(cfg.model.components), jit_compile=xla)
    return model


def keras_turn(model: keras.Model, maps: np.ndarray, u: np.ndarray, batch: int) -> Turn:
    """One epoch of `fit`."""
    import tensorflow as tf

    from cosmokeras.dataset.feeders import stream_options

    batches = tuple(x.reshape(-1, batch, *x.shape[1:]) for x in (maps, u))
    data = tf.data.Dataset.from_tensor_slices(batches).with_options(stream_options()).prefetch(2)
    return lambda: model.fit(data, epochs=1, shuffle=False, verbose=0).history["loss"][0]


def make_turn(who: str, case: Case, steps: int, quick: bool) -> Turn:
    """A contender's training, in a process of its own, on the first cores; `steps` to a turn."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    os.environ |= {"KERAS_BACKEND": OURS[who][0] if who in OURS else "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    cfg = case.config(quick)
    maps, u = sample(cfg, steps)
    if who in OURS:
        return keras_turn(keras_model(cfg, steps, OURS[who][1]), maps, u, cfg.train.batch_size)
    from benchmarks import plain_torch

    plain_torch.torch.set_num_threads(CORES)
    return plain_torch.trainer(cfg, plain_torch.build(cfg), maps, u, THEIRS[who])


def work(line: Connection, who: str, case: Case, steps: int, quick: bool) -> None:
    """Get ready, then train for a turn whenever asked: seconds of it, and cores that were busy while waiting for it."""
    turn = make_turn(who, case, steps, quick)
    turn()  # compiles
    line.send(None)
    before = time.perf_counter(), time.process_time()
    while line.recv():
        start, busy = time.perf_counter(), time.process_time()
        turn()
        end = time.perf_counter()
        line.send((end - start, (busy - before[1]) / (start - before[0]), (time.process_time() - busy) / (end - start)))
        before = time.perf_counter(), time.process_time()


def compare(case: Case, rounds: int, steps: int, quick: bool) -> dict[str, Any]:
    """Rates of all contenders, which take turns: one of ours, one of theirs, ..."""
    context, lines, processes = get_context("spawn"), {}, []
    order = [who for pair in zip_longest(OURS, THEIRS) for who in pair if who]
    for who in order:  # one after the other, so that compiling is not slowed down
        lines[who], end = context.Pipe()
        processes.append(context.Process(target=work, args=(end, who, case, steps, quick), daemon=True))
        processes[-1].start()
        end.close()
        lines[who].recv()
    turns: dict[str, list[tuple[float, float, float]]] = {who: [] for who in order}
    for _ in range(rounds):
        for who in order:
            lines[who].send(True)
            turns[who].append(lines[who].recv())
    for who in order:
        lines[who].send(False)
    for process in processes:
        process.join()
    batch = case.config(quick).train.batch_size
    runs = {who: [steps * batch / seconds for seconds, _, _ in turns[who]] for who in order}
    rate = {who: float(np.median(runs[who])) for who in order}
    ours, theirs = max(OURS, key=rate.__getitem__), max(THEIRS, key=rate.__getitem__)
    return {
        "fastest": [ours, theirs],
        "ratio": rate[ours] / rate[theirs],
        "ratios": {who: rate[who] / rate[theirs] for who in OURS},
        "maps_per_second": rate,
        "runs": runs,
        "busy_cores": {who: float(np.median([busy for _, _, busy in turns[who]])) for who in order},
        "idle_cores": {who: float(np.median([idle for _, idle, _ in turns[who]])) for who in order},
        "batch": batch,
        "steps": steps,
    }


def report(name: str, row: dict[str, Any], quick: bool) -> bool:
    """Print the rates of a case; whether its requirement is met."""
    for who, rate in row["maps_per_second"].items():
        print(f"     {name}, {who}: {rate:.0f} maps/s on {row['busy_cores'][who]:.1f} cores")
    what = "{} / {}".format(*row["fastest"])
    return quick or required(f"{name}: {what}", row["ratio"], 1.0, np.inf)


def main(arguments: list[str] | None = None) -> int:
    """Compare the networks that are asked for; exit 1 if one of ours is slower."""
    networks = list(dict.fromkeys(case.network for case in CASES))
    parser = results.parser("benchmarks.training", __doc__)
    parser.add_subset("networks", "network", networks, "NAME")
    parser.add_argument("--rounds", type=cli.count, help="turns of each contender (default 7; with --quick 1)")
    parser.add_argument("--steps", type=cli.count, help="steps to a turn (default 16; with --quick 2)")
    options = parser.parse_args(arguments)
    if find_spec("torch") is None:
        parser.error("torch is not installed (https://pytorch.org)")
    rounds, steps = options.rounds or (1 if options.quick else 7), options.steps or (2 if options.quick else 16)
    file = results.results_file(options, "bench_training.json")
    result = read_json(file) if file else {}
    good = []
    for case in CASES:
        if case.network not in options.networks:
            continue
        found = compare(case, rounds, steps, options.quick)
        good.append(report(case.name, found, options.quick))
        result[case.name] = {**found, "machine": _machine()}
        if file:
            ordered = results.rounded({each.name: result[each.name] for each in CASES if each.name in result})
            recorded.write(file, ordered, "benchmarks.training", case.name)
    return 0 if all(good) else 1


def _machine() -> dict[str, Any]:
    names = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch")
    found = machine(min(CORES, len(os.sched_getaffinity(0))))
    return found | {"versions": {name: version(name) for name in names if installed(name)}}


if __name__ == "__main__":
    cli.entry(main)

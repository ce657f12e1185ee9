"""What observing a map costs inside the training step: `python -m benchmarks.forward [--quick]`.

For each backend in a process of its own. Processor time, which the load of the machine raises less than time by the
clock. `step`: noise, mask, last steps and turns of maps that went through shear before; `signal`: that way through
shear, once a map.

Medians go to metrics/bench_forward.json. `--quick` runs on tiny numbers and writes nothing unless `--out` says where.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.loading import config
from benchmarks.peers import ROOT
from benchmarks.simulators import machine
from cosmokeras.common import cli
from study import recorded

SIZES = (64, 128, 256)
BACKENDS = ("tensorflow", "jax", "torch")
BATCH = 64


def ways(size: int, batch: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; each observes a batch and waits for it."""
    from keras import ops

    from cosmokeras.observation.ops.counters import rows
    from cosmokeras.observation.ops.forward import Forward

    cfg = config(size, quick=True)
    forward = Forward(cfg)
    host = 0.02 * np.random.default_rng(0).standard_normal((batch, size, size, cfg.channels), dtype=np.float32)
    which, keys = np.zeros(batch, np.int32), rows(1, 7, batch)
    device = [ops.convert_to_tensor(one) for one in (host, which, keys)]
    return {
        "step": lambda: ops.convert_to_numpy(forward(*device)),
        "signal": lambda: ops.convert_to_numpy(forward.signal(*device[:2])),
    }


def measure(size: int, rounds: int, batch: int) -> dict[str, Any]:
    """Core-milliseconds a map."""
    functions = ways(size, batch)
    for function in functions.values():
        function()
    runs: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            runs[name].append(1e3 * (time.process_time() - start) / batch)
    median = {name: float(np.median(some)) for name, some in runs.items()}
    return {"core_milliseconds": median, "runs": runs}


def main(arguments: list[str] | None = None) -> int:
    """Measure all backends and sizes."""
    parser = results.parser("benchmarks.forward", __doc__)
    parser.add_argument("--rounds", type=cli.count, help="of each measurement (default 5; with --quick 1)")
    parser.add_argument("--child", type=int, help="one size, in a process of its own")
    options = parser.parse_args(arguments)
    rounds, batch = options.rounds or (1 if options.quick else 5), 2 if options.quick else BATCH
    if options.child:
        print(json.dumps(measure(options.child, rounds, batch)))
        return 0
    file = results.results_file(options, "bench_forward.json")
    result: dict[str, Any] = {"machine": machine(len(os.sched_getaffinity(0))) | {"load": os.getloadavg()[0]}}
    for backend in BACKENDS:
        for size in SIZES[:1] if options.quick else SIZES:
            command = [sys.executable, "-m", "benchmarks.forward", "--child", str(size), "--rounds", str(rounds)]
            run = subprocess.run(
                [*command, *(["--quick"] if options.quick else [])], cwd=ROOT, check=True, text=True,
                stdout=subprocess.PIPE, env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )  # fmt: skip
            row = json.loads(run.stdout.splitlines()[-1])
            result.setdefault(backend, {})[f"{size}^2"] = row
            words = ", ".join(f"{name} {value:.3f}" for name, value in row["core_milliseconds"].items())
            print(f"{backend}, {size}^2: {words} core-milliseconds a map", flush=True)
    if file is not None:
        recorded.write(file, results.rounded(result), "benchmarks.forward")
    return 0


if __name__ == "__main__":
    cli.entry(main)

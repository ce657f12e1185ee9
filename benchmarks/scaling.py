"""Which learning rate goes with many devices: `make bench`, or `python -m benchmarks.scaling [--quick]`.

A step on N devices is a step of one device on batches N times as large, as tests of training assert, so one processor
is enough to ask. Networks are trained on the same Gaussian maps for the same number of epochs, as on 1, 4 and 16
devices, with the learning rate of one device times 1, the square root of N, and N (`train.lr_scaling` none, sqrt and
linear). What counts is the validation loss [nats] that is reached.

Means over seeds go to metrics/bench_scaling.json. `--quick` runs on tiny numbers and writes nothing without `--out`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks import results
from cosmokeras.common import cli
from cosmokeras.common.files import work_folder
from study import recorded
from study.runs import changed_params, run_in

DEVICES, SEEDS = (1, 4, 16), (1, 2)
POWERS = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
DATA = {"kind": "grf", "size": 32, "n_cosmologies": 3200, "realisations": 4, "validation": 1000, "test": 100}
TINY = DATA | {"size": 16, "n_cosmologies": 64, "validation": 64, "test": 64}
TRAIN = {"epochs": 15, "patience": 15, "batch_size": 64, "lr": 0.002}


def loss(devices: int, factor: float, seed: int, data: dict[str, Any], train: dict[str, Any]) -> float:
    """Validation loss of one network."""
    folder = work_folder("bench", "scaling").resolve()
    more = {"batch_size": devices * train["batch_size"], "lr": factor * train["lr"], "seed": seed}
    changes = {"data": data, "train": train | more, "model": {"spectrum_bins": 8}}
    run_in(folder, changed_params(changes), ("generate", "train"))
    return float(json.loads((folder / "metrics" / "train.json").read_text())["loss"])


def main(arguments: list[str] | None = None) -> int:
    """Train them all."""
    options = results.parser("benchmarks.scaling", __doc__).parse_args(arguments)
    file = results.results_file(options, "bench_scaling.json")
    data, train = (TINY, TRAIN | {"epochs": 2}) if options.quick else (DATA, TRAIN)
    seeds, most = (SEEDS[:1], 4) if options.quick else (SEEDS, max(DEVICES))
    result: dict[str, Any] = {"data": data, "train": train, "seeds": len(seeds), "loss": {}}
    for devices in (n for n in DEVICES if n <= most):
        for name, power in POWERS.items():
            if devices == 1 and power:
                continue
            runs = [loss(devices, devices**power, seed, data, train) for seed in seeds]
            case = "1 device" if devices == 1 else f"{devices} devices, {name}"
            result["loss"][case] = {"mean": float(np.mean(runs)), "scatter": float(np.std(runs)), "runs": runs}
            print(f"{case}: validation loss {np.mean(runs):.4f}, scatter of seeds {np.std(runs):.4f}", flush=True)
    if file:
        recorded.write(file, results.rounded(result), "benchmarks.scaling")
    return 0


if __name__ == "__main__":
    cli.entry(main)

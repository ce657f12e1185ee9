"""How fast a GPU trains with the observation in the step: `python -m benchmarks.gpu [--quick] [BACKEND ...]`.

For a machine with JAX and torch, unattended, in eight minutes; TensorFlow is not needed. Each backend is a process of
its own. Of `hybrid` and `resnet`, maps of 64^2, 128^2 and 256^2 pixels in four bins, in float32 and mixed_bfloat16:
maps a second with the observation in the step, without any, and of maps that were observed before, all read from memory
of the host; the most memory of the device. Maps are white Gaussian ones of the right shape. Then a network is trained
for three minutes on Gaussian fields of 128^2 pixels that are made as it reads them, and its error compared with that of
the exact posterior; and observed maps and outputs of a network are compared with those of the processor.

Figures go to metrics/gpu.json, with the device in words; exit status 1 if values differ from the processor's by more
than 1e-4. Cases that time or memory does not suffice for are named. `--quick` runs everything on tiny numbers on
whatever there is and writes nothing unless `--out` says where.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.peers import ROOT
from benchmarks.simulators import machine
from cosmokeras.common import cli
from study import recorded
from study.requirements import required

BACKENDS = ("jax", "torch")
SECONDS = {"rates": 100.0, "efficiency": 180.0}  # of each backend's rates; of the one training
LIMIT = 420  # seconds that any one process may take
EQUAL = 1e-4
ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


def run_child(options: Any) -> int:
    """One task in this process: a line of JSON for each result."""
    from benchmarks import gpu_cases
    from cosmokeras.training.devices import find_devices

    task = options.child
    if task == "rates":
        print(json.dumps({"device": find_devices().names[0]}), flush=True)
        for row in gpu_cases.rates(options.quick, options.seconds):
            print(json.dumps(row), flush=True)
    elif task == "efficiency":
        print(json.dumps(gpu_cases.efficiency(options.quick, options.seconds)))
    else:
        np.savez(options.values, **gpu_cases.values(16 if options.quick else 64))
    return 0


def child(task: str, backend: str, quick: bool, **more: Any) -> tuple[list[dict[str, Any]], str | None]:
    """Results of a task in a process of its own, and in words why they are not whole, if so."""
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **more.pop("environment", {})}
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", task]
    command += ["--quick"] if quick else []
    for name, value in more.items():
        command += [f"--{name}", str(value)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        try:
            code: int | str = subprocess.run(
                command, cwd=ROOT, stdout=out, stderr=said, env=os.environ | environment, timeout=LIMIT, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"stopped after {LIMIT} s"
        out.seek(0)
        said.seek(0)
        rows = [json.loads(line) for line in out.read().splitlines() if line.startswith("{")]
        last = said.read().strip().splitlines()[-1:]
    return rows, None if code == 0 else f"{task} on {backend}: {code}: {' '.join(last)[:300]}"


def equality(backend: str, quick: bool) -> tuple[dict[str, float], str | None]:
    """Largest differences between this machine's device and its processor."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.npz" for name in ("device", "processor")]
        for path, environment in zip(files, ({}, ON_CPU), strict=True):
            failed = child("values", backend, quick, values=path, environment=environment)[1]
            if failed:
                return {}, failed
        device, processor = (np.load(path) for path in files)
        return {name: float(np.abs(device[name] - processor[name]).max()) for name in device}, None


def main(arguments: list[str] | None = None) -> int:
    """Measure what is installed; exit 1 if a value is wrong or nothing could be measured."""
    parser = results.parser("benchmarks.gpu", __doc__)
    parser.add_subset("backends", "backend", BACKENDS)
    parser.add_argument("--child", choices=("rates", "efficiency", "values"), help="one task, in this process")
    parser.add_argument("--seconds", type=float, default=0.0, help="that the task may take, about")
    parser.add_argument("--values", type=Path, help="file that values go to")
    options = parser.parse_args(arguments)
    if options.child:
        return run_child(options)
    file = results.results_file(options, "gpu.json")
    begun, good, problems = time.monotonic(), [], []
    result: dict[str, Any] = {"machine": machine(len(os.sched_getaffinity(0)))}
    for backend in (one for one in options.backends if find_spec(one) is not None):
        seconds = 1.0 if options.quick else SECONDS["rates"]
        rows, failed = child("rates", backend, options.quick, seconds=seconds)
        different, unequal = equality(backend, options.quick)
        problems += [one for one in (failed, unequal) if one]
        measured = [row for row in rows[1:] if "maps_per_second" in row]
        good.append(bool(measured) and not failed and not unequal)
        for name, value in different.items():
            good.append(required(f"{backend}: {name}, device less processor", value, 0.0, EQUAL))
        for row in measured:
            words = ", ".join(f"{way} {rate:.0f}" for way, rate in row["maps_per_second"].items())
            print(f"     {backend}, {' '.join(map(str, row['case'].values()))}: {words} maps/s", flush=True)
        device = rows[0]["device"] if rows else None
        versions = {name: version(name) for name in ("keras", backend)}
        result[backend] = {"device": device, "versions": versions, "cases": rows[1:], "largest_difference": different}
        if backend == options.backends[0]:
            seconds = 1.0 if options.quick else SECONDS["efficiency"]
            found, failed = child("efficiency", backend, options.quick, seconds=seconds)
            problems += [failed] if failed else []
            result["efficiency on grf"] = {"backend": backend} | (found[0] if found else {})
    result |= {"problems": problems, "seconds": time.monotonic() - begun}
    for one in problems:
        print(f"FAIL {one}", flush=True)
    if file is not None:
        recorded.write(file, results.rounded(result), "benchmarks.gpu")
    return 0 if good and all(good) and not problems else 1


if __name__ == "__main__":
    cli.entry(main)

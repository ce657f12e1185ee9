"""How fast maps come from disk to the network: `make bench`, or `python -m benchmarks.loading [--quick]`.

Shards as `generate` writes them (float16, about 16 MiB, tomographic maps of DES Y3), full of noise: what is in them
does not matter to the time. They go the way of training: picked in random order, with the masks and keys of their
observation, up to the step that observes them. `cold` reads files that were dropped from the page cache, `warm` the
same again; `read` is reading alone, `fed` with all that hands batches to the step. Rates are by the clock, and other
people's load on the machine lowers them; `core_seconds`, the processor time of a map, much less.

Medians go to metrics/bench_loading.json. `--quick` runs on tiny numbers and writes nothing unless `--out` says where.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.peers import configure
from benchmarks.simulators import machine
from cosmokeras.common import cli
from cosmokeras.common.files import work_folder
from cosmokeras.dataset.shards import Split, plan
from cosmokeras.params.config import Config
from study import recorded

SIZES = (64, 128, 256)
BYTES = 128 * 2**20  # of a case's maps on disk
BATCH = 64
Pass = Callable[[int], None]  # loads so many batches


def config(size: int, quick: bool) -> Config:
    """Parameters of a case: maps of about BYTES altogether."""
    bins, realisations = 4, 4
    cosmologies = max(2 * BATCH // realisations, (2**22 if quick else BYTES) // (size**2 * bins * 2 * realisations))
    keys = {"data.size": size, "data.n_cosmologies": cosmologies, "data.realisations": realisations}
    return configure(keys | {"train.batch_size": BATCH, "lensing.pixel_arcmin": 5 * 64 / size})


def write_shards(cfg: Config, folder: Path) -> list[Path]:
    """Training shards full of noise, and on the disk."""
    rng, paths = np.random.default_rng(0), []
    for shard in (shard for shard in plan(cfg) if shard.split == "train"):
        shape = ((shard.stop - shard.start) * cfg.data.realisations, cfg.data.size, cfg.data.size, cfg.channels)
        paths.append(folder / f"{shard.number:05d}.npy")
        with open(paths[-1], "wb") as handle:
            np.save(handle, 0.02 * rng.standard_normal(shape, dtype=np.float32).astype(cfg.data.dtype))
            handle.flush()
            os.fsync(handle.fileno())
    return paths


def forget(paths: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in paths:
        with open(path, "rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def split(cfg: Config, paths: list[Path]) -> Split:
    """The shards as the training stage opens them."""
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    counts = [len(array) for array in arrays]
    theta = np.full((sum(counts), 1), 0.3)
    offsets = np.cumsum([0, *counts])[:-1]
    return Split(arrays=arrays, offsets=offsets, theta=theta, cosmology=np.arange(len(theta)))


def ways(cfg: Config, paths: list[Path]) -> dict[str, Callable[[], Pass]]:
    """What is timed, by name: each is set up anew, then loads batches."""
    from cosmokeras import models
    from cosmokeras.dataset.batches import ALL, kept_maps
    from cosmokeras.dataset.feeders import endless, training_batches

    def read() -> Pass:
        source = kept_maps(split(cfg, paths), BATCH, 1)
        return lambda steps: [source(step, ALL) for step in range(1, steps + 1)] and None

    def whole() -> Pass:
        def encode(theta: np.ndarray) -> np.ndarray:
            return models.encode(cfg, theta)

        batches = iter(endless(training_batches(kept_maps(split(cfg, paths), BATCH, 1), encode, 1, 8, BATCH), 0))
        next(batches)  # traces the graph
        return lambda steps: [next(batches) for _ in range(steps)] and None

    return {"read": read, "fed": whole}


def timed(way: Callable[[], Pass], paths: list[Path], steps: int, cold: bool) -> tuple[float, float]:
    """Maps a second and core-seconds a map."""
    run = way()
    if cold:
        forget(paths)
    start, busy = time.perf_counter(), time.process_time()
    run(steps)
    return steps * BATCH / (time.perf_counter() - start), (time.process_time() - busy) / (steps * BATCH)


def measure(size: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Rates of one size of maps."""
    cfg = config(size, quick)
    folder = Path(mkdtemp(dir=work_folder("bench", "loading")))
    try:
        paths = write_shards(cfg, folder)
        maps = cfg.data.n_cosmologies * cfg.data.realisations
        steps, result = (2 if quick else maps // BATCH - 2), {}
        for name, way in ways(cfg, paths).items():
            for state in ("cold", "warm"):
                runs = [timed(way, paths, steps, state == "cold") for _ in range(rounds)]
                rate, core_seconds = np.median(runs, axis=0)
                result[f"{name}, {state}"] = {
                    "maps_per_second": float(rate),
                    "megabytes_per_second": float(rate) * size**2 * cfg.channels * 2 / 1e6,
                    "core_seconds": float(core_seconds),
                    "runs": [run[0] for run in runs],
                }
        return {"maps": maps, "bins": cfg.channels, "batch": BATCH, "steps": steps, "ways": result}
    finally:
        shutil.rmtree(folder)


def main(arguments: list[str] | None = None) -> int:
    """Measure all sizes."""
    parser = results.parser("benchmarks.loading", __doc__)
    parser.add_argument("--rounds", type=cli.count, help="of each measurement (default 5; with --quick 1)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rounds = options.rounds or (1 if options.quick else 5)
    file = results.results_file(options, "bench_loading.json")
    result: dict[str, Any] = {"machine": machine(len(os.sched_getaffinity(0))) | {"load": os.getloadavg()[0]}}
    for size in SIZES:
        result[f"{size}^2"] = measure(size, rounds, options.quick)
        for name, row in result[f"{size}^2"]["ways"].items():
            rate, busy = row["maps_per_second"], 1e3 * row["core_seconds"]
            print(f"{size}^2, {name}: {rate:.0f} maps/s, {busy:.2f} core-milliseconds a map", flush=True)
    if file:
        recorded.write(file, results.rounded(result), "benchmarks.loading")
    return 0


if __name__ == "__main__":
    cli.entry(main)

"""Simulating all maps of a run: shards that can be made anywhere, in any order, bit for bit.

In: parameters. Out: the folder of `cosmokeras.dataset.shards`, filled. Shards are made in a work folder named by a
fingerprint of all that the maps depend on; what is there and whole is kept.
"""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from io import BytesIO, StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import (
    EXIT_STOPPED,
    atomic,
    link_or_copy,
    locked,
    sha256,
    stop_asked,
    write_json,
    write_text,
)
from cosmokeras.common.heartbeat import doing
from cosmokeras.common.sealed import say_damaged
from cosmokeras.dataset.shards import (
    COSMOLOGIES,
    FORMAT,
    NOTE,
    Shard,
    is_referred,
    made_with,
    maps_each,
    own_maps,
    plan,
    shard_note,
    simulation_folder,
    split_sizes,
    split_theta,
)
from cosmokeras.params.config import Config
from cosmokeras.provenance.statements import statement
from cosmokeras.simulators import SPLITS, realisations, simulator_of


def make_shard(cfg: Config, prepared: Any, shard: Shard, theta: np.ndarray, folder: Path) -> int:
    """Simulate one shard, whose cosmologies have the parameters theta (n, p), and write it; the number of maps.

    `folder` is named by the fingerprint of all that the maps depend on; the shard's note keeps it.
    """
    module, count = simulator_of(cfg), maps_each(cfg)
    shape = ((shard.stop - shard.start) * count, cfg.data.size, cfg.data.size, cfg.channels)
    stored, largest = np.empty(shape, cfg.data.dtype), 0.0
    # one thread: sums in another order would change the last bit, and the cores are busy with other shards
    with threadpool_limits(1):
        whole = cfg.from_files  # what several maps of a shard are parts of is read once
        for i in range(shard.start, shard.stop, len(stored) if whole else 1):
            first = (i - shard.start) * count
            if whole:
                made = prepared.read(prepared.chosen[shard.split][i : shard.stop])
            else:
                generators = realisations(cfg.data.seed, SPLITS[shard.split], i)
                made = module.maps(cfg, prepared, theta[i - shard.start], generators, count)
            largest = np.maximum(largest, np.abs(made).max())  # NaN if one is
            with np.errstate(over="ignore"):  # what does not fit is refused below
                stored[first : first + len(made)] = made
    if not largest <= np.finfo(stored.dtype).max:
        raise UserError(f"data.dtype={cfg.data.dtype}: maps of {shard.name} do not fit; use float32")
    # as np.save writes it, hashed on the way
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(stored))
    path, digest = folder / f"{shard.name}.npy", hashlib.sha256()
    with atomic(path) as handle:
        for part in (header.getbuffer(), stored.reshape(-1).view(np.uint8).data):
            handle.write(part)
            digest.update(part)
    write_json(path.with_suffix(".json"), shard_note(len(stored), digest.hexdigest(), folder.name))
    return len(stored)


@cache
def _prepared(cfg_json: str) -> tuple[Config, Any]:
    cfg = Config.model_validate_json(cfg_json)
    return cfg, simulator_of(cfg).prepare(cfg)


def _work(cfg_json: str, shard: Shard, theta: np.ndarray, folder: Path) -> int:
    cfg, prepared = _prepared(cfg_json)
    return make_shard(cfg, prepared, shard, theta, folder)


def _start_worker() -> None:
    """No worker outlives a parent that was killed."""
    import ctypes
    import signal
    import sys

    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def generate(cfg: Config, out: Path, workers: int | None = None, progress: bool = True) -> dict[str, float]:
    """Make what is missing of all shards and put them into `out`, with cosmologies.csv and simulation.json.

    Returns
    -------
    dict with `maps`, `maps_made` in this run, `seconds` and `bytes`
    """
    folder, shards = simulation_folder(cfg), plan(cfg)
    if cfg.from_files:
        simulator_of(cfg).prepare(cfg).look_at(progress)
    with locked(folder):
        made = _fill(cfg, folder, shards, workers, progress)
        (out / NOTE).unlink(missing_ok=True)  # until all shards are there nothing says what the folder holds
        for shard in shards:
            for ending in (".npy", ".json"):
                link_or_copy(folder / f"{shard.name}{ending}", out / f"{shard.name}{ending}")
    _describe(cfg, folder.name, out)
    maps = sum(len(some) for some in own_maps(cfg).values()) if is_referred(cfg) else made["maps"]
    return made | {"maps": maps, "bytes": sum((out / f"{s.name}.npy").stat().st_size for s in shards)}


def generate_part(cfg: Config, part: int, parts: int, workers: int | None = None) -> dict[str, float]:
    """Make what is missing of every `parts`-th shard, from number `part` on, in the work folder and nowhere else.

    Any number of processes may do so at once, each its own part: `generate` then finds all that they have made.
    """
    folder = simulation_folder(cfg)
    with locked(folder, shared=True), locked(folder, f".part-{part}-of-{parts}.lock"):
        made = _fill(cfg, folder, plan(cfg)[part::parts], workers, progress=False)
    _describe(cfg, folder.name, folder)
    return made


def _fill(cfg: Config, folder: Path, shards: list[Shard], workers: int | None, progress: bool) -> dict[str, float]:
    workers = workers or len(os.sched_getaffinity(0))
    missing = [s for s in shards if not _report_whole(folder, s)]
    total, made = (sum(s.stop - s.start for s in some) * maps_each(cfg) for some in (shards, missing))
    started, verb = time.perf_counter(), "read" if cfg.from_files else "simulate"
    silent, done = not progress or not shards, total - made
    bar = tqdm(total=total, unit="map", desc=f"{verb} {cfg.data.kind}", disable=True if silent else None, mininterval=1)
    with bar:
        bar.update(done)
        for count in _make_all(cfg, missing, folder, workers, progress):
            bar.update(count)
            done += count
            doing(f"{verb} {cfg.data.kind}, {done} of {total} maps")
    return {"maps": total, "maps_made": made, "seconds": time.perf_counter() - started}


def _describe(cfg: Config, key: str, folder: Path) -> None:
    write_text(folder / COSMOLOGIES, cosmologies_csv(cfg))
    write_json(folder / NOTE, simulation_note(cfg, key, sha256(folder / COSMOLOGIES)))


def _report_whole(folder: Path, shard: Shard) -> bool:
    path = folder / f"{shard.name}.npy"
    whole = made_with(path) == folder.name
    if path.exists() and not whole:
        say_damaged(path)
    return whole


def _make_all(cfg: Config, missing: list[Shard], folder: Path, workers: int, progress: bool) -> Iterator[int]:
    if not missing:
        return
    prepared = simulator_of(cfg).prepare(cfg, progress=progress)
    splits = {split: split_theta(cfg, split) for split in split_sizes(cfg)}
    theta = {shard: splits[shard.split][shard.start : shard.stop] for shard in missing}
    if workers == 1 or len(missing) == 1:
        for shard in missing:
            _stop_if_asked()
            yield make_shard(cfg, prepared, shard, theta[shard], folder)
        return
    dumped = cfg.model_dump_json()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        tasks = [pool.submit(_work, dumped, shard, theta[shard], folder) for shard in missing]
        for task in as_completed(tasks):
            if stop_asked():
                pool.shutdown(cancel_futures=True)  # shards that are being made are finished
            _stop_if_asked()
            yield task.result()


def _stop_if_asked() -> None:
    if stop_asked():
        print("stopped on request: finished shards are kept; run again to resume", flush=True)
        raise SystemExit(EXIT_STOPPED)


def cosmologies_csv(cfg: Config) -> str:
    """One line for each cosmology: split, index, free parameters."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["split", "cosmology", *cfg.parameter_names])
    for split in split_sizes(cfg):
        for i, row in enumerate(split_theta(cfg, split)):
            writer.writerow([split, i, *(repr(float(x)) for x in row)])
    return text.getvalue()


def simulation_note(cfg: Config, key: str, cosmologies: str) -> dict[str, Any]:
    """What the folder holds, for people and for the stages after this one; `cosmologies` is the sha256 of that file."""
    head = {"format": FORMAT, "fingerprint": key, "parameters": list(cfg.parameter_names), "cosmologies": cosmologies}
    return {**head, **statement(cfg, "maps")}

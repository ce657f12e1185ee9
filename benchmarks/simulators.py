"""How fast maps are made: `make bench`, or `python -m benchmarks.simulators [--quick] [KIND ...]`.

- Throughput: `cosmokeras.dataset.generation.generate` from parameters to checked files on the disk of the work folder,
  on all cores, start of the worker processes included; noise-free maps as they are stored (float16). The theory table
  is made before the clock starts, its time is given separately. `steady` leaves out what a run of six tiny maps takes.
- Peers: the same work by other codes, on one core each, in turns: see `benchmarks.peers`.

Medians go to metrics/bench_simulators.json and plots/bench_simulators.png; exit status 1 if a requirement is
missed. Requirements are meant for two cores. `--quick` runs everything on tiny numbers, without requirements, and
writes nothing unless `--out` says where.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.peers import OURS, PEERS, compare, configure, installed
from cosmokeras.common import cli
from cosmokeras.common.files import read_json, work_folder
from cosmokeras.dataset.generation import generate
from cosmokeras.params import registry
from cosmokeras.params.config import Config
from cosmokeras.simulators import simulator
from study import recorded
from study.requirements import required

PM = "pm"  # steps of particle-mesh boxes, beside those of others alone
KINDS = [*(name for name in registry.KINDS if name != "files"), PM]  # those that are simulated
SAME_BANDS = (0.01, 0.01, 0.03)  # by which power may differ from that of others, in the bands of largest scales
TINY = {"data.size": 16, "lpt.particles": 16, "data.realisations": 1, "data.n_cosmologies": 2}


@dataclass(frozen=True)
class Case:
    """One line of the throughput table: `per_core` training cosmologies per core, `bar` required maps a second."""

    kind: str
    size: int
    realisations: int
    per_core: int
    bar: float | None = None
    particles: int = 128

    @property
    def name(self) -> str:
        """The line's name in tables and pictures."""
        cube = f" of {self.particles}^3" if self.kind == "2lpt" else ""
        return f"{self.kind} {self.size}^2{cube}, {self.realisations} per cosmology"

    def config(self, cores: int, quick: bool) -> Config:
        """Parameters of the run."""
        cosmologies = 2 if quick else self.per_core * cores
        keys = {"data.kind": self.kind, "data.size": self.size, "lpt.particles": self.particles}
        keys |= {"data.realisations": self.realisations, "data.n_cosmologies": cosmologies}
        return configure(keys)


CASES = (
    Case("grf", 64, 16, 2048, bar=15000),
    Case("grf", 64, 4, 8192),
    Case("grf", 128, 4, 1536),
    Case("grf", 256, 4, 384),
    Case("lensing", 64, 4, 256, bar=120),
    Case("lensing", 128, 4, 32),
    Case("lensing", 256, 4, 8),
    Case("2lpt", 64, 48, 8, bar=20),
    Case("2lpt", 64, 4, 8),
    Case("2lpt", 128, 48, 8),
    Case("2lpt", 256, 48, 1, particles=256),
)


@contextmanager
def scratch() -> Iterator[Path]:
    """A work folder of its own on the disk of the usual one, whose theory tables it shares."""
    # `work_folder` may be relative, and the folder for tables must exist to be pointed at
    theory = work_folder("theory", "").resolve()
    before = os.environ.get("COSMOKERAS_WORK")
    with tempfile.TemporaryDirectory(dir=theory.parent, prefix="bench-") as name:
        folder = Path(name)
        (folder / "theory").symlink_to(theory, target_is_directory=True)
        os.environ["COSMOKERAS_WORK"] = name
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["COSMOKERAS_WORK"]
            else:
                os.environ["COSMOKERAS_WORK"] = before


def timed_generate(cfg: Config, folder: Path, cores: int) -> tuple[float, dict[str, float]]:
    """Seconds from parameters to files, and what `generate` says of them; leaves nothing behind."""
    start = time.perf_counter()
    made = generate(cfg, folder / "out", workers=cores, progress=False)
    seconds = time.perf_counter() - start
    for name in ("out", "generate"):
        shutil.rmtree(folder / name)
    return seconds, made


def throughput(kind: str, cores: int, runs: int, quick: bool) -> dict[str, Any]:
    """Maps a second of every case of a kind, the runs of all cases in turns."""
    cases = [case for case in CASES if case.kind == kind]
    cases = cases[:1] if quick else cases
    tiny = configure({"data.kind": kind, **TINY})
    with scratch() as folder:
        start = time.perf_counter()
        simulator(kind).prepare(tiny)
        prepare = time.perf_counter() - start
        timed_generate(tiny, folder, cores)  # compiled code is stored now
        starts, seconds, made = [], {case: [] for case in cases}, {}
        for _ in range(runs):
            starts.append(timed_generate(tiny, folder, cores)[0])
            for case in cases:
                one, made[case] = timed_generate(case.config(cores, quick), folder, cores)
                seconds[case].append(one)
    begun = float(np.median(starts))
    out = {"prepare_seconds": round(prepare, 2), "start_seconds": round(begun, 2), "cases": {}}
    for case in cases:
        maps, middle = int(made[case]["maps_made"]), float(np.median(seconds[case]))
        row: dict[str, Any] = {"maps_per_second": maps / middle}
        if middle > 2 * begun:  # a shorter run is all start
            row["steady_maps_per_second"] = maps / (middle - begun)
        row |= {"maps": maps, "megabytes": made[case]["bytes"] / 1e6, "seconds": seconds[case]}
        if case.bar and not quick:
            row["bar"] = case.bar
        out["cases"][case.name] = row
    return out


def machine(cores: int) -> dict[str, Any]:
    """What the figures were taken with."""
    names = ("numpy", "scipy", "numba", "jax", *PEERS)
    system = {
        "cores": cores,
        "system": platform.platform(),
        "processor": processor(),
        "python": platform.python_version(),
    }
    return system | {"versions": {name: version(name) for name in names if installed(name)}}


def processor() -> str:
    """The processor's name, where the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def report(kind: str, found: dict[str, Any]) -> bool:
    """Print what was found of a kind; whether requirements are met."""
    made, good = found["throughput"], []
    if "prepare_seconds" in made:
        print(f"{kind}: prepared in {made['prepare_seconds']:.1f} s, six tiny maps in {made['start_seconds']:.1f} s")
    for name, row in made["cases"].items():
        rate = row["maps_per_second"]
        if "bar" in row:
            good.append(required(f"{name}: maps/s", rate, row["bar"], np.inf))
        steady = f", {row['steady_maps_per_second']:.1f} without the start" if "steady_maps_per_second" in row else ""
        print(f"     {name}: {rate:.1f} maps/s{steady}")
    for name, row in found["peers"].items():
        print(f"     {name} on one core: {row['rate'][OURS]:.3g} {row['unit']}")
        for who, ratio in row["ratio"].items():
            print(f"          {ratio:.2f} times {who} ({row['rate'][who]:.3g})")
            if "bar" in row:
                good.append(required(f"{name}: times as fast as {who}", ratio, row["bar"], np.inf))
        for number, (band, power) in enumerate(row.get("power_ratio", {}).items()):
            print(f"          their power over ours, k = {band} h/Mpc: {power:.4f}")
            if "bar" in row and number < len(SAME_BANDS):
                good.append(required(f"{name}: power ratio - 1, {band}", abs(power - 1), 0, SAME_BANDS[number]))
    return all(good)


def picture(path: Path, result: dict[str, Any]) -> None:
    """Draw the rates on all cores with what is required, and how many times as fast as others one core is."""
    from cosmokeras.report import style

    cases = {name: row for found in result.values() for name, row in found["throughput"]["cases"].items()}
    peers = [(name, row) for found in result.values() for name, row in found["peers"].items() if row["ratio"]]
    codes = list(dict.fromkeys(who for _, row in peers for who in row["ratio"]))
    with style.canvas(path, 11, 1.4 + 0.36 * max(len(cases), len(peers))) as figure:
        left, right = figure.subplots(1, 2)
        rates = [row["maps_per_second"] for row in cases.values()]
        left.barh(range(len(cases)), rates, color=style.BLUE, height=0.6)
        for y, (rate, row) in enumerate(zip(rates, cases.values(), strict=True)):
            left.text(rate * 1.1, y, f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}", va="center", fontsize=8)
            if "bar" in row:
                left.plot([row["bar"]] * 2, [y - 0.42, y + 0.42], color=style.RUST, lw=2.5)
        left.plot([], [], color=style.RUST, lw=2.5, label="required")
        left.set_yticks(range(len(cases)), list(cases))
        cores = "/".join(str(n) for n in sorted({found["machine"]["cores"] for found in result.values()}))
        left.set(
            xscale="log",
            xlim=(min(rates, default=1) / 3, max(rates, default=1) * 8),
            xlabel=f"maps a second, {cores} cores, to disk",
        )
        left.legend(loc="lower right")
        right.axvline(1, color=style.GREY, lw=1)
        for i, who in enumerate(codes):
            rows = [(y, row["ratio"][who]) for y, (_, row) in enumerate(peers) if who in row["ratio"]]
            y, ratio = np.array(rows).T
            right.plot(ratio, y, "osD^"[i % 4], color=style.COLOURS[i % len(style.COLOURS)], ms=8, label=who)
        right.set_yticks(range(len(peers)), [name for name, _ in peers])
        right.set(xscale="log", ylim=(-0.6, len(peers) - 0.4), xlabel="times as fast as others, one core each")
        right.xaxis.set(major_formatter="{x:g}", minor_formatter="")
        right.grid(axis="x", which="both", color=style.PALE, lw=0.6)
        if codes:
            right.legend(loc="best")
        for axes in (left, right):
            axes.invert_yaxis()


def main(arguments: list[str] | None = None) -> int:
    """Measure the kinds that are asked for; exit 1 if a requirement is missed."""
    parser = results.parser("benchmarks.simulators", __doc__, "metrics/ and plots/")
    parser.add_subset("kinds", "kind", KINDS)
    parser.add_argument("--runs", type=cli.count, help="timed runs of each (default 5; with --quick 1)")
    options = parser.parse_args(arguments)
    runs = options.runs or (1 if options.quick else 5)
    file = results.results_file(options, "bench_simulators.json")
    result = read_json(file) if file else {}
    cores, good = len(os.sched_getaffinity(0)), []
    if missing := [name for name in PEERS if not installed(name)]:
        print(f"not installed and left out: {', '.join(missing)} (make install EXTRAS=bench)")
    for kind in options.kinds:
        made = {"cases": {}} if kind == PM else throughput(kind, cores, runs, options.quick)
        found = {"machine": machine(cores), "throughput": made}
        # a process of its own, that nothing else has started threads in
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found["peers"] = pool.submit(compare, kind, runs, options.quick).result()
        good.append(report(kind, found))
        if file:
            result[kind] = found
            ordered = {name: result[name] for name in KINDS if name in result}
            recorded.write(file, results.rounded(ordered), "benchmarks.simulators", kind)
            picture(file.parents[1] / "plots" / "bench_simulators.png", ordered)
    return 0 if all(good) else 1


if __name__ == "__main__":
    cli.entry(main)

"""The random words of `observation.ops.counters` through dieharder (Brown, version 3.31): metrics/random_numbers.json.

    python -m benchmarks.random_numbers [--quick]

The words come in three orders, since each of place, row and step may be what a pattern shows in: places first as a
step draws them, the same place of all rows of many steps, the same place and row of all steps. Tests whose authors call
them suspect, and those that take over ten minutes, are left out. `failed` counts what dieharder calls so (p below 1e-6
or as close to 1); `uniform_p` is a test of Kolmogorov and Smirnov of the p-values of one order, but for those of
sts_serial, which come from the same words thirty times over.

`--quick` asks one test and writes nothing unless `--out` says where. `apt-get install dieharder` where it is missing.
`--words ORDER` writes the stream to the standard output, for any other battery.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import numba
import numpy as np

from benchmarks import results
from benchmarks.peers import ROOT
from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from study import recorded

ORDERS = {"places": 0, "rows": 1, "steps": 2}
TESTS = (3, 2, 8, 9, 100, 101, 205, 206, 209, 0, 1, 4, 10, 12, 15, 16, 204, 13, 207, 208, 102)
PLACES, ROWS, STEPS = 5184, 64, 65536
STREAM, SEED, PART = 5, 1, 2**16


@numba.njit
def _mixed(a: Any, b: Any, c: Any, d: Any) -> Any:
    a = np.uint32(a + b * d)
    b = np.uint32(b + c * a)
    c = np.uint32(c + a * b)
    d = np.uint32(d + b * c)
    return a, b, c, d


@numba.njit
def _folded(a: Any, b: Any, c: Any, d: Any) -> Any:
    s = np.uint32(16)
    return a ^ (a >> s), b ^ (b >> s), c ^ (c >> s), d ^ (d >> s)


@numba.njit
def fill(out: np.ndarray, start: int, order: int, high: np.uint32, low: np.uint32) -> None:
    """Words (n, 4) from number `start` of an order on: `counters.words`, compiled."""
    factor, term = np.uint32(1664525), np.uint32(1013904223)
    for i in range(len(out)):
        k = start + i
        if order == 0:
            place, row, step = k % PLACES, (k // PLACES) % ROWS, k // (PLACES * ROWS)
        elif order == 1:
            row, step, place = k % ROWS, (k // ROWS) % STEPS, k // (ROWS * STEPS)
        else:
            step, row, place = k % STEPS, (k // STEPS) % ROWS, k // (ROWS * STEPS)
        a, b = np.uint32(np.uint32(STREAM) * factor + term), np.uint32(np.uint32(row) * factor + term)
        c, d = np.uint32((np.uint32(step) ^ high) * factor + term), np.uint32(low * factor + term)
        a, b, c, d = _folded(*_mixed(a, b, c, d))
        a, b, c, d = _folded(*_mixed(a, b, c, d))
        a, b, c, d = _mixed(a, b, c, d)
        a = np.uint32(a + np.uint32(place) * factor)
        a = np.uint32((a ^ (a >> np.uint32(16))) * np.uint32(0x21F0AAAD))
        a ^= a >> np.uint32(15)
        a, b, c, d = _mixed(a, b, c, d)
        a, b, c, d = _folded(a, b, c, d)
        a, b, c, d = _mixed(a, b, c, d)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = _folded(a, b, c, d)


def write(order: str) -> None:
    """An endless stream of words to the standard output."""
    out, start = np.empty((PART, 4), np.uint32), 0
    high, low = np.random.SeedSequence(SEED).generate_state(2)
    while True:
        fill(out, start, ORDERS[order], high, low)
        start += PART
        try:
            sys.stdout.buffer.write(out.tobytes())
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return


def ask(order: str, test: int) -> list[dict[str, Any]]:
    """Results of one test of dieharder."""
    words = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.random_numbers", "--words", order], stdout=subprocess.PIPE, cwd=ROOT
    )
    columns = ("test_name", "ntuple", "pvalues", "assessment")
    command = ["dieharder", "-g", "200", "-d", str(test), "-c", "|", *(w for c in columns for w in ("-D", c))]
    run = subprocess.run(command, stdin=words.stdout, check=True, text=True, capture_output=True)
    assert words.stdout
    words.stdout.close()
    words.wait()
    rows = [[cell.strip() for cell in line.split("|")] for line in run.stdout.splitlines() if line.count("|") == 3]
    return [{"test": name, "ntuple": int(n), "p": float(p), "says": says} for name, n, p, says in rows]


def main(arguments: list[str] | None = None) -> int:
    """Run the battery."""
    from scipy.stats import kstest

    parser = results.parser("benchmarks.random_numbers", __doc__)
    parser.add_argument("--words", choices=tuple(ORDERS), help="write the words of this order instead")
    options = parser.parse_args(arguments)
    if options.words:
        write(options.words)
        return 0
    if shutil.which("dieharder") is None:
        raise UserError("dieharder is not installed; apt-get install dieharder")
    file = results.results_file(options, "random_numbers.json")
    found: dict[str, Any] = {"battery": "dieharder 3.31", "seed": SEED, "orders": {}}
    for order in ORDERS:
        found["orders"][order] = {"results": []}
    for test in (100,) if options.quick else TESTS:
        for order in ORDERS:
            found["orders"][order]["results"] += ask(order, test)
            print(order, found["orders"][order]["results"][-1], flush=True)
        for row in found["orders"].values():
            p = np.array([one["p"] for one in row["results"]])
            apart = [one["p"] for one in row["results"] if one["test"] != "sts_serial"]
            row |= {"tests": len(p), "smallest_p": float(p.min()), "largest_p": float(p.max())}
            row["uniform_p"] = float(kstest(apart or p, "uniform").pvalue)
            row["failed"] = sum(one["says"] == "FAILED" for one in row["results"])
        if file is not None:
            recorded.write(file, found, "benchmarks.random_numbers")
    return 1 if any(row["failed"] for row in found["orders"].values()) else 0


if __name__ == "__main__":
    cli.entry(main)

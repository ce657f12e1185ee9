"""A suite of 40 GB is opened, divided and read in seconds, without much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.suites.conftest import write_table

MAPS, SIDE = 10_000, 1024  # 42 GB of float32, in a sparse file
FACTS = """
import json, re, sys, time
from functools import partial
import numpy as np
started = time.perf_counter()
from cosmokeras import load_params
from cosmokeras.dataset.batches import kept_maps
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from pathlib import Path
cfg = load_params("params.yaml", json.loads(sys.argv[1]))
made = generate(cfg, Path("simulations"), 1, progress=False)
split = open_split(cfg, Path("simulations"), "train")
read = kept_maps(split, 16, seed=1)
shapes = [read(step, slice(None))[0].shape for step in range(10)]
# not ru_maxrss, which begins with the memory of the process that this one was started from
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak, "maps": made["maps"], "shapes": shapes}))
"""


@pytest.mark.slow
def test_forty_gigabytes_are_opened_and_read_within_a_minute_and_two_gigabytes(folder: Path) -> None:
    """In a process of its own, whose memory is that of this alone."""
    path = folder / "maps.npy"
    shape = (MAPS // 10, 10, SIDE, SIDE)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        start = handle.tell()
        handle.truncate(start + 4 * MAPS * SIDE**2)
        drawn = (0.5 * np.random.default_rng(1).standard_normal(1024)).astype("<f4")
        for i in range(2 * MAPS):  # two rows of each map, so that no patch of it is the same everywhere
            handle.seek(start + 2 * i * SIDE**2)
            handle.write(drawn.tobytes())
    assert path.stat().st_size > 40e9
    assert path.stat().st_blocks * 512 < 1e9
    write_table(folder / "table.csv", np.linspace(0.1, 0.5, MAPS // 10)[:, None], ["train"] * (MAPS // 10))
    keys = {
        "data.kind": "files", "data.size": 512, "data.n_cosmologies": 800, "data.validation": 100, "data.test": 100,
        "data.realisations": 40, "data.dtype": "float32", "files.maps": "maps.npy", "files.parameters": "table.csv",
        "files.columns": {"omega_m": "Om"}, "files.noise": "none", "files.units": "arbitrary", "files.channels": 1,
        "files.scale": 0.02,
    }  # fmt: skip
    command = [sys.executable, "-c", FACTS, json.dumps(keys)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    print(facts)
    assert facts["maps"] == 40_000
    assert facts["shapes"] == [[16, 512, 512, 1]] * 10
    assert facts["seconds"] < 60
    assert facts["peak"] < 2e9

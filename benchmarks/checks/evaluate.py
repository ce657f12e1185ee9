"""Time to evaluate 10,000 maps: network, exact limit, baselines, calibration, misspecification test, pictures."""

from __future__ import annotations

import json
import time
from typing import Any

from cosmokeras.common.files import work_folder
from study.requirements import required
from study.runs import changed_params, run_in

# The default network, on Gaussian fields, whose exact posterior is known; how well it is trained does not matter here
CHANGES: dict[str, dict[str, Any]] = {
    "prior": {"omega_m": [0.2, 0.4]},
    "data": {"kind": "grf", "size": 64, "n_cosmologies": 1250, "realisations": 4, "validation": 400, "test": 2500},
    "train": {"epochs": 2, "init_from": None, "freeze": "none", "fresh_maps": False},
    "real": {"source": "mock"},
}
MAPS, SECONDS = 10_000, 60


def check() -> tuple[dict[str, Any], bool]:
    """Wall time of the stage `evaluate`, the start of the process included."""
    params = changed_params(CHANGES)
    folder = work_folder("validate", "evaluate").resolve()
    run_in(folder, params, ("generate", "train"))
    start = time.perf_counter()
    run_in(folder, params, ["evaluate"])
    seconds = time.perf_counter() - start
    maps = json.loads((folder / "metrics" / "evaluate.json").read_text())["n_maps"]
    good = [
        required("evaluate: maps judged", maps, MAPS, MAPS),
        required("evaluate: seconds for all of them", seconds, 0, SECONDS),
    ]
    return {"maps": maps, "seconds": round(seconds, 1)}, all(good)

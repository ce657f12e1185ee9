"""Memory of calibration (in `train`) and of `evaluate` with many held-out maps beside few: it must hardly grow."""

from __future__ import annotations

from typing import Any

from cosmokeras.common.files import work_folder
from study.requirements import required
from study.runs import changed_params, run_in

TIMES = 16
GROWTH = 1.1  # at most, of the peak of a process
STAGES = ("train", "evaluate")


def check() -> tuple[dict[str, Any], bool]:
    """Peaks [MB] with 800 validation maps and 2,000 test maps, as by default, and with TIMES as many."""
    few, many = peaks(1), peaks(TIMES)
    found = {stage: {"mb": round(few[stage]), "mb_of_many": round(many[stage])} for stage in STAGES}
    good = [required(f"memory: {one} of {TIMES} times the maps", many[one] / few[one], 0, GROWTH) for one in STAGES]
    return found, all(good)


def peaks(times: int) -> dict[str, float]:
    """Largest memory [MB] of both stages on Gaussian fields; how well the network is trained does not matter here."""
    changes: dict[str, dict[str, Any]] = {
        "prior": {"omega_m": [0.2, 0.4]},
        "data": {"kind": "grf", "size": 64, "n_cosmologies": 500, "realisations": 2},
        "train": {"epochs": 1, "init_from": None, "freeze": "none", "fresh_maps": False},
        "real": {"source": "mock"},
    }
    changes["data"] |= {"validation": 400 * times, "test": 1000 * times}
    folder = work_folder("validate", f"memory-{times}").resolve()
    return run_in(folder, changed_params(changes), ("generate", *STAGES))

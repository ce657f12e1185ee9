"""A suite in files with 101 cosmologies, five folds: posteriors of cosmologies that no network of theirs has seen.

Maps are ours, of one bin as deep as the FAIR-Universe challenge's, on 32 pixels. The question is whether a network that
knows few cosmologies, and has learned their sample as its prior, still means its error bars on others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.files import work_folder
from cosmokeras.params.prior import sample_prior
from cosmokeras.project import load_params
from cosmokeras.simulators import realisations, simulator
from study import folds
from study.requirements import required
from study.runs import ROOT, changed_params

COUNT, MAPS, SIZE = 101, 48, 32
FOLDS, TEST, VALIDATION = 5, 20, 16
BOX = {"omega_m": [0.15, 0.45], "S8": [0.7, 0.9]}
COLUMNS = {name: {"column": i, "range": box} for i, (name, box) in enumerate(BOX.items())}
SURVEY = {"survey": "hsc_y3_fair", "mask": "none"}
CHANGES: dict[str, dict[str, Any]] = {
    "data": {
        "kind": "files", "size": SIZE, "n_cosmologies": COUNT - TEST - VALIDATION, "validation": VALIDATION,
        "test": TEST, "realisations": MAPS, "targets": ["omega_m", "S8"],
    },
    "files": {
        "maps": "suite.npy", "parameters": "suite.txt",
        "pixel_arcmin": 2.0, "columns": COLUMNS,
    },
    "lensing": SURVEY,
    "model": {"width": 8, "spectrum_bins": 8},
    "train": {"epochs": 15},
    "evaluate": {"spectrum_bins": 8},
}  # fmt: skip
SPREAD = 0.05  # allowed deviation of the coverage


def suite(folder: Path) -> None:
    """Noise-free maps (COUNT, MAPS, SIZE, SIZE, 1) and the table of omega_m and S8, evenly in BOX."""
    free = {"prior.omega_m": BOX["omega_m"], "prior.sigma8": (0.5, 1.4)}
    keys = {f"lensing.{name}": value for name, value in SURVEY.items()}
    small = {"data.size": SIZE, "model.spectrum_bins": 8, "evaluate.spectrum_bins": 8}
    cfg = load_params(ROOT / "params.yaml", free | keys | small)
    unit = (sample_prior(cfg, COUNT, seed=1) - cfg.bounds[:, 0]) / np.ptp(cfg.bounds, axis=1)
    low, high = np.array(list(BOX.values())).T
    table = low + (high - low) * unit
    theta = np.stack([table[:, 0], table[:, 1] / np.sqrt(table[:, 0] / 0.3)], axis=1)
    module = simulator("lensing")
    prepared = module.prepare(cfg)
    maps = [module.maps(cfg, prepared, row, realisations(1, 0, i), MAPS) for i, row in enumerate(theta)]
    np.save(folder / "suite.npy", np.stack(maps))
    np.savetxt(folder / "suite.txt", table, header="omega_m S8")


def check() -> tuple[dict[str, Any], bool]:
    """Coverage of both parameters over the test cosmologies of all folds, and errors beside those of spectra."""
    shared = work_folder("validate", "few-cosmologies").resolve()
    if not (shared / "suite.txt").exists():
        suite(shared)
    params = folds.anywhere(changed_params(CHANGES), shared)
    found = folds.pooled(folds.run_folds("few-cosmologies", params, range(FOLDS)))
    good = []
    for name in BOX:
        words = f"{COUNT} cosmologies in files: {name}.coverage_68"
        good.append(required(words, found[name]["coverage_68"], 0.68 - SPREAD, 0.68 + SPREAD))
    print(f"     phase-1 score: {found['fair_phase1']}", flush=True)
    return found, all(good)

"""A suite in files with 101 cosmologies, five folds: posteriors of cosmologies that no network of theirs has seen.

Maps are ours, of one bin as deep as the FAIR-Universe challenge's, on 32 pixels. The question is whether a network that
knows few cosmologies, and has learned their sample as its prior, still means its error bars on others.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common import figure_data
from cosmokeras.common.files import work_folder
from cosmokeras.params.prior import sample_prior
from cosmokeras.project import load_params
from cosmokeras.simulators import realisations, simulator
from study.bars import bar
from study.runs import ROOT, changed_params, run_in

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
        "maps": "../few-cosmologies/suite.npy", "parameters": "../few-cosmologies/suite.txt",
        "pixel_arcmin": 2.0, "columns": COLUMNS,
    },
    "lensing": SURVEY,
    "model": {"width": 8, "spectrum_bins": 8},
    "train": {"epochs": 15},
    "evaluate": {"spectrum_bins": 8},
}  # fmt: skip
SPREAD = 0.05  # bar of the coverage
RESAMPLES = 1000


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
    hits, metrics = [], []
    shared = work_folder("validate", "few-cosmologies")
    if not (shared / "suite.txt").exists():
        suite(shared)
    for fold in range(FOLDS):
        folder = work_folder("validate", f"few-cosmologies-{fold}").resolve()
        changes = CHANGES | {"files": CHANGES["files"] | {"fold": fold}}
        run_in(folder, changed_params(changes), ("generate", "train", "evaluate"))
        metrics.append(json.loads((folder / "metrics" / "evaluate.json").read_text()))
        with contextlib.chdir(folder):
            kept = figure_data.load("evaluate")
        inside = np.abs(np.asarray(kept["pit"]) - 0.5) < 0.34
        cosmology = np.asarray(kept["cosmology"])
        hits += [inside[cosmology == one].mean(axis=0) for one in np.unique(cosmology)]
    each = np.array(hits)  # (cosmologies, 2)
    rng = np.random.default_rng(0)
    error = np.std([each[rng.integers(0, len(each), len(each))].mean(axis=0) for _ in range(RESAMPLES)], axis=0)
    found: dict[str, Any] = {"cosmologies": len(each), "folds": FOLDS}
    good = []
    for name, value, scatter in zip(BOX, each.mean(axis=0), error, strict=True):
        rmse, spectra = (_pooled(metrics, name, key) for key in ("rmse", "baseline_rmse"))
        found[name] = {
            "coverage_68": round(float(value), 4), "coverage_68_std": round(float(scatter), 4),
            "rmse": round(rmse, 4), "baseline_rmse": round(spectra, 4),
        }  # fmt: skip
        words = f"{COUNT} cosmologies in files: {name}.coverage_68"
        good.append(bar(words, float(value), 0.68 - SPREAD, 0.68 + SPREAD))
    scores = [m["fair_phase1"] for m in metrics]
    found["fair_phase1"] = {way: round(float(np.mean([one[way] for one in scores])), 3) for way in scores[0]}
    print(f"     phase-1 score: {found['fair_phase1']}", flush=True)
    return found, all(good)


def _pooled(metrics: list[dict[str, Any]], name: str, key: str) -> float:
    """An error over all folds."""
    return float(np.sqrt(np.mean([one[name][key] ** 2 for one in metrics])))

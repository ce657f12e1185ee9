"""The FAIR-Universe challenge's layout from files to its phase-1 score, on two cores, beside spectra and l1-norm.

The challenge's maps are not here: skies are stand-ins of ours, with its footprint, noise and table of labels (needs
its mask and label.npy, see COSMOKERAS_REAL_DATA). A sky is simulated patch by patch, at the places that the reader cuts
out again; what lies between them is empty. T_AGN of the table stands for the strength of our baryons, and f0 for
nothing. Scores are not scores of the challenge.
"""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
from dvc.utils.hydra import apply_overrides
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cosmokeras.common import yaml12
from cosmokeras.common.files import work_folder, write_text
from cosmokeras.observation.suite_mask import footprint
from cosmokeras.project import load_params
from cosmokeras.simulators import realisations, simulator
from study.perturbation import REAL
from study.requirements import required
from study.runs import ROOT, run_in

SKIES = 24  # of each cosmology; the challenge has 256
MINUTES = 30.0  # allowed for all stages together
MASK, LABELS, MAPS = "WIDE12H_bin2_2arcmin_mask.npy", "label.npy", "WIDE12H_bin2_2arcmin_kappa.npy"
MADE = "skies.made"  # is there once all skies are
T_AGN = 7.2, 8.5  # range that becomes 0 to 2 times the baryons of Schneider & Teyssier
FREE = {"omega_m": [0.09, 0.63], "sigma8": [0.45, 1.6], "delta_z": [-0.06, 0.06], "baryons": [0.0, 2.0]}
FIXED = {"prior.h": 0.7, "prior.omega_b": 0.046, "prior.n_s": 0.97, "lensing.survey": "hsc_y3_fair"}


def skies(folder: Path) -> None:
    """Stand-in skies (101, SKIES, pixels) float16 in the challenge's layout, with its mask and its labels of them."""
    mask, label = (np.load(REAL / "hsc_y3" / name) for name in (MASK, LABELS))
    label = label[:, :SKIES]
    np.save(folder / MASK, mask)
    np.save(folder / LABELS, label)
    out = open_memmap(folder / MAPS, "w+", np.dtype(np.float16), (*label.shape[:2], int(mask.sum())))
    free = {f"prior.{name}": box for name, box in FREE.items()}
    cfg = load_params(ROOT / "params.yaml", free | FIXED | {"lensing.mask": "none"})
    places = footprint(load_params(folder / "params.yaml"))
    assert places is not None
    size, module = cfg.data.size, simulator("lensing")
    prepared = module.prepare(cfg, progress=True)
    for i, j in tqdm(list(np.ndindex(label.shape[:2])), "skies", unit="sky"):
        omega_m, s8, t_agn, _, delta_z = label[i, j]
        baryons = np.clip(2 * (t_agn - T_AGN[0]) / (T_AGN[1] - T_AGN[0]), 0, 2)
        values = {"omega_m": omega_m, "sigma8": s8 / np.sqrt(omega_m / 0.3), "delta_z_1": delta_z, "baryons": baryons}
        theta = np.array([values[name] for name in cfg.parameter_names])
        rng_of = realisations(1, 0, i * SKIES + j)
        maps = module.maps(cfg, prepared, theta, rng_of, len(places.corners))
        image = np.zeros(mask.shape, np.float32)
        for (y, x), patch in zip(places.corners, maps[..., 0], strict=True):
            image[y : y + size, x : x + size] = patch
        out[i, j] = image[mask]
    out.flush()
    write_text(folder / MADE, "")


def parameters(folder: Path) -> None:
    """Write params.yaml with the preset of experiments/fair_suite.txt into the folder of its files."""
    write_text(folder / "params.yaml", (ROOT / "params.yaml").read_text())
    words = shlex.split((ROOT / "experiments" / "fair_suite.txt").read_text())
    apply_overrides(folder / "params.yaml", [word for word in words if word != "-S"])


def check() -> tuple[dict[str, Any], bool]:
    """Minutes of generate, train and evaluate, and scores of network and spectra on the same maps."""
    if not (REAL / "hsc_y3" / LABELS).exists():
        print(f"SKIP fair: {REAL / 'hsc_y3' / LABELS} is missing; set COSMOKERAS_REAL_DATA")
        return {"skipped": True}, True
    folder = work_folder("validate", "fair").resolve()
    if not (folder / "data").exists():
        (folder / "data").symlink_to(ROOT / "data")
    parameters(folder)
    if not (folder / MADE).exists():
        skies(folder)
    start = time.perf_counter()
    run_in(folder, yaml12.read(folder / "params.yaml"), ("generate", "train", "evaluate"))
    minutes = (time.perf_counter() - start) / 60
    metrics = json.loads((folder / "metrics" / "evaluate.json").read_text())
    good = [required("FAIR layout, generate to evaluate: minutes", minutes, 0, MINUTES)]
    score, merit = metrics["fair_phase1"], metrics["figure_of_merit"]["omega_m_S8"]
    print(f"     phase-1 score: {score}; figure of merit: {merit}", flush=True)
    return {"skies": 101 * SKIES, "minutes": round(minutes, 1), "evaluate": metrics}, all(good)

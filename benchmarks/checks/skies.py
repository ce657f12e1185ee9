"""Twenty skies of independent code, processed like the DES Y3 mass maps: does the posterior contain the truth?

Each sky is a GLASS simulation at an Omega_m drawn from the prior, written as the files of the release (shear with shape
noise on an invented DES-like footprint with star holes, made into convergence by Kaiser-Squires on the sphere), then
read, cut and inferred as `fetch_real` and `infer` do. All at half the resolution of the release, NSIDE 512 and pixels
of 10 arcmin, since a sky of the full one takes minutes; the network is trained for it here, by the pipeline's stages.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks.checks.des_y3 import simulate
from cosmokeras.common import yaml12
from cosmokeras.common.files import write_text
from study.requirements import required
from study.runs import ROOT, changed_params, run_in

if TYPE_CHECKING:
    from cosmokeras.surveys.sky import RealSky

NSIDE, PIXEL, SIZE = 512, 10.0, 32
SKIES, SEED = 20, 71_000
INSIDE = 9.6, 17.6  # of twenty: 13.6 +- 4
PULL = 3.5


def check() -> tuple[dict[str, Any], bool]:
    """Truths inside the combined 68 %, and the largest pull."""
    from cosmokeras import Estimator, load_params
    from cosmokeras.common.files import work_folder

    folder = work_folder("validate", "skies").resolve()
    prepare(folder)
    changes = {"data": {"size": SIZE}, "lensing": {"pixel_arcmin": PIXEL}, "real": {"source": "des_y3"}}
    run_in(folder, changed_params(changes), ("generate", "train"))
    est = Estimator.load(folder / "outputs" / "model")
    cfg = load_params(folder / "params.yaml")
    low, high = cfg.bounds[cfg.parameter_names.index("omega_m")]
    truths = np.random.default_rng(SEED).uniform(low, high, SKIES)
    rows = []
    for number, omega_m in enumerate(tqdm(truths, desc="skies")):
        sky = patches(folder, number, float(omega_m))
        obs = est.prepare(*sky)
        samples = est.combine(obs, 4000, seed=0)[:, est.parameters.index("omega_m")]
        q16, q84 = np.quantile(samples, [0.16, 0.84])
        row = {"truth": omega_m, "mean": samples.mean(), "std": samples.std(), "q16": q16, "q84": q84}
        row["pull"] = (row["mean"] - omega_m) / row["std"]
        row["surprise_p"] = est.survey_surprise(obs)
        rows.append({name: round(float(value), 5) for name, value in row.items()})
    pulls = np.array([row["pull"] for row in rows])
    inside = sum(row["q16"] <= row["truth"] <= row["q84"] for row in rows)
    found = {
        "skies": rows,
        "patches": len(obs),
        "inside_68": int(inside),
        "pull_mean": round(float(pulls.mean()), 3),
        "pull_std": round(float(pulls.std(ddof=1)), 3),
        "alarms_0.01": round(float(np.mean([row["surprise_p"] < 0.01 for row in rows])), 3),
    }
    good = [
        required(f"{SKIES} GLASS skies through Kaiser-Squires: truth inside 68 %", inside, *INSIDE),
        required("largest pull", float(np.abs(pulls).max()), 0, PULL),
    ]
    return found, all(good)


def prepare(folder: Path) -> None:
    """Data of the run: the preset at this resolution, with masks of the invented footprint in its pixels."""
    from cosmokeras.sky.footprint import des_like_footprint, write_masks

    data = folder / "data"
    if not data.exists():
        shutil.copytree(ROOT / "data", data)
    rng = np.random.default_rng(SEED)
    write_masks(data / "masks" / "skies.npy", des_like_footprint(NSIDE, rng), rng, 128, SIZE, PIXEL)
    path = data / "surveys" / "des_y3.yaml"
    preset = yaml12.read(ROOT / "data" / "surveys" / "des_y3.yaml")
    lmax = preset["lmax"] * NSIDE // preset["nside"]
    preset |= {"nside": NSIDE, "lmax": lmax, "pixel_arcmin": PIXEL, "mask": "../masks/skies.npy", "mock": None}
    write_text(path, yaml12.dumps(preset))


def patches(folder: Path, number: int, omega_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps and coverage of the patches of one sky; kept, since they do not depend on the network."""
    from cosmokeras import load_params

    kept = folder / "skies" / f"{number}_{omega_m:.6f}.npz"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as mirror:
            lmax = load_params(folder / "params.yaml").survey.lmax
            simulate(Path(mirror) / "des_y3", NSIDE, lmax, SEED + number, omega_m, folder / "data" / "surveys")
            sky = _load(folder, mirror)
        kept.parent.mkdir(exist_ok=True)
        np.savez(kept.with_suffix(".part.npz"), maps=sky.maps, coverage=sky.coverage)
        kept.with_suffix(".part.npz").rename(kept)
    with np.load(kept) as stored:
        return stored["maps"], stored["coverage"]


def _load(folder: Path, mirror: str) -> RealSky:
    from cosmokeras import load_params
    from cosmokeras.surveys.sources import des_y3

    os.environ["COSMOKERAS_CACHE"] = mirror  # it records what the first file of a name was: each sky has its own
    return des_y3.load(load_params(folder / "params.yaml", {"real.mirror": mirror}))

"""Maps that are simulated four times finer than the pixel and averaged: does a network find their parameters?

Forty skies of sixteen patches, at parameters drawn from the inner part of the prior, for five bins like LSST Year
10 (S8) and for one bin of HSC (Omega_m), with the mean of maps kept and removed. Networks learn from maps simulated at
the size of the pixel, by the pipeline's stages. The moments of the two kinds of maps are compared, too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from study.requirements import required
from study.runs import ROOT, changed_params, run_in

FINER = 4
SIZE, SKIES, PATCHES, SEED = 32, 40, 16, 83_000
PULL = 0.3
INNER = 0.2  # of the prior at each end that truths keep away from
CASES = {
    "lsst_y10": ("S8", {"omega_m": [0.1, 0.5], "sigma8": [0.6, 1.0]}),
    "hsc_y3_fair": ("omega_m", {"omega_m": [0.1, 0.5]}),
}
MEANS = ("kept", "removed_patch")


def check() -> tuple[dict[str, Any], bool]:
    """Mean pulls of both surveys and both means, beside those of maps simulated as for training."""
    found: dict[str, Any] = {}
    good = []
    for survey, (name, prior) in CASES.items():
        maps = None
        for mean in MEANS:
            folder = _train(survey, prior, mean)
            maps = maps or _maps(folder, survey)
            pulls = {kind: _pulls(folder, maps["theta"], maps[kind], name) for kind in ("finer", "home")}
            row = {kind: [round(float(one.mean()), 3), round(float(one.std(ddof=1)), 3)] for kind, one in pulls.items()}
            found[f"{survey}_{mean}"] = {"parameter": name, **row}
            words = f"{survey}, mean {mean}: pull of {name} over {SKIES} skies (home {row['home'][0]:+.2f})"
            good.append(required(words, float(pulls["finer"].mean()), -PULL, PULL))
        found[f"{survey}_moments"] = _moments(maps)
    return found, all(good)


def _train(survey: str, prior: dict[str, list[float]], mean: str) -> Path:
    """Folder of a run of the stages generate and train; kept where it is finished."""
    from cosmokeras.common.files import work_folder

    folder = work_folder("validate", f"pixels_{survey}_{mean}").resolve()
    if not (folder / "data").exists():
        shutil.copytree(ROOT / "data", folder / "data")
    changes = {
        "prior": prior,
        "data": {"size": SIZE, "n_cosmologies": 2000, "validation": 1000, "test": 50},
        "lensing": {"survey": survey, "mean": mean, "mask": "none"},
        "train": {"epochs": 15},
    }
    run_in(folder, changed_params(changes), ("generate", "train"))
    return folder


def _maps(folder: Path, survey: str) -> dict[str, np.ndarray]:
    """Noise-free maps of all skies, simulated finer and averaged, and as for training; (skies, patches, y, x, bins)."""
    from cosmokeras import load_params
    from cosmokeras.simulators import lensing, realisations

    kept = folder.parent / f"pixels_{survey}.npz"
    if kept.exists():
        with np.load(kept) as stored:
            return dict(stored)
    cfg = load_params(folder / "params.yaml")
    over = {"data.size": FINER * SIZE, "lensing.pixel_arcmin": cfg.pixel_arcmin / FINER}
    fine_cfg = load_params(folder / "params.yaml", over)
    low, high = cfg.bounds.T
    share = np.random.default_rng(SEED).uniform(INNER, 1 - INNER, (SKIES, len(low)))
    theta = low + (high - low) * share
    home, fine = lensing.prepare(cfg), lensing.prepare(fine_cfg, pixels="kappa")
    out: dict[str, list[np.ndarray]] = {"finer": [], "home": []}
    for number, one in enumerate(tqdm(theta, desc=f"{survey}: skies simulated finer")):
        out["home"].append(lensing.maps(cfg, home, one, realisations(SEED, 5, number), PATCHES))
        finer = lensing.maps(fine_cfg, fine, one, realisations(SEED, 6, number), PATCHES)
        out["finer"].append(finer.reshape(PATCHES, SIZE, FINER, SIZE, FINER, -1).mean(axis=(2, 4)))
    found = {"theta": theta, **{name: np.array(some) for name, some in out.items()}}
    np.savez(kept.with_suffix(".part.npz"), **found)
    kept.with_suffix(".part.npz").rename(kept)
    return found


def _pulls(folder: Path, theta: np.ndarray, maps: np.ndarray, name: str) -> np.ndarray:
    """Of one parameter, (skies,): posterior mean less truth, over the posterior's width."""
    from cosmokeras import Estimator, load_params, observe
    from cosmokeras.inference.derived import names_with_s8, with_s8

    cfg, est = load_params(folder / "params.yaml"), Estimator.load(folder / "outputs" / "model")
    columns = [cfg.parameter_names.index(one) for one in est.parameters]
    found = []
    for number, (truth, patches) in enumerate(zip(theta, maps, strict=True)):
        obs = observe(cfg, patches, seed=SEED + number)
        samples = est.combine(obs, 4000, seed=0)
        values = with_s8(est.parameters, np.concatenate([samples, truth[None, columns]]))
        one = values[:, names_with_s8(est.parameters).index(name)]
        found.append((one[:-1].mean() - one[-1]) / one[:-1].std())
    return np.array(found)


def _moments(maps: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """Second to fourth moment of home maps over those of finer ones averaged, each with its error, by bin."""
    found = {}
    for order in (2, 3, 4):
        home, finer = (np.mean(maps[kind].astype(float) ** order, axis=(1, 2, 3)) for kind in ("home", "finer"))
        ratio = home.mean(axis=0) / finer.mean(axis=0)
        # truths are the same, so the scatter of the differences counts
        error = (home - finer).std(axis=0, ddof=1) / np.sqrt(len(home)) / finer.mean(axis=0)
        found[f"m{order}"] = {"ratio": np.round(ratio, 3).tolist(), "error": np.round(error, 3).tolist()}
    return found

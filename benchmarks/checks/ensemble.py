"""Three networks as one against one of them, against one of as many steps and one of as many weights; few maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.files import work_folder
from study.requirements import required
from study.runs import run_stages

# Gaussian fields of few cosmologies: where networks differ by their seeds most
COMMON: dict[str, dict[str, Any]] = {
    "data": {"kind": "grf", "size": 32, "n_cosmologies": 300, "realisations": 4, "validation": 400, "test": 1500},
    "model": {"width": 8, "spectrum_bins": 8},
    "train": {"epochs": 20, "patience": 20, "ensemble": 1},
}
# `longer` takes as many steps as all of `three`; `wider` has as many weights, in fewer seconds
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "one": {},
    "three": {"train": {"ensemble": 3}},
    "longer": {"train": {"epochs": 60, "patience": 60}},
    "wider": {"model": {"width": 14}},
}
SHOWN = ("rmse", "epistemic", "coverage_68", "sharpness")


def check() -> tuple[dict[str, Any], bool]:
    """Train all and hold the ensemble against the others."""
    figures: dict[str, Any] = {}
    for name, changes in CASES.items():
        merged = {section: COMMON.get(section, {}) | changes.get(section, {}) for section in {*COMMON, *changes}}
        train, evaluate = run_stages(f"ensemble-{name}", merged)
        one = evaluate["omega_m"]
        figures[name] = {"nll": evaluate["nll"], "seconds": train["seconds"], "weights": train["weights"]}
        figures[name] |= {key: one[key] for key in SHOWN if key in one}
        figures[name]["efficiency"] = one["efficiency"]
        print(f"ensemble {name}: {figures[name]}", flush=True)
    gain = over_three()
    for name, (mean, error) in gain.items():
        print(f"ensemble nll of {name} - of three: {mean:+.4f} +- {error:.4f}", flush=True)
    good = [
        required("ensemble nll of one - of three, in errors of it", gain["one"][0] / gain["one"][1], 2, 100),
        required("ensemble coverage_68 of three", figures["three"]["coverage_68"], 0.64, 0.72),
    ]
    rounded = {name: [round(one, 4) for one in pair] for name, pair in gain.items()}
    return figures | {"nll_over_three": rounded}, all(good)


def over_three() -> dict[str, tuple[float, float]]:
    """Negative log density at the truth less that of `three`, map by map: mean, and error by cosmologies.

    Of the other networks and of each member; the networks are those of one training set.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from cosmokeras.dataset.observed import observed
    from cosmokeras.dataset.shards import open_split
    from cosmokeras.evaluation.metrics import TEST_NOISE
    from cosmokeras.inference.estimator import Estimator
    from cosmokeras.inference.posterior import MixturePosterior
    from cosmokeras.observation.ops.forward import forward_of
    from cosmokeras.project import load_params

    folders = {name: work_folder("validate", f"ensemble-{name}").resolve() for name in CASES}
    cfg = load_params(folders["one"] / "params.yaml")
    test = open_split(cfg, folders["one"] / "outputs/simulations", "test")
    obs, nll = observed(test, forward_of(cfg), TEST_NOISE), {}
    for name, folder in folders.items():
        posterior = Estimator.load(Path(folder) / "outputs/model").posterior(obs)
        nll[name] = -posterior.log_prob(test.theta)
        if name == "three" and isinstance(posterior, MixturePosterior):
            for i, one in enumerate(posterior.members(CASES[name]["train"]["ensemble"])):
                nll[f"member_{i + 1}"] = -one.log_prob(test.theta)
    out = {}
    for name, values in nll.items():
        if name != "three":
            left = (values - nll["three"]).reshape(len(np.unique(test.cosmology)), -1).mean(axis=1)
            out[name] = float(left.mean()), float(left.std(ddof=1) / np.sqrt(len(left)))
    return out

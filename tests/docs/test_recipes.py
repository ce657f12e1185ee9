"""Recipes of README, one after the other in one clone and in two orders: each gives what its line says, alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import cosmokeras as ck
from study.compare_runs import flat
from tests.docs.conftest import changed_files, ref, run, tiny
from tests.docs.extract import ROOT, commands, overrides, words

pytestmark = pytest.mark.slow

TIMES = {"seconds", "maps_per_second", "peak_memory_mb"}
# Left out: files that nobody may give (cat, camels, des, des1, cosmos, galaxies), services (w), another backend (jax),
# what follows on another run (tuned), theory or boxes that take many minutes (wide, real, quijote, pm).
ALL = ["suite", "narrow", "s8", "kids", "smooth", "matter", "grf", "resnet", "long", "half", "mine"]


def recipes() -> dict[str, str]:
    """Lines of README that make a run, by its name; of two of one name the first."""
    found: dict[str, str] = {}
    for line in commands(ROOT / "README.md"):
        if line.startswith("dvc exp run --temp -n"):
            found.setdefault(words(line)[5], line)
    return found


RECIPES = recipes()


@pytest.fixture(scope="module")
def here(clone: Path) -> Path:
    """A clone with tiny numbers, committed, and the files that recipes speak of."""
    params = yaml.safe_load((clone / "params.yaml").read_text())
    (changes,) = overrides(shlex.join(["dvc", "exp", "run", *tiny()]))
    for key, value in changes.items():
        section, name = key.split(".")
        params[section][name] = value
    (clone / "params.yaml").write_text(yaml.safe_dump(params))
    run(clone, "git", "commit", "-qam", "tiny numbers")
    cfg = ck.load_params(clone / "params.yaml")
    theta = np.linspace(0.1, 0.5, 60)[:, None]
    kappa = ck.simulate(cfg, theta, seed=1)
    np.save(clone / "suite.npy", np.stack([kappa, kappa[:, ::-1]], axis=1))
    np.savetxt(clone / "suite.txt", theta, header="Om")
    np.save(clone / "kappa.npy", kappa[30] + np.random.default_rng(1).normal(0, 0.03, kappa[30].shape))
    np.save(clone / "mask.npy", np.ones((64, 64), np.float32))
    return clone


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("names", [["smooth", "mine"], pytest.param(ALL, marks=pytest.mark.long)], ids=["two", "all"])
def test_each_recipe_gives_what_it_says_in_any_order(names: list[str], here: Path) -> None:
    first = {name: result(here, name) for name in names}
    run(here, "dvc", "exp", "remove", "-A")
    run(here, "rm", "-rf", ".dvc/cache/runs")  # else DVC would give the results of the first time
    second = {name: result(here, name) for name in reversed(names)}
    assert first == second
    run(here, "dvc", "exp", "remove", "-A")


def result(folder: Path, name: str) -> dict[str, Any]:
    """Metrics of a recipe, which changes the parameters that its line names, and nothing in this folder."""
    run(folder, RECIPES[name])
    assert not changed_files(folder)
    commit = ref(folder, name)
    before, after = (flat(yaml.safe_load(file(folder, one, "params.yaml"))) for one in ("HEAD", commit))
    (changes,) = overrides(RECIPES[name])
    # a mapping that was empty is no key any more once it has one
    assert after == {key: value for key, value in {**before, **changes}.items() if not begins(key, changes)}
    metrics = {one: json.loads(file(folder, commit, f"metrics/{one}.json")) for one in ("train", "evaluate", "infer")}
    assert np.isfinite(metrics["evaluate"]["nll"])
    return {stage: {key: value for key, value in one.items() if key not in TIMES} for stage, one in metrics.items()}


def begins(key: str, others: dict[str, Any]) -> bool:
    """Whether some of the dotted keys lie below this one."""
    return any(other.startswith(f"{key}.") for other in others)


def file(folder: Path, commit: str, path: str) -> str:
    """A file as it was committed."""
    return run(folder, "git", "show", f"{commit}:{path}")

"""Every command on every page is known to its program; each change of parameters makes maps and a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.backend import BACKENDS
from cosmokeras.project import load_params
from tests.conftest import copy_params
from tests.docs.extract import PAGES, ROOT, commands, overrides, words
from tests.shared import Program
from tests.suites import stand_ins

TYPED = sorted({(page.name, command) for page in PAGES for command in commands(page)})
# what docs/extend.md adds to the project is there only in the clone of tests/docs/test_extend.py
CHANGES = sorted({c for page, c in TYPED if page != "extend.md" and overrides(c) != [{}]})


def of(program: str) -> list[str]:
    """Commands of one program."""
    return sorted({command for _, command in TYPED if words(command)[0] == program})


def test_the_pages_hold_commands() -> None:
    assert len(TYPED) > 100
    assert len(CHANGES) > 30


@pytest.mark.parametrize("command", of("make"))
def test_make_knows_the_target(command: str) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    given = [word for word in words(command)[1:] if word not in ("-C", "cosmokeras")]
    for word in given:
        name, _, value = word.partition("=")
        if name == "EXTRAS":
            assert set(value.split(",")) <= set(extras), f"{command}: no such extra"
        elif name == "BACKEND":
            assert value in BACKENDS, f"{command}: no such backend"
        elif name != "PYTHON":
            assert word in targets, f"{command}: no such target"


@pytest.mark.parametrize("command", of("dvc"))
def test_dvc_understands(command: str) -> None:
    from dvc.cli import parse_args

    if len(words(command)) > 2 or words(command)[1] not in ("exp", "queue"):
        parse_args(words(command)[1:])  # exits on what it does not know


@pytest.mark.parametrize("command", of("python"))
def test_modules_have_the_options(command: str, program: Program) -> None:
    parts = words(command)
    if len(parts) == 1:
        return
    assert parts[1] == "-m", command
    ended = program(ROOT, parts[2], "--help")
    assert ended.code == 0, ended.err
    for option in (word for word in parts[3:] if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(^|[\s\[,]){re.escape(option)}\b", ended.out), f"{command}: no option {option}"


@pytest.mark.parametrize("command", of("slurm/submit") + of("sbatch"))
def test_scripts_of_slurm_are_there(command: str) -> None:
    """Options of slurm/submit are those of its help; scripts given to sbatch exist. Neither needs a Slurm."""
    parts = words(command)
    if parts[0] == "sbatch":
        assert (ROOT / next(word for word in parts if word.endswith(".sbatch"))).is_file(), command
        return
    known = subprocess.run([str(ROOT / parts[0]), "--help"], text=True, capture_output=True).stdout
    own = parts[1 : parts.index("--")] if "--" in parts else parts[1:]
    for option in (word for word in own if word.startswith("--")):
        assert option in known, f"{command}: no option {option}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """params.yaml with the masks that pages speak of, and the survey `mine` that README tells users to write."""
    made = tmp_path_factory.mktemp("commands")
    copy_params(made)
    (made / "data").unlink()
    (made / "data").mkdir()
    for one in (ROOT / "data").iterdir():
        if one.name != "surveys":
            (made / "data" / one.name).symlink_to(one)
    shutil.copytree(ROOT / "data" / "surveys", made / "data" / "surveys")
    preset = (made / "data" / "surveys" / "cosmos.yaml").read_text()
    (made / "data" / "surveys" / "mine.yaml").write_text(preset.replace("name: cosmos", "name: mine", 1))
    for name in ("my_masks.npy", "hsc_masks.npy"):
        np.save(made / name, np.ones((2, 64, 64), np.float32))
    ones = np.ones((2, 64, 64), np.float32)
    np.savez(made / "deep.npz", coverage=ones, noise=ones)
    stand_ins.published(made)
    stand_ins.any_array(made)
    return made


@pytest.mark.parametrize("command", CHANGES)
def test_parameters_are_accepted(command: str, folder: Path) -> None:
    for change in overrides(command):
        assert change
        load_params(folder / "params.yaml", change)


SHOWN = sorted({c for page, c in TYPED if page == "README.md" and "-S" in words(c) and "exp" in words(c)})
SMALL = {"data.n_cosmologies": 32, "data.realisations": 2, "data.validation": 8, "data.test": 8, "train.batch_size": 16}
OTHER = ("real.", "train.")  # sections that neither maps nor networks depend on
# boxes of the size that README's row has are measured for minutes before the first map
COARSE = {"lensing.pm": "coarse", "lensing.pixel_arcmin": 10.0}
SLOW = ("prior.h", "prior.omega_b", "prior.n_s")  # free, they make tables of theory that take minutes: here fixed


@pytest.mark.slow
def test_rows_of_the_readme_make_maps_and_networks(folder: Path) -> None:
    """One map of each different problem, observed, and the network that would be trained on it."""
    from cosmokeras import models
    from cosmokeras.observation.observe import observe
    from cosmokeras.params.prior import sample_prior
    from cosmokeras.simulators import simulate

    shown = [change for command in SHOWN for change in overrides(command)]
    changes = [change for change in shown if change.get("data.kind") != "files"]  # nothing simulates those
    problems = {
        str(kept): kept
        for c in changes
        if (kept := {k: v for k, v in c.items() if not k.startswith(OTHER) and k not in SLOW})
    }
    assert len(problems) > 8
    for change in problems.values():
        boxes = COARSE if change.get("lensing.matter") == "pm" else {}
        cfg = load_params(folder / "params.yaml", {**change, **SMALL, **boxes})
        maps = simulate(cfg, sample_prior(cfg, n=1, seed=1), seed=1)
        obs = observe(cfg, maps, seed=1)
        assert obs.shape == (1, cfg.data.size, cfg.data.size, cfg.channels)
        assert np.isfinite(obs).all(), change
        assert obs.std() > 0, change
        assert np.isfinite(models.build(cfg).predict(obs, verbose=0)).all(), change

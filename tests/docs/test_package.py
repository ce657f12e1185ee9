"""The wheel builds, installs into an empty folder, and importing it is cheap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.extract import ROOT

TIMED = (
    "import sys, time; start = time.perf_counter(); import cosmokeras; took = time.perf_counter() - start; "
    "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'pyccl', 'healpy'} & set(sys.modules); "
    "print(cosmokeras.__file__, took, sorted(heavy))"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout in a folder of its own, without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True).stdout.split("\n")
    for name in filter(lambda n: n.startswith("cosmokeras/") or n in ("pyproject.toml", "README.md", "LICENSE"), names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "into"),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return folder / "into"


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(installed: Path) -> None:
    assert {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")} == {"cosmokeras"}
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "cosmokeras").rglob("*.py")}
    theirs = {p.relative_to(installed).as_posix() for p in installed.rglob("*.py")}
    assert theirs == ours


@pytest.mark.slow
def test_importing_it_costs_little(installed: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    runs = [
        subprocess.run([sys.executable, "-c", TIMED], cwd=tmp_path, env=env, text=True, capture_output=True)
        for _ in range(3)
    ]
    assert all(done.returncode == 0 for done in runs), runs[0].stderr
    path, took, heavy = zip(*(done.stdout.split(maxsplit=2) for done in runs), strict=True)
    assert path[0].startswith(str(installed))
    assert min(map(float, took)) < 1
    assert {h.strip() for h in heavy} == {"[]"}


@pytest.mark.slow
def test_the_installed_package_reads_parameters(installed: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    code = "import cosmokeras as ck; print(ck.__version__, ck.load_params('params.yaml').parameter_names)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "omega_m" in done.stdout

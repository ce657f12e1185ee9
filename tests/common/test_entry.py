"""Every program turns what people can mend into one line and exit code 2."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from cosmokeras import UserError
from cosmokeras.common import cli

ROOT = Path(__file__).parents[2]
FOLDERS = ("cosmokeras", "stages", "study", "benchmarks", "slurm")


def main_block(path: Path) -> ast.If | None:
    """`if __name__ == "__main__":` of a file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return node
    return None


def module(path: Path) -> str:
    """Name of the file for `python -m`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


FILES = {module(path): path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if main_block(path)}


def test_programs_are_found() -> None:
    assert {"stages.train", "cosmokeras.surveys.fit_nz", "study.report", "slurm.parameters"} <= set(FILES)
    assert set(FILES) == set(WRONG), "wrong arguments of each program stand below"
    written = [path for folder in FOLDERS for path in (ROOT / folder).rglob("__main__.py")]
    assert {module(path) for path in written} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_program_is_run_by_the_one_handler(name: str) -> None:
    block = main_block(FILES[name])
    assert block is not None
    calls = [ast.unparse(node.value.func) for node in block.body if isinstance(node, ast.Expr | ast.Assign)
             and isinstance(node.value, ast.Call)]  # fmt: skip
    assert calls in (["cli.run"], ["cli.entry"]), ast.unparse(block)
    text = FILES[name].read_text()
    assert "ArgumentParser(" not in text, "cli.Parser complains in one line"
    assert "sys.exit" not in text and "sys.argv" not in text


STAGE = [
    ["--params", "none.yaml"],
    ["--params", "."],
    ["--params", "latin.yaml"],
    ["--params", "list.yaml"],
    ["--nope"],
]
WRONG: dict[str, list[list[str]]] = {
    **{f"stages.{name}": STAGE for name in ("inputs", "fetch_real", "evaluate", "infer", "train")},
    "stages.plots": [[], ["--only", "nothing"], ["--nope"]],
    "stages.generate": [*STAGE, ["--workers", "0"], ["--workers", "two"], ["--part", "8"], ["--part", "8/8"]],
    "slurm.report": [*STAGE, ["--gpus", "-1"], ["--gpus", "x"]],
    "slurm.parameters": [
        [], ["dance", "1"], ["apply"], ["apply", "two"], ["apply", "0"], ["apply", "1", "train.lr"],
        ["apply", "1", "train.none=1"], ["sweep"], ["sweep", "none.txt"], ["sweep", "."], ["sweep", "latin.yaml"],
        ["sweep", "quote.txt"], ["line", "none.txt", "0"], ["line", "list.yaml"], ["line", "list.yaml", "x"],
        ["line", "list.yaml", "9"],
    ],
    "cosmokeras.simulators.sphere": [
        ["--nside", "100"], ["--nside", "x"], ["--lmax", "0"], ["--lmax", "9999"], ["--survey", "none"],
        ["--omega_m", "2"], ["--omega_m", "nan"], ["--h", "x"], ["--omega_b", "0.07", "--omega_m", "0.07"],
        ["--seed", "-1"], ["--out", "list.yaml"], ["--out", "/proc/none"], ["--masks", "/proc/none"],
        ["--third_moment", "x"],
    ],
    "cosmokeras.surveys.catalogue.masks": [
        [], ["--out", "a.npy"], ["--survey", "cosmos", "--out", "a.txt"], ["--survey", "none", "--out", "a.npy"],
        ["--survey", "cosmos", "--out", "/proc/none/a.npy"], ["--survey", "cosmos", "--out", "folder.npy"],
        ["--survey", "cosmos", "--out", "a.npy", "--mirror", "none"],
        ["--survey", "cosmos", "--out", "a.npy", "--size", "0"],
        ["--survey", "cosmos", "--out", "a.npy", "--pixel", "nan"],
        ["--survey", "cosmos", "--out", "a.npy", "--catalogue", "none.fits"],
    ],
    "cosmokeras.surveys.catalogue.preset": [
        [], ["list.yaml", "--name", "mine"], ["none.yaml", "--name", "mine", "--nz", "none.txt"],
        ["list.yaml", "--name", "mine", "--nz", "none.txt"], ["list.yaml", "--name", "a/b", "--nz", "none.txt"],
        ["list.yaml", "--name", "mine", "--nz", "none.txt", "--nside", "0"],
        ["list.yaml", "--name", "mine", "--nz", "none.txt", "--folder", "/proc/none"],
        ["list.yaml", "--name", "mine", "--nz", "none.txt", "--z-is", "middle"],
    ],
    "cosmokeras.surveys.footprint": [
        [], ["--out", "a.npy"], ["--healpix", "none.fits", "--out", "a.npy"], ["--healpix", ".", "--out", "a.npy"],
        ["--healpix", "list.yaml", "--out", "a.npy"], ["--healpix", "list.yaml", "--out", "/proc/none/a.npy"],
        ["--healpix", "list.yaml", "--out", "folder.npy"], ["--healpix", "list.yaml", "--out", "list.yaml/a.npy"],
        ["--healpix", "list.yaml", "--out", "a.npy", "--size", "1.5"],
    ],
    "cosmokeras.surveys.hsc_y3": [
        [], ["--mask", "a.npy", "--footprint", "none.npy"], ["--mask", "a.npy", "--footprint", "."],
        ["--mask", "a.npy", "--footprint", "list.yaml"], ["--mask", "folder.npy"], ["--mask", "/proc/none/a.npy"],
        ["--mask", "a", "--footprint", "none.npy"], ["--mask", "a.npy", "--max-masked", "2"],
    ],
    "cosmokeras.surveys.fit_nz": [
        [], ["none.txt"], ["."], ["latin.yaml"], ["list.yaml"], ["words.txt"], ["ragged.txt"], ["down.txt"],
        ["one.txt"],
        ["z.txt"], ["nan.txt"], ["zero.txt"], ["negative.txt"], ["edges.txt"], ["list.yaml:nz"], ["good.txt:nz"],
        ["list.fits"], ["good.txt", "none.txt"], ["good.txt", "--terms", "0"], ["good.txt", "--terms", "x"],
        ["good.txt", "--z-max", "0"], ["good.txt", "--z-max", "nan"], ["good.txt", "--z-max", "0.01"],
    ],
    "benchmarks.checks.sphere": [[], ["."], ["/proc/none/a.npy"], ["a.npy", "b.npy"]],
    "benchmarks.simulators": [["nbody"], ["--runs", "0"], ["--out", "list.yaml"], ["--out", "bad"]],
    "benchmarks.training": [["bert"], ["--rounds", "0"], ["--steps", "x"], ["--out", "list.yaml"], ["--out", "bad"]],
    "benchmarks.npe": [["2lpt"], ["--longer", "0"], ["--out", "list.yaml"], ["--out", "bad"]],
    "benchmarks.loading": [["--rounds", "0"], ["--out", "/proc/none"], ["--nope"]],
    "benchmarks.scaling": [["--out", "/proc/none"], ["--out", "list.yaml"], ["--nope"]],
    "benchmarks.forward": [["--rounds", "0"], ["--out", "list.yaml"], ["--nope"]],
    "benchmarks.gpu": [["tensorflow"], ["--child", "nothing"], ["--seconds", "x"], ["--out", "list.yaml"], ["--nope"]],
    "benchmarks.random_numbers": [["--words", "none"], ["--out", "list.yaml"], ["--nope"]],
    "benchmarks.validate": [["nothing"], ["--nope"]],
    "study.domain_gap": [
        ["gfr"], ["--out", "."], ["--out", "/proc/none/a.png"], ["--metrics", "."], ["--metrics", "latin.yaml"],
        ["--metrics", "list.yaml"],
    ],
    "study.detection": [["gfr"], ["--nope"], ["--metrics", "."], ["--metrics", "list.yaml"]],
    "study.null_distribution": [["nothing"], ["--nope"]],
    "study.posterior_nodes": [["more"], ["--nope"]],
    "study.masked_inversion": [["--skies", "0"], ["--nope"]],
    "study.shell_resolution": [["--nope"], ["more"]],
    "study.recorded": [["more"], ["--nope"]],
    "study.compare_runs": [["more"], ["--nope"]],
    "study.folds": [["--folds", "0"], ["--nope"], ["--metrics", "."], ["--metrics", "list.yaml"]],
    "study.fine_tuning": [["--nope"], ["lensing"], ["--out", "."], ["--metrics", "/proc/none/a.json"]],
    "study.matter_networks": [["--nope"], ["sky"], ["--metrics", "."], ["--metrics", "/proc/none/a.json"]],
    "study.ml_from_scratch": [["--nope"], ["lesson"]],
    "study.physics_check": [
        ["nothing"], ["--metrics", "."], ["--metrics", "list.yaml"], ["--out", "list.yaml"], ["--out", "/proc/none"],
    ],
    "study.report": [["--root", "none"], ["--root", "list.yaml"], ["--out", "."], ["--out", "/proc/none/a.html"]],
}  # fmt: skip


def table(*rows: tuple[float, ...], head: str = "") -> str:
    return head + "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


TEXTS = {
    "list.yaml": "- 1\n- x\n",
    "list.fits": "no FITS\n",
    "quote.txt": "train.lr='0.1\n",
    "good.txt": table((0.1, 1), (0.5, 2), (0.9, 1), head="# z n\n"),
    "words.txt": table((0.1, 1), (0.5, 2), head="z n\nor so\n"),
    "ragged.txt": "0.1,1\n0.5,2,3\n",
    "down.txt": table((0.9, 1), (0.5, 2), (0.1, 1)),
    "one.txt": table((0.5, 2)),
    "z.txt": table((0.1,), (0.5,)),
    "nan.txt": table((0.1, 1), (0.5, float("nan"))),
    "zero.txt": table((0.1, 0), (0.5, 0)),
    "negative.txt": table((-0.1, 1), (0.5, 2)),
    "edges.txt": table((0.0, 0.1, 0.2, 1), (0.2, 0.3, 0.4, 2), (0.4, 0.5, 0.6, 1)),
    "bad/metrics/bench_simulators.json": '{"a": ',
    "bad/metrics/bench_training.json": '{"a": ',
    "bad/metrics/bench_npe.json": '{"a": ',
}


@pytest.fixture
def folder(params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs run: params.yaml, data, and files that are not what they should be."""
    here = params.parent
    for name, text in TEXTS.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    (here / "latin.yaml").write_bytes("é".encode("latin-1"))
    (here / "folder.npy").mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(("name", "arguments"), [(name, one) for name, some in WRONG.items() for one in some])
def test_wrong_arguments_are_one_line(
    folder: Path, name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path for path in folder.rglob("*") if "data" not in path.parts)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    said = capsys.readouterr()
    assert caught.value.code == 2, said
    lines = said.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), said.err
    assert said.out == ""
    assert sorted(path for path in folder.rglob("*") if "data" not in path.parts) == before


@pytest.mark.slow
def test_a_program_as_people_run_it(folder: Path) -> None:
    for name, arguments in (("cosmokeras.surveys.fit_nz", ["none.txt"]), ("study.report", ["--root", "none"])):
        command = [sys.executable, "-m", name, *arguments]
        done = subprocess.run(
            command, cwd=folder if name.startswith("cosmokeras") else ROOT, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("two\nlines"), "error: two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.npy"), "error: a.npy: No such file or directory"),
        (PermissionError(13, "Permission denied", "b"), "error: b: Permission denied"),
        (OSError("disk on fire"), "error: disk on fire"),
        (MemoryError("Unable to allocate 1 TiB"), "error: not enough memory (Unable to allocate 1 TiB)"),
        (MemoryError(), "error: no memory left"),
        (
            subprocess.CalledProcessError(2, ["python", "-m", "stages.train"]),
            "error: `python -m stages.train` ended with",
        ),
        (BrokenProcessPool("a process was terminated abruptly"), "error: one of its processes was killed"),
    ],
)
def test_what_people_can_mend_is_one_line(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise error

    with pytest.raises(SystemExit, match="2"):
        cli.entry(main)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(words) and said.err.count("\n") == 1


def test_a_mistake_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.entry(lambda: 1 // 0)


@pytest.mark.parametrize(("status", "code"), [(None, 0), (0, 0), (1, 1)])
def test_the_status_of_a_program_is_its_exit_code(status: int | None, code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.entry(lambda: status)
    assert caught.value.code == code


def test_who_reads_may_leave_early() -> None:
    code = "from cosmokeras.common import cli\ncli.entry(lambda: [print('x' * 80) for _ in range(100000)] and None)"
    done = subprocess.run(
        f"set -o pipefail; '{sys.executable}' -c \"{code}\" | head -1",
        shell=True, executable="/bin/bash", capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (cli.BROKEN_PIPE, "")


def test_numbers_of_options() -> None:
    import argparse

    for kind, good, bad in (
        (cli.whole, ["0", "12"], ["-1", "1.5", "x", ""]),
        (cli.positive, ["0.5", "1e-3"], ["0", "-1", "nan", "inf", "x"]),
        (cli.fraction, ["0", "1", "0.1"], ["-0.1", "1.1", "nan", "x"]),
    ):
        for text in good:
            assert kind(text) == float(text)
        for text in bad:
            with pytest.raises(argparse.ArgumentTypeError, match="must be a"):
                kind(text)

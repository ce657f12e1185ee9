"""What every program shares: its command line, one-line errors with exit code 2, quiet logs, progress.

Each module that is run as `python -m ...` hands its function to `run` (the stages, and what reads params.yaml) or to
`entry`: what people can mend is one line on the error stream and exit code 2, whatever the program.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from cosmokeras.common import yaml12
from cosmokeras.common.committed import differences
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.heartbeat import doing, heartbeat

SIMULATIONS = Path("outputs/simulations")
REAL = Path("outputs/real")
MODEL = Path("outputs/model")
METRICS = Path("metrics")
PLOTS = Path("plots")

BROKEN_PIPE = 141  # exit code of a program whose output is no longer read: 128 + SIGPIPE
INTERRUPTED = 130  # exit code of a program that Ctrl-C stopped: 128 + SIGINT
STEPS = "{desc}, {n_fmt} of {total_fmt} steps done [{elapsed}<{remaining}, {rate_fmt}]"


class _Subset(argparse.Action):
    """Positional arguments, each one of `names`; all of them where none is given."""

    def __init__(self, option_strings: Sequence[str], dest: str, names: Sequence[str], what: str, **rest: Any) -> None:
        super().__init__(option_strings, dest, **rest)
        self.names, self.what = names, what

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        if unknown := set(values) - set(self.names):
            parser.error(f"no {self.what} named {', '.join(sorted(unknown))}; there are {', '.join(self.names)}")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; --help says the rest."""

    def __init__(self, name: str, description: str | None = None, **keywords: Any) -> None:
        keywords.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(prog=f"python -m {name}", description=description, **keywords)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"error: {' '.join(message.split())}; see {self.prog} --help\n")

    def add_subset(self, dest: str, what: str, names: Sequence[str], metavar: str | None = None) -> None:
        """Positional arguments that are some of `names`, by default all; `what` one of them is, for messages."""
        listed = f"{', '.join(names)} (default: all)"
        self.add_argument(
            dest, action=_Subset, names=names, what=what, metavar=metavar or what.upper(), nargs="*",
            default=list(names), help=listed,
        )  # fmt: skip

    def add_patch(self, size: int = 64, pixel: float | None = None, max_masked: float | None = None) -> None:
        """Options of flat patches, as in params.yaml; those whose default is None are left out."""
        self.add_argument("--size", type=count, default=size, help="pixels along a side (data.size)")
        if pixel is not None:
            self.add_argument("--pixel", type=positive, default=pixel, help="pixel [arcmin] (lensing.pixel_arcmin)")
        if max_masked is not None:
            masked = "largest masked fraction of a patch (real.max_masked)"
            self.add_argument("--max-masked", type=fraction, default=max_masked, help=masked)

    def add_output(self, option: str = "--mask", metavar: str = "OUT.npy") -> None:
        """The option that names the file to write, which must be given; to be checked by `output_file`."""
        self.add_argument(option, required=True, type=Path, metavar=metavar, help="file to write")


def run(stage: Callable[[argparse.Namespace], None], **options: dict[str, Any]) -> None:
    """Parse the command line of a stage and run it.

    `options` are extra arguments: name -> keywords of `add_argument`. Errors meant for people become one line.
    """
    name = _name(stage)
    parser = Parser(name, stage.__doc__, epilog=_reads_and_writes(name.split(".")[-1]))
    parser.add_argument("--params", default="params.yaml", help="parameter file (default: params.yaml)")
    for option, keywords in options.items():
        parser.add_argument(f"--{option}", **keywords)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # advice on retracing is for its programmers
    with one_line_errors(name):
        if name.startswith("stages.") and (line := differences(arguments.params)):
            print(line, flush=True)
        with heartbeat(name.removeprefix("stages.")):
            stage(arguments)
        sys.stdout.flush()  # what cannot be said, to a full disk, is an error too


def entry(main: Callable[[], int | None]) -> NoReturn:
    """Run a program and exit with the status that it returns, or with 2 and one line for what people can mend."""
    with one_line_errors(_name(main)):
        status = main()
        sys.stdout.flush()
    raise SystemExit(status or 0)


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn errors that the user can mend into one line and exit code 2; mistakes of the program keep their traceback.

    Those are: UserError; files that are missing, in the wrong place or not to be written; too little memory; programs
    that this one runs, and that have said themselves what is wrong.
    """
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of the output has ended: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{where}{error.strerror or error}")
    except subprocess.CalledProcessError as error:  # a stage that a study or a benchmark runs
        command = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
        _fail(f"`{command}` ended with exit code {error.returncode}; see its output above")
    except BrokenExecutor:
        _fail(
            "one of its processes was killed, most likely for lack of memory; use fewer processes, or a larger machine"
        )
    except MemoryError as error:
        _fail(f"not enough memory ({error}); ask for less, or use a larger machine" if str(error) else "no memory left")
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; repeat the command to resume", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2) from None


def writable(*paths: Path | str) -> None:
    """Refuse files that could not be written, before the work that they are the result of.

    Raises
    ------
    UserError : a folder of that name, or the place is no folder or may not be written in
    """
    for path in map(Path, paths):
        if path.is_dir():
            raise UserError(f"{path}: is a folder; give the name of a file")
        folder = next(one for one in path.absolute().parents if one.exists())
        # the kernel lets nobody, root included, make files below /proc and /sys
        system = folder.parts[1:2] in (("proc",), ("sys",))
        if not folder.is_dir() or system or not os.access(folder, os.W_OK | os.X_OK):
            reason = "is no folder" if not folder.is_dir() else "may not be written in"
            raise UserError(f"cannot write {path}: {folder} {reason}; choose another folder")


def output_file(option: str, path: Path, suffix: str = ".npy") -> Path:
    """The path that an option gives, if it has the suffix of what is written there and can be written."""
    if path.suffix != suffix:
        raise UserError(f"{option} {path}: must end in {suffix}")
    writable(path)
    return path


def count(text: str) -> int:
    """Type of an option that takes a positive whole number."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number above 0")
    return int(text)


def whole(text: str) -> int:
    """Type of an option that takes a whole number, 0 or more, such as a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    return int(text)


def positive(text: str) -> float:
    """Type of an option that takes a number above 0."""
    return _number(text, "above 0", lambda value: value > 0)


def fraction(text: str) -> float:
    """Type of an option that takes a number from 0 to 1."""
    return _number(text, "from 0 to 1", lambda value: 0 <= value <= 1)


def _number(text: str, allowed: str, good: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and good(value)):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number {allowed}")
    return value


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Progress of `total` steps of different kinds; call what it gives with the name of each as it begins."""
    with tqdm(total=total, desc=what, unit="step", bar_format=STEPS, leave=False, disable=None) as bar:
        begun = 0

        def begin(name: str) -> None:
            nonlocal begun
            doing(name)
            bar.set_description_str(f"{what}: {name}", refresh=False)
            bar.update(1 if begun else 0)  # the one before is done
            bar.refresh()
            begun += 1

        yield begin


def read(path: Path, reader: Callable[[Path], Any], stage: str) -> Any:
    """What `reader` makes of a file that another stage writes.

    Raises
    ------
    UserError : the file is missing or damaged; says which stage makes it
    """
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro {stage}`") from None
    except UserError:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is damaged ({reason}); delete it and run `dvc repro {stage}`") from None


def _name(program: Callable[..., Any]) -> str:
    """Name of the module of a program, as `python -m` takes it."""
    spec = sys.modules[program.__module__].__spec__
    return spec.name.removesuffix(".__main__") if spec else program.__module__


def _reads_and_writes(stage: str) -> str:
    """What dvc.yaml says of a stage, code left out; nothing where there is no such stage."""
    try:
        entry = yaml12.read(Path("dvc.yaml"))["stages"][stage]
    except (OSError, UserError, KeyError, TypeError):
        return "reads and writes: see dvc.yaml, in the project's folder"

    def names(key: str) -> list[str]:
        return [one if isinstance(one, str) else next(iter(one)) for one in entry.get(key, [])]

    code = ("stages/", "cosmokeras")
    lines = {
        "reads": [name for name in names("deps") if not name.startswith(code)],
        "parameters": names("params"),
        "writes": names("outs") + names("metrics"),
        "pictures": names("plots"),
    }
    return "\n".join(f"{key + ':':<12}{', '.join(some)}" for key, some in lines.items() if some)

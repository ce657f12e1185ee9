"""What every stage shares: its command line, quiet logs, progress, one-line errors with exit code 2."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from tqdm import tqdm

from cosmokeras import yaml12
from cosmokeras.errors import UserError

SIMULATIONS = Path("outputs/simulations")
REAL = Path("outputs/real")
MODEL = Path("outputs/model")
METRICS = Path("metrics")
PLOTS = Path("plots")

INTERRUPTED = 130  # exit code of a program that Ctrl-C stopped: 128 + SIGINT
# what TensorFlow's C++ says on import, whatever TF_CPP_MIN_LOG_LEVEL asks for: notes, not warnings
CHATTER = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")

STEPS = "{desc}, {n_fmt} of {total_fmt} steps done [{elapsed}<{remaining}, {rate_fmt}]"


def run(stage: Callable[[argparse.Namespace], None], **options: dict[str, Any]) -> None:
    """Parse the command line of a stage and run it.

    `options` are extra arguments: name -> keywords of `add_argument`. Errors meant for people become one line.
    """
    name = _name(stage)
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=stage.__doc__,
        epilog=_reads_and_writes(name.split(".")[-1]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", default="params.yaml", help="parameter file (default: params.yaml)")
    for option, keywords in options.items():
        parser.add_argument(f"--{option}", **keywords)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # advice on retracing is for its programmers
    try:
        stage(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command goes on from what is finished", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def count(text: str) -> int:
    """Type of an option that takes a positive whole number."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number above 0")
    return int(text)


def import_quietly(module: str) -> None:
    """Import a module, and drop the notes that its C++ parts write to the error stream; all else is passed on."""
    with tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        stream = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            import_module(module)
        finally:
            os.dup2(stream, 2)
            caught.seek(0)
            os.write(stream, b"".join(line for line in caught if not CHATTER.match(line)))
            os.close(stream)


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Progress of `total` steps of different kinds; call what it gives with the name of each as it begins."""
    with tqdm(total=total, desc=what, unit="step", bar_format=STEPS, leave=False) as bar:
        begun = 0

        def begin(name: str) -> None:
            nonlocal begun
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
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is damaged ({reason}); delete it and run `dvc repro {stage}`") from None


def _name(stage: Callable[[argparse.Namespace], None]) -> str:
    spec = sys.modules[stage.__module__].__spec__
    return spec.name if spec else stage.__module__


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

"""Parameters of jobs, checked before anything is submitted.

- `python -m slurm.parameters apply NODES [KEY=VALUE ...]` checks overrides and writes them into params.yaml.
- `python -m slurm.parameters sweep FILE [KEY=VALUE ...]` checks every line of a sweep and prints how many there are.
- `python -m slurm.parameters line FILE INDEX` prints the overrides of an experiment, one to a line.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides

from cosmokeras import UserError, load_params
from cosmokeras.common import cli
from cosmokeras.common.files import write_text
from cosmokeras.params.config import Config

PARAMS = Path("params.yaml")


def overridden(overrides: list[str]) -> tuple[str, Config]:
    """Text of params.yaml with overrides as `dvc exp run -S` takes them, and what it says."""
    with tempfile.NamedTemporaryFile("w", dir=".", prefix=".params-", suffix=".yaml") as copy:
        copy.write(_text(PARAMS))
        copy.flush()
        for override in overrides:
            try:
                apply_overrides(copy.name, [override])
            except DvcException as error:
                reason = " ".join(str(error.__cause__ or error).split())
                raise UserError(f"{override}: not a key=value of params.yaml ({reason})") from None
        try:
            return Path(copy.name).read_text(), load_params(copy.name)
        except UserError as error:
            raise UserError(str(error).replace(copy.name, PARAMS.name)) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not valid YAML: not a text in UTF-8") from None


def experiments(file: str) -> list[list[str]]:
    """Overrides of each line of a sweep that says something."""
    try:
        words = [shlex.split(line, comments=True) for line in Path(file).read_text().splitlines()]
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except ValueError as error:  # a quotation that does not end; bytes that are no text
        raise UserError(f"{file}: not a file of experiments ({error})") from None
    return [[word for word in each if word != "-S"] for each in words if each]


def apply(nodes: int, overrides: list[str]) -> None:
    """Write overrides into params.yaml, when all is well."""
    text, cfg = overridden(overrides)
    if nodes > 1 and cfg.train.backend != "jax":
        raise UserError(f"--nodes {nodes}: train.backend={cfg.train.backend} trains on one node; use train.backend=jax")
    if overrides:
        write_text(PARAMS, text)


def check_sweep(file: str, overrides: list[str]) -> int:
    """The number of experiments, when all are well."""
    found = experiments(file)
    if not found:
        raise UserError(f"{file}: holds no experiment; a line is key=value key=value ...")
    for i, line in enumerate(found):
        try:
            overridden(line + overrides)
        except UserError as error:
            raise UserError(f"{file}, experiment {i}: {error}") from None
    return len(found)


def main(arguments: list[str] | None = None) -> None:
    """Do one of the three."""
    parser = cli.Parser("slurm.parameters", __doc__)
    parser.add_argument("command", choices=("apply", "sweep", "line"), help="see above")
    parser.add_argument("first", metavar="NODES | FILE", help="how many nodes (apply), or the file of a sweep")
    parser.add_argument("rest", nargs="*", metavar="KEY=VALUE | INDEX", help="overrides, or which experiment (line)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "apply":
            apply(cli.count(options.first), options.rest)
        elif options.command == "sweep":
            print(check_sweep(options.first, options.rest))
        elif len(options.rest) != 1:
            parser.error("line: takes a file and the number of one experiment")
        else:
            index, found = cli.whole(options.rest[0]), experiments(options.first)
            if index >= len(found):
                raise UserError(
                    f"{options.first}: has {len(found)} experiments, counted from 0, and none of number {index}"
                )
            print("\n".join(found[index]))
    except argparse.ArgumentTypeError as error:
        parser.error(f"{options.command}: {error}")


if __name__ == "__main__":
    cli.entry(main)

"""What every stage shares: its command line, quiet logs, one-line errors with exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cosmokeras.errors import UserError

SIMULATIONS = Path("outputs/simulations")
REAL = Path("outputs/real")
MODEL = Path("outputs/model")
METRICS = Path("metrics")
PLOTS = Path("plots")


def run(stage: Callable[[argparse.Namespace], None], **options: dict[str, object]) -> None:
    """Parse the command line of a stage and run it.

    `options` are extra arguments: name -> keywords of `add_argument`. Errors meant for people become one line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {_name(stage)}", description=stage.__doc__)
    parser.add_argument("--params", default="params.yaml", help="parameter file (default: params.yaml)")
    for name, keywords in options.items():
        parser.add_argument(f"--{name}", **keywords)  # type: ignore[arg-type]
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        stage(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _name(stage: Callable[[argparse.Namespace], None]) -> str:
    spec = sys.modules[stage.__module__].__spec__
    return spec.name if spec else stage.__module__

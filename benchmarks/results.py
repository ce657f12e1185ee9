"""What the benchmarks share: their command line, and the file that their figures go to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cosmokeras.common import cli

ROOT = Path(__file__).parents[1]


def parser(name: str, description: str | None, folders: str = "metrics/") -> cli.Parser:
    """Command line of a benchmark, with `--quick` and `--out`; `folders` below the latter are written."""
    parser = cli.Parser(name, description)
    parser.add_argument(
        "--quick", action="store_true", help="tiny numbers, no requirements, nothing written without --out"
    )
    parser.add_argument("--out", type=Path, help=f"folder for {folders} (default: the checkout)")
    return parser


def results_file(options: argparse.Namespace, name: str) -> Path | None:
    """`metrics/<name>` in the folder of `--out`, which can be written; None for `--quick` without `--out`."""
    out = options.out or (None if options.quick else ROOT)
    if out is None:
        return None
    path: Path = out / "metrics" / name
    cli.writable(path)
    return path


def rounded(node: Any) -> Any:
    """Four digits of every float in mappings and lists."""
    if isinstance(node, dict):
        return {key: rounded(value) for key, value in node.items()}
    if isinstance(node, list):
        return [rounded(value) for value in node]
    return float(f"{node:.4g}") if isinstance(node, float) else node

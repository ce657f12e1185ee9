"""The command line that the studies share."""

from __future__ import annotations

from pathlib import Path

from cosmokeras.common import cli


def parser(name: str, description: str, out: str, metrics: str, what: str = "the picture") -> cli.Parser:
    """Command line of a study, by the first line of its description, with `--out`, `--metrics` and `--quick`.

    Parameters
    ----------
    out, metrics : default paths of the picture (or of `what`) and of the figures
    """
    parser = cli.Parser(name, description.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(out), help=what)
    parser.add_argument("--metrics", type=Path, default=Path(metrics), help="file of the figures")
    parser.add_argument("--quick", action="store_true", help="test run on tiny numbers")
    return parser

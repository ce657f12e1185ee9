"""Command line of the report: `python -m study.report`."""

from __future__ import annotations

from pathlib import Path

from cosmokeras.common import cli
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import write_text
from study import report
from study.report.page import page


def main(arguments: list[str] | None = None) -> int:
    """Write the page; UserError if something that it needs is missing."""
    parser = cli.Parser("study.report", report.__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the project (default: this one)")
    parser.add_argument("--out", type=Path, default=Path("report/index.html"), help="file (default: %(default)s)")
    options = parser.parse_args(arguments)
    cli.writable(options.out)
    try:
        text = page(options.root)
    except UserError:
        raise
    except UNREADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{options.root}: metrics, outputs or dvc.lock are damaged or of another version ({reason}); "
            "run `dvc repro`"
        ) from None
    write_text(options.out, text)
    print(f"{options.out}: {len(text) / 2**20:.1f} MiB, {text.count('<img ')} pictures; open it in a browser")
    return 0


if __name__ == "__main__":
    cli.entry(main)

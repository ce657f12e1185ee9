"""Command line of the report: `python -m study.report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cosmokeras.errors import UserError
from cosmokeras.files import write_text
from study import report
from study.report.page import page


def main(arguments: list[str] | None = None) -> int:
    """Write the page; exit status 2 and one line on the error stream if something that it needs is missing."""
    parser = argparse.ArgumentParser(prog="python -m study.report", description=report.__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the project (default: this one)")
    parser.add_argument("--out", type=Path, default=Path("report/index.html"), help="file (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        text = page(options.root)
        write_text(options.out, text)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(text) / 2**20:.1f} MiB, {text.count('<img ')} pictures; open it in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())

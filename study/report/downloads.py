"""Samples and numbers of a run inside the page, for readers who have nothing but the page."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

# below the project -> type of the content; those that a run has not made are left out
FILES = {
    "outputs/chains/combined.txt": "text/plain",
    "outputs/chains/combined.paramnames": "text/plain",
    "outputs/chains/combined.ranges": "text/plain",
    "outputs/posterior.csv": "text/csv",
    "metrics/infer.json": "application/json",
    "metrics/evaluate.json": "application/json",
}


def files(root: Path) -> str:
    """Links that save the files of FILES, their bytes inside.

    The first three are samples of the posterior of all patches together, as GetDist reads them; then a row for each
    patch; then all metrics.
    """
    links = [_link(root / name, kind) for name, kind in FILES.items() if (root / name).is_file()]
    return f"<p class='files'>Save samples and numbers: {' '.join(links)}</p>" if links else ""


def _link(path: Path, kind: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<a download='{escape(path.name)}' href='data:{kind};base64,{data}'>{escape(path.name)}</a>"

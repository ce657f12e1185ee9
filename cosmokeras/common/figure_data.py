"""What pictures are drawn from: one file for each computing stage, so that drawing anew computes nothing anew.

Stages write with `save` and do not know how it is drawn; `stages.plots` reads with `load`. Arrays are entries of a
sealed NumPy archive, all else is JSON in one more entry; the bytes are the same for the same content.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.cli import read
from cosmokeras.common.sealed import arrays_in, is_whole, write_arrays

FOLDER = Path("outputs/figures")
WORDS = "json"  # name of the entry with what is no array


def save(stage: str, **content: Any) -> None:
    """Write outputs/figures/<stage>.npz, whole: arrays, and what JSON can hold (tuples become lists)."""
    arrays = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}
    words = json.dumps({name: value for name, value in content.items() if name not in arrays}, default=_plain)
    arrays[WORDS] = np.frombuffer(words.encode(), np.uint8)
    write_arrays(FOLDER / f"{stage}.npz", arrays)


def load(stage: str, project: Path = Path()) -> dict[str, Any]:
    """What `save` wrote, in the folder of a project.

    Raises
    ------
    UserError : there is no such file, or it is damaged; says which stage writes it
    """
    return dict(read(project / FOLDER / f"{stage}.npz", _content, stage))


def _plain(number: Any) -> Any:
    """A NumPy number as one of Python."""
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"neither an array nor JSON: {type(number).__name__}")


def _content(path: Path) -> dict[str, Any]:
    if not is_whole(path) and path.is_file():
        raise ValueError("its checksum differs")
    arrays = arrays_in(path.read_bytes())
    words = arrays.pop(WORDS).tobytes()
    return arrays | json.loads(words)

"""Variables of a model or an optimiser on disk, each under its Keras path (e.g. `stem/kernel`), without pickle."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic


def save_variables(path: Path, variables: list[Any]) -> None:
    """Write variables atomically."""
    buffer = BytesIO()
    np.savez(buffer, **{name: keras.ops.convert_to_numpy(v) for name, v in _by_path(variables).items()})
    with atomic(path) as handle:
        handle.write(buffer.getbuffer())


def load_variables(path: Path, variables: list[Any]) -> None:
    """Read what `save_variables` wrote into variables of the same paths and shapes; others are refused, all at once."""
    wanted = _by_path(variables)
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())}); {_remedy(path)}") from None
    for name in sorted(values.keys() | wanted.keys()):
        there = values[name].shape if name in values else "missing"
        here = tuple(wanted[name].shape) if name in wanted else "missing"
        if there != here:
            raise UserError(f"{path}: of another network ({name}: {there} there, {here} here); {_remedy(path)}")
    for name, variable in wanted.items():
        variable.assign(values[name])


def _remedy(path: Path) -> str:
    return f"delete {path.parent} to begin anew"


def _by_path(variables: list[Any]) -> dict[str, Any]:
    named = {variable.path: variable for variable in variables}
    if len(named) != len(variables):
        raise ValueError("two variables of one path: give layers names of their own")
    return named

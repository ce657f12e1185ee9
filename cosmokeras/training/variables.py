"""Variables of a model or an optimiser on disk, each under its Keras path (e.g. `stem/kernel`), without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from cosmokeras.common.errors import UserError


def values_of(variables: list[Any]) -> dict[str, np.ndarray]:
    """Values of variables by their paths."""
    return {name: keras.ops.convert_to_numpy(v) for name, v in _by_path(variables).items()}


def assign(path: Path, values: dict[str, np.ndarray], variables: list[Any]) -> None:
    """Set variables to values of the same paths and shapes, read from `path`; others are refused, all at once."""
    wanted = _by_path(variables)
    for name in sorted(values.keys() | wanted.keys()):
        there = values[name].shape if name in values else "missing"
        here = tuple(wanted[name].shape) if name in wanted else "missing"
        if there != here:
            raise UserError(
                f"{path}: of another network ({name}: {there} there, {here} here); delete {path.parent} to begin anew"
            )
    for name, variable in wanted.items():
        variable.assign(values[name])


def _by_path(variables: list[Any]) -> dict[str, Any]:
    named = {variable.path: variable for variable in variables}
    if len(named) != len(variables):
        raise ValueError("two variables have the same path: give each layer its own name")
    return named

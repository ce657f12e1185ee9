"""Parts of a calibration (dataclasses of arrays) as named arrays of `calibration.npz`, and back.

A part's array is called PART.FIELD, where a field is stored under its own name or, to keep older model folders
readable, under the name in its metadata: `field(metadata={"stored": NAME})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np


def to_arrays(name: str, part: Any) -> dict[str, np.ndarray]:
    """Arrays of a part, by their stored names."""
    return {f"{name}.{stored}": getattr(part, field) for field, stored in _names(part)}


def from_arrays(kind: type, name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """The part of class `kind`; None when the estimator was saved without it."""
    names = _names(kind)
    if f"{name}.{names[0][1]}" not in arrays:
        return None
    return kind(**{field: arrays[f"{name}.{stored}"] for field, stored in names})


def _names(part: Any) -> list[tuple[str, str]]:
    """Name and stored name of each field of a dataclass, or of one of its instances."""
    return [(field.name, field.metadata.get("stored", field.name)) for field in fields(part)]

"""What YAML gives, made fit for strict types, and what is wrong with it in words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cosmokeras.params.files import ColumnConfig
from cosmokeras.params.section import Section


def tuples(node: Any) -> Any:
    """Lists become tuples and whole numbers in the prior floats, so that strict types accept what YAML gives."""
    if isinstance(node, Mapping):
        return {key: tuples(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return tuple(tuples(value) for value in node)
    return node


def one_line(error: ValidationError, config: type[Section]) -> str:
    """The first problem, in words for the person who wrote the file."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    # a union reports the type it tried as a last element of the location
    key = ".".join(part for part in path if part.isidentifier() and part not in ("float",))
    if first["type"] == "extra_forbidden":
        model: Any = config
        for part in path[:-1]:
            field = getattr(model, "model_fields", {}).get(part)
            model = ColumnConfig if field is None else field.annotation  # what files.columns maps names to
        allowed = [name for name in getattr(model, "model_fields", ColumnConfig.model_fields) if name != "root"]
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{'.'.join(path)}: unknown key; {hint}allowed: {', '.join(allowed)}"
    if first["type"] == "missing":
        return f"{'.'.join(path)}: missing; add it to the file"
    if path[0] == "prior":
        return f"{'.'.join(path[:2])}={first['input']!r}: must be a number (fixed) or a list [low, high] (free)"
    if first["type"] == "bool_type":
        return f"{key}={first['input']!r}: must be true or false"
    return f"{key}={first['input']!r}: {first['msg'].lower()}"

"""Arrays that take seconds to work out and depend on numbers alone: worked out once, then read from the work folder."""

from __future__ import annotations

import hashlib
import inspect
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic, work_folder

Function = Callable[..., Any]
NAME = "arrays.npz"


def kept(function: Function) -> Function:
    """A function of numbers, words and tuples of them that gives an array or a tuple of arrays.

    What it gave is kept under its arguments and the code that it is made by; what is damaged is made again.
    """

    @cache
    def found(*arguments: Any) -> Any:
        key = {"of": function.__qualname__, "arguments": arguments, "code": code_fingerprint(function.__module__)}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        try:
            path = work_folder("kept", digest) / NAME
        except UserError:  # a folder that cannot be written is no reason not to work it out
            return function(*arguments)
        arrays = _read(path)
        if arrays is not None:
            return arrays if len(arrays) > 1 else arrays[0]
        made = function(*arguments)
        with suppress(UserError), atomic(path) as handle:
            np.savez(handle, *(made if isinstance(made, tuple) else (made,)))
        return made

    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        bound = signature.bind(*args, **named)
        bound.apply_defaults()
        return found(*bound.arguments.values())

    return called


def _read(path: Path) -> tuple[np.ndarray, ...] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # checks the sums of a zip file
            return tuple(stored[name] for name in stored.files)
    except (OSError, ValueError, EOFError, LookupError, BadZipFile, zlib.error):
        return None

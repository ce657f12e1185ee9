"""Arrays that take seconds to work out and depend on numbers alone: worked out once, then read from the work folder."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from typing import Any

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import work_folder
from cosmokeras.common.sealed import read_arrays, write_arrays

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
        stored = read_arrays(path)
        if stored is not None:
            arrays = tuple(stored[f"{number:03d}"] for number in range(len(stored)))
            return arrays if len(arrays) > 1 else arrays[0]
        made = function(*arguments)
        parts = made if isinstance(made, tuple) else (made,)
        with suppress(UserError):
            write_arrays(path, {f"{number:03d}": part for number, part in enumerate(parts)})
        return made

    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        bound = signature.bind(*args, **named)
        bound.apply_defaults()
        return found(*bound.arguments.values())

    return called

"""Imports without the notes of TensorFlow's C++, which it writes whatever TF_CPP_MIN_LOG_LEVEL asks for."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

# notes, not warnings
CHATTER = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")


@contextmanager
def quietly() -> Iterator[None]:
    """Drop the notes; all else that is written to the error stream is passed on at the end."""
    with tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        stream = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stream, 2)
            caught.seek(0)
            os.write(stream, b"".join(line for line in caught if not CHATTER.match(line)))
            os.close(stream)


def import_quietly(module: str) -> Any:
    """Import a module, without notes."""
    with quietly():
        return import_module(module)

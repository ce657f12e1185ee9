"""The one exception that users are meant to see: a single line that says what to do."""

from __future__ import annotations

import struct
import zlib
from tokenize import TokenError
from zipfile import BadZipFile

# What reading damaged JSON, text, .npy, .npz and .keras files raises; a UserError is one too and must be let through
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, RuntimeError, SyntaxError,
    MemoryError, BadZipFile, TokenError, struct.error, zlib.error,
)  # fmt: skip


class UserError(ValueError):
    """An error that the user can correct: a key, a file, a value.

    The message is one line: what was wrong, where, what is allowed. Stages print it without a traceback and exit with
    code 2.
    """

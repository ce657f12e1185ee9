"""The one exception that users are meant to see: a single line that says what to do."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: a key, a file, a value.

    The message is one line: what was wrong, where, what is allowed. Stages print it without a traceback and exit with
    code 2.
    """

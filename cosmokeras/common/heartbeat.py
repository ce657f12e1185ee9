"""What a program is doing, said into its log every few seconds; on a terminal progress bars show it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 8.0  # seconds between two lines

_doing = "starting"


def doing(words: str) -> None:
    """Say what begins, or how far it is: the next line of the log has it."""
    global _doing
    _doing = words


def duration(seconds: float) -> str:
    """Seconds in words.

    Examples
    --------
    >>> duration(42), duration(200), duration(7300)
    ('42 s', '3 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def heartbeat(name: str) -> Iterator[None]:
    """While the block runs, a line on the error stream every EVERY seconds, where that is no terminal."""
    doing("starting")
    if sys.stderr.isatty():
        yield
        return
    ended, began = threading.Event(), time.monotonic()

    def say() -> None:
        while not ended.wait(EVERY):
            minutes, seconds = divmod(int(time.monotonic() - began), 60)
            print(f"{name}, {minutes}:{seconds:02d}: {_doing}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=say, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

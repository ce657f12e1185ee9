"""What is made by threads ahead of its use, in the order in which it was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Made = TypeVar("Made")


def in_order(function: Callable[[Asked], Made], of: Iterable[Asked], ahead: int, threads: int) -> Iterator[Made]:
    """`function` of each, whatever thread was first; at most `ahead` are made or under way beside the one in use."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for one in of:
                waiting.append(pool.submit(function, one))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""Blocks worked on by several threads while the next is read."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["for_each", "limit_threads", "map_ordered", "n_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")
#: More threads than this wait for memory, not for a processor.
MOST_THREADS = 8

_local = threading.local()


def n_threads() -> int:
    """Threads that the caller may keep busy: those of the process, or the limit set by :func:`limit_threads`."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _limit())


@contextmanager
def limit_threads(limit: int) -> Iterator[None]:
    """Let what this thread calls use at most so many threads, where others of the process do the same work beside it."""
    before = _limit()
    _set_limit(limit)
    try:
        yield
    finally:
        _set_limit(before)


def _limit() -> int:
    limit: int = getattr(_local, "limit", MOST_THREADS)
    return limit


def _set_limit(limit: int) -> None:
    _local.limit = limit


def for_each(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Call ``work`` on every item, some at a time, reading no further ahead than there are threads.

    The work must write to places of its own and spend its time in code that lets go of the interpreter lock. An
    error in reading or in the work is raised here.
    """
    for _ in map_ordered(work, items):
        pass


def map_ordered(work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> Iterator[Result]:
    """Yield ``work(item)`` of every item in their order, some worked on at a time, as :func:`for_each` does.

    No more than one item beyond the number of threads is held.
    """
    threads = threads or n_threads()
    with ThreadPoolExecutor(threads, initializer=_set_limit, initargs=(_limit(),)) as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

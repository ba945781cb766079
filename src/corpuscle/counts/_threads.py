"""Blocks worked on by several threads while the next is read."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["for_each", "n_threads"]

Item = TypeVar("Item")
#: More threads than this wait for memory, not for a processor.
MOST_THREADS = 8


def n_threads() -> int:
    """Threads that this process may keep busy."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_THREADS, available)


def for_each(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Call ``work`` on every item, some at a time, reading no further ahead than there are threads.

    The work must write to places of its own and spend its time in code that lets go of the interpreter lock. An
    error in reading or in the work is raised here.
    """
    with ThreadPoolExecutor(n_threads()) as pool:
        running: deque[Future[None]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) >= n_threads():
                running.popleft().result()
        while running:
            running.popleft().result()

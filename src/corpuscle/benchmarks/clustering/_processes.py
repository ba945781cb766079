"""Runs side by side, each in a process of its own: one that dies takes nothing with it."""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.clustering._one import Task, attempt, cores

__all__ = ["side_by_side"]

TRIES = 2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Running:
    tag: Any
    task: Task
    tries: int
    process: Any


def side_by_side(tasks: Iterable[tuple[Any, Task]], jobs: int) -> Iterator[tuple[Any, Attempt]]:
    """Attempt every task, at most ``jobs`` at a time, and yield (tag, attempt) as they end.

    A process that dies without an answer is started once more, and then its run has failed. Tasks are drawn only when
    a process is free, so that no more data sets are held than are in use.
    """
    context = get_context("spawn")  # a forked child of a process with threads can hang
    threads = max(1, cores() // jobs)
    waiting, again = iter(tasks), deque[tuple[Any, Task, int]]()
    running: dict[Connection, _Running] = {}
    try:
        while True:
            while len(running) < jobs and (upcoming := _next(again, waiting)) is not None:
                tag, task, tries = upcoming
                try:
                    method = pickle.dumps(task.method)
                except Exception as error:
                    reason = f"cannot be sent to another process, so use jobs=1: {reason_of(error)}"
                    yield tag, Attempt(stage="start", reason=reason)
                    continue
                ours, process = _started(context, replace(task, method=method), threads)
                running[ours] = _Running(tag, task, tries, process)
            if not running:
                return
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                one = running.pop(ready)
                answer = _answer(ready, one.process)
                if isinstance(answer, Attempt):
                    yield one.tag, answer
                elif one.tries + 1 < TRIES:
                    again.append((one.tag, one.task, one.tries + 1))
                else:
                    yield one.tag, Attempt(stage="method", reason=answer)
    finally:
        for connection, one in running.items():
            one.process.terminate()
            one.process.join()
            connection.close()


def _next(again: deque[tuple[Any, Task, int]], waiting: Iterator[tuple[Any, Task]]) -> tuple[Any, Task, int] | None:
    if again:
        return again.popleft()
    fresh = next(waiting, None)
    return None if fresh is None else (*fresh, 0)


def _started(context: Any, task: Task, threads: int) -> tuple[Connection, Any]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(task, threads, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its end is seen when the child ends
    return ours, process


def _answer(connection: Connection, process: Any) -> Attempt | str:
    """What the process sent, or how it ended without an answer."""
    try:
        found = connection.recv()
    except Exception:  # it ended, perhaps in the middle of its answer
        found = None
    finally:
        connection.close()
        process.join()
    if isinstance(found, Attempt):
        return found
    code = process.exitcode
    if code is not None and code < 0:
        return f"its process was killed by signal {-code}, {TRIES} times; it may need more memory or fewer jobs"
    return f"its process ended with exit code {code} and no answer, {TRIES} times"


def _child(task: Task, threads: int, connection: Connection) -> None:
    for name in THREADS:  # for libraries that are loaded later, such as PyTorch
        os.environ[name] = str(threads)
    import numba
    from threadpoolctl import threadpool_limits

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    sys.path.append(os.getcwd())  # noqa: PTH109 - where a method named module:Class may lie
    with threadpool_limits(threads):
        try:
            answer = attempt(replace(task, method=pickle.loads(task.method)))
        except Exception as error:  # the method cannot be rebuilt here
            answer = Attempt(stage="start", reason=reason_of(error))
        connection.send(answer)
    connection.close()

"""Tasks under way on a Dask cluster: not too many, looked after, and taken back when they are no longer wanted."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn, Self, TypeVar

from corpuscle.counts._dask_connect import address_of, worker_timeout
from corpuscle.errors import MethodError

__all__ = ["Flight"]

Node = TypeVar("Node")
#: Tasks under way for each thread of the cluster: enough that none waits for the next, few for the scheduler.
PER_THREAD = 4
#: Seconds without news after which to see whether the cluster is still there.
LOOK_S = 1.0
#: Seconds for which the number of threads of the cluster is believed.
COUNT_S = 5.0


class Flight:
    """Tasks of one run. Leaving the ``with`` block takes back those that are not done.

    Parameters
    ----------
    client
        A connected ``dask.distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._id = uuid.uuid4().hex
        self._running: dict[Any, tuple[Any, Any]] = {}  # key: (node, future)
        self._says: dict[Any, str] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads, self._counted = 0, -COUNT_S
        self._last_worker = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._running and self.client.status == "running":
            with suppress(Exception):  # the scheduler may have gone; its tasks went with it
                self.client.cancel([future for _, future in self._running.values()])
        self._running.clear()

    def start(self, node: tuple[int, int], says: str, function: Callable[..., Any], *args: Any, name: str) -> None:
        """Start a task. ``says`` is what messages call it, ``name`` what the dashboard calls it and its like."""
        level, place = node
        key = (f"{name}-{self._id}", level, place)
        future = self.client.submit(function, *args, key=key, priority=level)
        self._running[key] = node, future
        self._says[key] = says
        future.add_done_callback(self._done.put)

    def has_room(self) -> bool:
        """Whether another task may be started."""
        if monotonic() - self._counted > COUNT_S:
            self._count()
        return len(self._running) < PER_THREAD * max(self._threads, 1)

    def next_done(self) -> tuple[tuple[int, int], Any]:
        """The next task that has succeeded: its node and its future.

        Raises
        ------
        MethodError
            The cluster is gone, or its workers die of this task.
        Exception
            What the work raised.
        """
        while True:
            try:
                key = self._done.get(timeout=LOOK_S).key
            except queue.Empty:
                self._look()
                continue
            if key not in self._running:
                continue
            node, future = self._running[key]
            if future.status in ("pending", "lost"):  # with its worker, just after; it is done again
                future.add_done_callback(self._done.put)
                continue
            del self._running[key]
            self._last_worker = monotonic()
            if future.status != "finished":
                self._fail(future)
            return node, future

    def result(self, future: Any) -> Any:
        """What a task has returned; it is done again where that was lost with its worker. Raises as :meth:`next_done`."""
        while True:
            try:
                result = future.result(timeout=LOOK_S)
            except Exception as error:
                if future.status in ("error", "cancelled"):
                    self._fail(future)
                if not isinstance(error, TimeoutError | OSError):
                    raise
                self._look()
                continue
            self._says.pop(future.key, None)
            return result

    def _look(self) -> None:
        """Give up where there has been no worker for long."""
        self._count()
        if self._threads:
            self._last_worker = monotonic()
        elif monotonic() - self._last_worker > worker_timeout():
            raise MethodError(
                f"Dask scheduler {address_of(self.client)}: all workers are gone for {worker_timeout():g} s; "
                "start workers and run again, or set DASK_CORPUSCLE__WORKER_TIMEOUT to wait longer"
            )

    def _count(self) -> None:
        self._threads = 0
        if self.client.status == "closed":
            self._lost()
        with suppress(OSError):
            self._threads = sum(self.client.nthreads().values())
        self._counted = monotonic()

    def _lost(self) -> NoReturn:
        raise MethodError(
            f"Dask scheduler {address_of(self.client)}: the connection was lost, or the work cancelled there; "
            "see whether it still runs, and run again"
        )

    def _fail(self, future: Any) -> NoReturn:
        if future.status != "error":
            self._lost()
        error: BaseException = future.exception()
        explained = _explain(error, self._says[future.key], address_of(self.client))
        if explained is not None:
            raise explained from error
        raise error.with_traceback(future.traceback())


def _explain(error: BaseException, says: str, address: str) -> MethodError | None:
    """One line for what Dask raises by itself; None for what the work raised."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        last = getattr(error.last_worker, "address", error.last_worker)
        return MethodError(
            f"{says}: {error.allowed_failures + 1} workers died while they did it, the last of them {last}; see the log "
            "of that worker: most often it ran out of memory, so give workers more of it or fewer threads"
        )
    if type(error).__name__ in ("NoValidWorkerError", "NoWorkerError"):  # not in all versions of distributed
        return MethodError(f"{says}: Dask scheduler {address}: {' '.join(str(error).split())}; start workers")
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] == "corpuscle":
        return MethodError(f"{says}: a worker of {address} has no corpuscle; install the same version on all workers")
    if isinstance(error, RuntimeError) and "deserialization of the task graph" in str(error):
        return MethodError(
            f"Dask scheduler {address}: its environment is not the one of here; install the same versions of dask, "
            "distributed and corpuscle there"
        )
    return None

"""Who does the units of work: this process, or the workers of a Dask cluster. The work is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from corpuscle.counts._kept_open import close_opened

__all__ = ["FAN_IN", "LocalWorkers", "Workers", "merged_as_tree", "workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int, str], None]
#: Summaries merged at a time. Fixed, because it sets the shape of the tree, and with it the last bit of a sum of
#: floating-point numbers.
FAN_IN = 16


class Workers(Protocol):
    """Runs a picklable function (of a module, or a partial of one) on many items."""

    distributed: bool

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield ``work(item)`` for every item in their order. An error of the work is raised here as it is."""

    def reduce(
        self, work: Callable[[Item], Result], items: Sequence[Item], merge: Callable[[Result, Result], Result]
    ) -> Result:
        """``merge`` of all ``work(item)``, along a tree that only the number of items decides; at least one item.

        ``merge`` may change its first argument and return it.
        """


class LocalWorkers:
    """One unit after the other; a unit uses all processors by itself."""

    distributed = False

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See :class:`Workers`."""
        for item in items:
            yield work(item)

    def reduce(
        self, work: Callable[[Item], Result], items: Sequence[Item], merge: Callable[[Result, Result], Result]
    ) -> Result:
        """See :class:`Workers`."""
        if not items:
            raise ValueError("there is nothing to reduce")
        return merged_as_tree(self.map(work, items), merge)


def merged_as_tree(results: Iterable[Result], merge: Callable[[Result, Result], Result]) -> Result:
    """Merge ``FAN_IN`` at a time, then so many of those, holding one unfinished summary a level."""
    levels: list[list[Any]] = []  # of each level, how many are merged so far and into what
    for result in results:
        carried = result
        for level in levels:
            level[:] = [level[0] + 1, merge(level[1], carried) if level[0] else carried]
            if level[0] < FAN_IN:
                break
            carried = level[1]
            level[:] = [0, None]
        else:
            levels.append([1, carried])
    finished = [level[1] for level in levels if level[0]]
    total: Result = finished[0]
    for above in finished[1:]:
        total = merge(above, total)
    return total


@contextmanager
def workers(scheduler: Any = None) -> Iterator[Workers]:
    """Yield this process, or the workers of a Dask cluster.

    Parameters
    ----------
    scheduler
        None: this process. Else where the scheduler of a running cluster is: its address (``tcp://host:8786``), the
        path of its scheduler file, or a ``dask.distributed.Client``, which stays open. Where workers are missing for
        longer than the Dask option ``corpuscle.worker-timeout`` (``"120 s"``; environment variable
        ``DASK_CORPUSCLE__WORKER_TIMEOUT``) the work is given up.

    Raises
    ------
    MethodError
        The package ``distributed`` is missing, the scheduler does not answer, or there is no worker.
    OptionError
        ``scheduler`` is none of these.
    """
    try:
        if scheduler is None:
            yield LocalWorkers()
        else:
            from corpuscle.counts._dask_workers import dask_workers

            with dask_workers(scheduler) as cluster:
                yield cluster
    finally:
        close_opened()

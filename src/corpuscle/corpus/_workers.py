"""Who does the units of work: this process, or the workers of a Dask cluster. The work is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

__all__ = ["LocalWorkers", "Workers", "workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int, str], None]


class Workers(Protocol):
    """Runs a picklable function (of a module, or a partial of one) on many items."""

    distributed: bool

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield ``work(item)`` for every item in their order. An error of the work is raised here as it is."""

    def reduce(
        self, work: Callable[[Item], Result], items: Sequence[Item], merge: Callable[[Result, Result], Result]
    ) -> Result:
        """``merge`` of all ``work(item)``, as a tree where there are many; ``merge`` must not mind the order."""


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
        results = self.map(work, items)
        total = next(results)
        for result in results:
            total = merge(total, result)
        return total


@contextmanager
def workers(scheduler: Any = None) -> Iterator[Workers]:
    """Yield this process, or the cluster of a Dask scheduler address or ``dask.distributed.Client``."""
    yield LocalWorkers()

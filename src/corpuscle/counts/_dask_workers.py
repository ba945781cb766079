"""The workers of a Dask cluster as :class:`~corpuscle.counts._workers.Workers`: map in order, reduce as a tree."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from corpuscle.counts._dask_call import Order, call, merge_all, pack, summarise, unpack
from corpuscle.counts._dask_connect import connect
from corpuscle.counts._dask_flight import Flight
from corpuscle.counts._workers import FAN_IN

__all__ = ["DaskWorkers", "dask_workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def dask_workers(scheduler: Any) -> Iterator[DaskWorkers]:
    """Yield the workers of the scheduler; see :func:`corpuscle.counts._workers.workers`."""
    with connect(scheduler) as client:
        yield DaskWorkers(client)


class DaskWorkers:
    """Units as Dask tasks: bounded in number under way, repeated by Dask where a worker is lost.

    The function and what is bound to it goes to the cluster once, as the result of a task and not as scattered data,
    which Dask could not make again after the loss of the worker that had it.

    Parameters
    ----------
    client
        A connected ``dask.distributed.Client``.
    """

    distributed = True

    def __init__(self, client: Any) -> None:
        self._client = client
        self._order = Order(uuid.uuid4().hex)

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See :class:`Workers`. Leaving the iteration early takes back what is under way."""
        if not items:
            return
        with Flight(self._client) as flight:
            start = self._starter(flight, call, work, items)
            early: dict[int, Result] = {}
            started = 0
            for turn in range(len(items)):
                while turn not in early:
                    while started < len(items) and flight.has_room():
                        start(started)
                        started += 1
                    (_, place), future = flight.next_done()
                    early[place] = flight.result(future)
                yield early.pop(turn)

    def reduce(
        self, work: Callable[[Item], Result], items: Sequence[Item], merge: Callable[[Result, Result], Result]
    ) -> Result:
        """See :class:`Workers`. Only the last summary comes here; the others are merged by the workers."""
        if not items:
            raise ValueError("there is nothing to reduce")
        with Flight(self._client) as flight:
            start = self._starter(flight, summarise, work, items)
            merge_once = self._share(flight, merge, 1)
            tree = Tree(len(items))
            started = 0
            while True:
                while started < len(items) and flight.has_room():
                    start(started)
                    started += 1
                node, future = flight.next_done()
                if node == tree.root:
                    total: Result = unpack(flight.result(future))
                    return total
                complete = tree.add(node, future)
                if complete is not None:
                    parent, futures = complete
                    says = f"merge {parent[1] + 1:,} of level {parent[0]}"
                    flight.start(parent, says, merge_all, self._order, merge_once, futures, name="merge")

    def _starter(
        self, flight: Flight, how: Callable[..., Any], work: Callable[[Item], Any], items: Sequence[Item]
    ) -> Callable[[int], None]:
        """What starts the item at a place; ``how`` calls the work."""
        shared = self._share(flight, work, 0)
        name = _name(work)

        def start(place: int) -> None:
            says = f"unit {place + 1:,} of {len(items):,}"
            flight.start((0, place), says, how, self._order, shared, pack(items[place]), name=name)

        return start

    def _share(self, flight: Flight, function: Callable[..., Any], place: int) -> Any:
        """The function as a task's result, copied to all workers of now.

        Otherwise Dask would give units that are few to the one worker that has it. Later workers fetch it.
        """
        name = _name(function)
        flight.start((-1, place), f"sending {name} to the workers", unpack, pack(function), name=f"share-{name}")
        _, future = flight.next_done()
        with suppress(Exception):  # a worker was lost meanwhile, and the others fetch it all the same
            flight.client.replicate([future])
        return future


class Tree:
    """Which summaries are merged with which: neighbours, ``FAN_IN`` at a time, whenever they come.

    A node is (level, place); the items are level 0.
    """

    def __init__(self, n_items: int) -> None:
        self._sizes = [n_items]
        while self._sizes[-1] > 1:
            self._sizes.append(-(-self._sizes[-1] // FAN_IN))
        self.root = (len(self._sizes) - 1, 0)
        self._waiting: dict[tuple[int, int], dict[int, Any]] = {}

    def add(self, node: tuple[int, int], summary: Any) -> tuple[tuple[int, int], list[Any]] | None:
        """Take a finished node; return its parent and all its children in order once they are complete.

        A node without siblings stands for its parent.
        """
        level, place = node
        while True:
            level, parent = level + 1, place // FAN_IN
            n_children = min(FAN_IN, self._sizes[level - 1] - parent * FAN_IN)
            children = self._waiting.setdefault((level, parent), {})
            children[place] = summary
            if len(children) < n_children:
                return None
            del self._waiting[level, parent]
            if n_children > 1:
                return (level, parent), [children[i] for i in sorted(children)]
            place = parent


def _name(function: Callable[..., Any]) -> str:
    """What the cluster's dashboard calls it."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__).strip("_<>")

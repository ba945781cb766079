"""What a Dask worker runs: a unit of work as this process would do it, on the worker's share of its machine."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import corpuscle
from corpuscle.counts._kept_open import close_opened
from corpuscle.counts._threads import limit_threads
from corpuscle.errors import MethodError

__all__ = ["Order", "call", "merge_all", "pack", "summarise", "unpack"]

_local = threading.local()


def pack(value: Any) -> bytes:
    """The value as bytes, in which Dask looks for no keys and futures; functions of a script or notebook go too."""
    import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]

    return bytes(cloudpickle.dumps(value))


def unpack(packed: bytes) -> Any:
    """What was packed by :func:`pack`, in this process or the one that sent it."""
    return pickle.loads(packed)


class Order:
    """What comes with every unit: which run it belongs to, and which version of Corpuscle sent it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.version = corpuscle.__version__

    def begin(self) -> None:
        """Refuse another version, and close files of an earlier run: a long-lived worker may meet new ones by now.

        Raises
        ------
        MethodError
            This worker has another version of Corpuscle.
        """
        if self.version != corpuscle.__version__:
            raise MethodError(
                f"the Dask worker {_address()} has corpuscle {corpuscle.__version__} and this is {self.version}; "
                "install the same version everywhere"
            )
        if getattr(_local, "run", None) != self.run:
            close_opened()
            _local.run = self.run


def call(order: Order, work: Callable[[Any], Any], packed: bytes) -> Any:
    """``work`` of one item. A Dask worker runs a unit on each of its threads, so that a unit gets one."""
    order.begin()
    with _traced(), limit_threads(1):
        return work(unpack(packed))


def summarise(order: Order, work: Callable[[Any], Any], packed: bytes) -> bytes:
    """The summary of one item, packed: Dask then knows its size, and merging cannot change it."""
    return pack(call(order, work, packed))


def merge_all(order: Order, merge: Callable[[Any, Any], Any], summaries: Sequence[bytes]) -> bytes:
    """``merge`` of all summaries in their order; two are unpacked at a time."""
    order.begin()
    with _traced(), limit_threads(1):
        total = unpack(summaries[0])
        for summary in summaries[1:]:
            total = merge(total, unpack(summary))
        return pack(total)


@contextmanager
def _traced() -> Iterator[None]:
    """Note on an error where it happened; ``--debug`` shows it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"on the Dask worker {_address()}")
        raise


def _address() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:  # called outside a worker
        return "of unknown address"

"""Sources that a thread keeps open between units of work, and closes when the work is over."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

__all__ = ["close_opened", "kept_open"]

#: Sources a thread keeps open; files of many small studies are not opened again for every unit.
KEPT_OPEN = 4


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closable)

_local = threading.local()


def kept_open(key: Hashable, make: Callable[[], C]) -> C:
    """What ``make`` opens, kept open under ``key`` for the next call by this thread. Do not close it."""
    kept = _kept()
    if key not in kept:
        while len(kept) >= KEPT_OPEN:
            kept.popitem(last=False)[1].close()
        kept[key] = make()
    kept.move_to_end(key)
    return kept[key]  # type: ignore[return-value]  # what was made under this key


def close_opened() -> None:
    """Close what :func:`kept_open` keeps open for this thread."""
    kept = _kept()
    while kept:
        kept.popitem()[1].close()


def _kept() -> OrderedDict[Hashable, Closable]:
    kept: OrderedDict[Hashable, Closable] = _local.__dict__.setdefault("kept", OrderedDict())
    return kept

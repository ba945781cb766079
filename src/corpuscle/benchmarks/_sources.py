"""Sources of a benchmark, one data set each: what cannot be read is a failure of its own and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from corpuscle.counts import expand_source
from corpuscle.errors import CorpuscleError

__all__ = ["Unread", "each_data_set"]

D = TypeVar("D")


@dataclass(frozen=True)
class Unread:
    """A source that could not become a data set, and why."""

    name: str
    error: Exception


def each_data_set(sources: Sequence[Any], taken: str, opened: Callable[[str, Any], D]) -> Iterator[D | Unread]:
    """Open each file or AnnData in turn, under a name of its own.

    Parameters
    ----------
    sources
        Paths, globs, lists or AnnData.
    taken
        A name that no data set may have.
    opened
        Makes a data set of its name and a path or AnnData.
    """
    seen: dict[str, int] = {taken: 1}
    for source in sources:
        try:
            items = expand_source(source)
        except CorpuscleError as error:
            yield Unread(str(source), error)
            continue
        for item in items:
            name = item.stem if isinstance(item, Path) else "AnnData"
            seen[name] = seen.get(name, 0) + 1
            name = name if seen[name] == 1 else f"{name}#{seen[name]}"
            try:
                yield opened(name, item)
            except (CorpuscleError, OSError) as error:
                yield Unread(str(item) if isinstance(item, Path) else name, error)

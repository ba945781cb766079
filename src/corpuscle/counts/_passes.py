"""One pass over the counts, cut into the same units everywhere: by the threads of this machine, or on a Dask cluster.

The cut and the order of merging depend on nothing but the number of cells, so that even the last bit of a sum of
floating-point numbers is the same for any number of threads or workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from corpuscle.counts._profile import Block
from corpuscle.counts._threads import map_ordered
from corpuscle.counts._workers import merged_as_tree, workers

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["PASS_CELLS", "Mergeable", "Progress", "map_blocks", "reduce_blocks"]

Result = TypeVar("Result")
#: Called with (cells done, cells in all, what).
Progress = Callable[[int, int, str], None]
#: Cells of a unit. Fixed: see above. 61 MB of 60,000 genes, dense.
PASS_CELLS = 256


class Mergeable(Protocol):
    """A summary that can be sent to another process."""

    def update(self, block: Block) -> None:
        """Take in one block."""

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same kind has seen."""


S = TypeVar("S", bound=Mergeable)


def map_blocks(
    counts: Counts,
    work: Callable[[Block], Result],
    *,
    dense: bool = False,
    progress: Progress | None = None,
    what: str = "cells",
) -> Iterator[Result]:
    """Yield ``work(block)`` of every :data:`PASS_CELLS` cells, in their order.

    Parameters
    ----------
    counts
        The cells; ``counts.scheduler`` says who works.
    work
        For a cluster it must be picklable: a function of a module, or a partial of one. It should spend its time in
        code that lets go of the interpreter lock.
    dense
        Blocks hold a dense array (uint32 as a rule) instead of CSR.
    progress, what
        Called after every block, with what is being counted.
    """
    done = 0
    for block_cells, result in _results(counts, work, dense):
        done += block_cells
        if progress is not None:
            progress(done, counts.n_obs, what)
        yield result


def reduce_blocks(
    counts: Counts,
    make: Callable[[], S],
    *,
    dense: bool = False,
    progress: Progress | None = None,
    what: str = "cells",
) -> S:
    """Merge one summary a unit into the summary of all cells, along a tree that the number of cells decides.

    Parameters
    ----------
    counts, dense, progress, what
        See :func:`map_blocks`. On a cluster the merging is done by its workers, and progress is not told.
    make
        Returns an empty summary.
    """
    if counts.scheduler is not None:
        with workers(counts.scheduler) as crew:
            total: S = crew.reduce(partial(_unit_summary, counts.local(), make, dense), _units(counts), _merge)
            return total
    made = map_blocks(counts, partial(_summary, make), dense=dense, progress=progress, what=what)
    return merged_as_tree(made, _merge)


def _results(counts: Counts, work: Callable[[Block], Result], dense: bool) -> Iterator[tuple[int, Result]]:
    if counts.scheduler is not None:
        with workers(counts.scheduler) as crew:
            units = _units(counts)
            results = crew.map(partial(_unit_result, counts.local(), work, dense), units)
            for (start, stop), result in zip(units, results, strict=True):
                yield stop - start, result
        return
    yield from map_ordered(partial(_counted, work), counts.unit_blocks(dense))


def _counted(work: Callable[[Block], Result], block: Block) -> tuple[int, Result]:
    return block.rows.stop - block.rows.start, work(block)


def _summary(make: Callable[[], S], block: Block) -> S:
    summary = make()
    summary.update(block)
    return summary


def _merge(first: S, other: S) -> S:
    first.merge(other)
    return first


def _units(counts: Counts) -> list[tuple[int, int]]:
    """(start, stop) of every unit; a unit may reach over two sources."""
    return [(start, min(start + PASS_CELLS, counts.n_obs)) for start in range(0, counts.n_obs, PASS_CELLS)]


def _unit_result(counts: Counts, work: Callable[[Block], Result], dense: bool, unit: tuple[int, int]) -> Result:
    (block,) = counts.unit_blocks(dense, *unit)
    return work(block)


def _unit_summary(counts: Counts, make: Callable[[], S], dense: bool, unit: tuple[int, int]) -> S:
    return _unit_result(counts, partial(_summary, make), dense, unit)

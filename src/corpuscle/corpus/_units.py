"""What a corpus is built from: sources as named, cut into units of work that any process can do alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from corpuscle.counts import Counts, open_counts
from corpuscle.counts._kept_open import kept_open
from corpuscle.counts._open import expand_source
from corpuscle.counts._profile import Block
from corpuscle.errors import SourceError

__all__ = [
    "BLOCK_CELLS",
    "UNIT_CELLS",
    "Piece",
    "SourceSpec",
    "Unit",
    "blocks_of",
    "cut",
    "list_sources",
    "opened",
]

#: Cells read at a time. Fixed, because it is also the size of an Arrow record batch, and bytes must not depend on
#: the machine: about 12 MB at 1,400 genes a cell, 160 MB at 20,000.
BLOCK_CELLS = 1024
#: Cells of one unit of work, and of one shard.
UNIT_CELLS = 65_536


@dataclass(frozen=True)
class SourceSpec:
    """One matrix, as the user named it; small enough to send to another process.

    Attributes
    ----------
    name
        The path as it was given, or ``AnnData`` for one in memory.
    layer
        Matrix to use instead of the main one.
    fractional
        Accept values that are not whole numbers.
    adata
        The object itself where it is in memory; such a source cannot leave its process.
    base
        Folder that a relative name starts from, for a process that works in another.
    """

    name: str
    layer: str | None = None
    fractional: bool = False
    adata: Any = field(default=None, compare=False, repr=False)
    base: str = field(default="", compare=False, repr=False)

    @property
    def path(self) -> Path:
        """Where it is: the name itself in the process where it was given."""
        return Path(self.name) if self.base in ("", str(Path.cwd())) else Path(self.base, self.name)

    def open(self) -> Counts:
        """Open it; close it after use. Prefer :func:`opened`, which remembers.

        Raises
        ------
        SourceError, NotCountsError
            It cannot be read, or its first cells are not counts.
        """
        return open_counts(self.path if self.adata is None else self.adata, self.layer, check=not self.fractional)

    def stat(self) -> tuple[int, int] | None:
        """(size, mtime in ns) of the file, to notice that it was replaced between two runs; None for a folder."""
        path = self.path
        if self.adata is not None or not path.is_file():
            return None
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns


def list_sources(source: Any, layer: str | None = None, *, fractional: bool = False) -> list[SourceSpec]:
    """Each matrix behind a path, a glob, an AnnData or a list of them, in the order given, those of a glob sorted.

    Raises
    ------
    SourceError
        A path is missing or named twice, a pattern matches nothing, or something is no source.
    """
    given: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
    specs = []
    for one in (item for entry in given for item in expand_source(entry)):
        if isinstance(one, Path):
            if not one.exists():
                raise SourceError(f"{one}: there is no such file or folder; check the path")
            specs.append(SourceSpec(str(one), layer, fractional, base=str(Path.cwd())))
        else:
            specs.append(SourceSpec("AnnData", layer, fractional, one))
    if not specs:
        raise SourceError("no source was given: name at least one file")
    paths = [Path(spec.name).resolve() for spec in specs if spec.adata is None]
    if len(set(paths)) < len(paths):
        twice = next(path for i, path in enumerate(paths) if path in paths[:i])
        raise SourceError(f"{twice}: named twice, so its cells would be in the corpus twice; name it once")
    return specs


def opened(spec: SourceSpec) -> Counts:
    """The source opened, kept open for the next call by this thread. Do not close it."""
    return kept_open((spec, spec.stat(), id(spec.adata)), spec.open)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive cells ``start`` to ``stop`` of the source at place ``source`` of the list."""

    source: int
    start: int
    stop: int

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Unit:
    """Consecutive cells over all sources: what one worker does at a time, and what becomes one shard."""

    index: int
    pieces: tuple[Piece, ...]

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return sum(piece.n_obs for piece in self.pieces)


def cut(n_obs: Sequence[int], unit_cells: int = UNIT_CELLS) -> list[Unit]:
    """Cut sources of these sizes, one behind the other, into units of ``unit_cells`` cells; the last has the rest."""
    bounds = [0]
    for n in n_obs:
        bounds.append(bounds[-1] + n)
    units = []
    for index, first in enumerate(range(0, bounds[-1], unit_cells)):
        last = min(first + unit_cells, bounds[-1])
        pieces = [
            Piece(source, max(first, low) - low, min(last, high) - low)
            for source, (low, high) in enumerate(pairwise(bounds))
            if max(first, low) < min(last, high)
        ]
        units.append(Unit(index, tuple(pieces)))
    return units


def blocks_of(spec: SourceSpec, piece: Piece) -> Iterator[Block]:
    """Checked blocks of a piece; ``block.rows`` are places within its source."""
    yield from opened(spec).blocks(BLOCK_CELLS, start=piece.start, stop=piece.stop, fractional=spec.fractional)

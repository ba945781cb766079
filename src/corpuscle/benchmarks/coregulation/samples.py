"""Sources to samples: opened one at a time, loaded, stripped of the truth that methods may not see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks.coregulation.units import Sample, find_pairs
from corpuscle.counts import Counts, expand_source, open_counts
from corpuscle.counts.genes import as_symbols
from corpuscle.datasets.schema import text
from corpuscle.errors import CorpuscleError, OptionError, SourceError

__all__ = ["Unread", "samples_of"]


@dataclass(frozen=True)
class Unread:
    """A source that could not become a sample, and why."""

    name: str
    error: CorpuscleError


def samples_of(
    sources: Iterable[Any], *, layer: str | None = None, sample_key: str | None = None
) -> Iterator[Sample | Unread]:
    """Open each source (path or AnnData) in turn; one that fails does not stop the others.

    Parameters
    ----------
    sources
        Paths, glob patterns or AnnData; each file is one sample.
    layer
        Layer that holds the raw counts.
    sample_key
        ``obs`` column that splits each source into samples, e.g. the donor.
    """
    seen: dict[str, int] = {}
    for source in sources:
        try:
            for item in expand_source(source):
                yield from _named_once(_tried(item, layer, sample_key), seen)
        except CorpuscleError as error:
            yield Unread(str(source), error)


def _named_once(samples: Iterable[Sample | Unread], seen: dict[str, int]) -> Iterator[Sample | Unread]:
    """Two files may bear one sample id; results are told apart by it."""
    for sample in samples:
        if isinstance(sample, Sample):
            seen[sample.id] = seen.get(sample.id, 0) + 1
            if seen[sample.id] > 1:
                sample = replace(sample, id=f"{sample.id}#{seen[sample.id]}")
        yield sample


def _tried(source: Any, layer: str | None, sample_key: str | None) -> Iterator[Sample | Unread]:
    try:
        yield from _opened(source, layer, sample_key)
    except CorpuscleError as error:
        yield Unread(str(source) if isinstance(source, str | Path) else "AnnData", error)


def _opened(source: Any, layer: str | None, sample_key: str | None) -> Iterator[Sample]:
    with open_counts(source, layer=layer) as stream:
        counts = stream.load()
        stem = Path(stream.name).stem
        checksum = sha256(Path(source)) if isinstance(source, str | Path) else ""
        sample_id = text(stream.uns.get("sample_id")) or stem
        series = text(stream.uns.get("series_id")) or sample_id
    counts = _by_symbol(counts)
    pairs = find_pairs(counts)
    counts.profile()
    counts = counts.stripped()
    if sample_key is None:
        yield Sample(sample_id, series, counts, pairs, checksum)
        return
    for value, part in _split(counts, sample_key):
        yield Sample(f"{sample_id}:{value}", series, part, pairs, checksum)


def _by_symbol(counts: Counts) -> Counts:
    """Under gene symbols where the names are human Ensembl ids: markers and immunoglobulins are known by symbol."""
    names = [str(name) for name in counts.var_names]
    symbols = as_symbols(names)
    return counts if symbols == names else counts.renamed(symbols)


def _split(counts: Counts, column: str) -> Iterator[tuple[str, Counts]]:
    if column not in counts.obs:
        raise OptionError(
            f"{counts.name}: no obs column {column!r}; it has: {', '.join(map(str, counts.obs)) or 'none'}"
        )
    values = counts.obs[column].astype(str).to_numpy()
    for value in sorted(set(values)):
        yield value, counts.select_cells(values == value)


def require_sources(sources: Sequence[Any]) -> None:
    """Refuse an empty list."""
    if not sources:
        raise SourceError("no source was given: name at least one count matrix")

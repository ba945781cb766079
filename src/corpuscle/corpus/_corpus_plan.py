"""Everything a data set is made of, decided before any of it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import xxhash

from corpuscle import __version__
from corpuscle.corpus._arrow import TOKEN_TYPES
from corpuscle.corpus._depth import DEPTHS, Depth, DepthChoice
from corpuscle.corpus._order import ORDERS
from corpuscle.corpus._shard import ShardTask, SourcePlan, stamp_of
from corpuscle.corpus._units import SourceSpec, Unit, cut, opened
from corpuscle.corpus.attributes import attribute_type, check_attributes, common_type
from corpuscle.corpus.gene_plan import GeneMatch, GeneOptions, check_match, plan_genes
from corpuscle.corpus.selection import keep_cells
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts import Counts
from corpuscle.counts._source import SAMPLE_ROWS
from corpuscle.errors import OptionError

__all__ = ["Choices", "CorpusPlan", "PlannedSource", "plan_corpus", "resolve"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The options of :func:`~corpuscle.corpus.tokenize.tokenize` that what is written depends on."""

    preset: str | None
    medians: str | None
    vocab: str | None
    max_len: int | None
    special_token: bool | None
    attrs: Mapping[str, str]
    keep_counts: bool
    filter: str | None
    filter_missing: Literal["error", "keep"]
    qc: str | None
    layer: str | None
    gene_column: str | None
    symbols: Literal["auto", "always", "never"]
    orthologs: bool
    min_match: float
    depth: DepthChoice
    allow_fractional: bool
    order: str
    seed: int
    parquet: bool
    pretrainer_files: bool
    shard_cells: int
    token_dtype: str

    def __post_init__(self) -> None:
        allowed: dict[str, Sequence[str]] = {
            "order": ORDERS, "depth": DEPTHS, "token_dtype": tuple(TOKEN_TYPES), "symbols": ("auto", "always", "never"),
            "filter_missing": ("error", "keep"),
        }  # fmt: skip
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise OptionError(f"{name} {getattr(self, name)!r} is none of {', '.join(values)}")
        if self.shard_cells < 1:
            raise OptionError(f"shard_cells {self.shard_cells} is below 1")
        if not 0 <= self.min_match <= 1:
            raise OptionError(f"min_match {self.min_match} is not between 0 and 1")
        if self.seed < 0:
            raise OptionError(f"seed {self.seed} is negative")


def resolve(
    choices: Choices, vocabulary: RankVocabulary | None, aliases: Mapping[str, str] | str | Path | None
) -> tuple[RankVocabulary, dict[str, str]]:
    """The vocabulary and the aliases that the options name.

    Raises
    ------
    OptionError
        They do not exist or fit together, or a token is too large for its type.
    """
    from corpuscle.corpus.presets import resolve_vocabulary
    from corpuscle.corpus.vocabulary_io import read_aliases

    extra = dict(aliases) if isinstance(aliases, Mapping) else {}
    file = None if isinstance(aliases, Mapping) else aliases
    settings: dict[str, Any] = {"max_len": choices.max_len, "special_token": choices.special_token}
    if vocabulary is None:
        vocabulary, known = resolve_vocabulary(
            choices.preset, medians=choices.medians, vocab=choices.vocab, aliases=file, **settings
        )
    else:
        vocabulary = replace(vocabulary, **{name: value for name, value in settings.items() if value is not None})
        known = {} if file is None else read_aliases(file)
    largest = np.iinfo(TOKEN_TYPES[choices.token_dtype].to_pandas_dtype()).max
    if vocabulary.size - 1 > largest:
        raise OptionError(
            f"token {vocabulary.size - 1} of vocabulary {vocabulary.name} does not fit {choices.token_dtype}; use int32"
        )
    return vocabulary, {**known, **extra}


@dataclass(frozen=True, eq=False)
class PlannedSource:
    """One source: what its workers need, which cells it gives, and what the manifest says of it."""

    work: SourcePlan
    keep: Array | None = field(repr=False)
    dropped: Mapping[str, int]
    match: GeneMatch
    depth: str

    @property
    def n_obs(self) -> int:
        """Cells, before any is dropped."""
        return self.work.shape[0]

    def record(self) -> dict[str, Any]:
        """What must be the same for an interrupted build to go on."""
        return {
            "name": self.work.spec.name,
            "cells": self.work.shape[0],
            "genes": self.work.shape[1],
            "stamp": [None if one is None else list(one) for one in self.work.stamp],
            "keep": None if self.keep is None else _digest(self.keep),
            "slots": _digest(np.ascontiguousarray(self.work.slot_f, np.int32)),
        }


@dataclass(frozen=True, eq=False)
class CorpusPlan:
    """All sources, the units they are cut into, and the types of the attributes."""

    sources: list[PlannedSource]
    units: list[Unit]
    attributes: dict[str, tuple[str, pa.DataType]]
    recipe: dict[str, Any]

    @property
    def n_obs(self) -> int:
        """Cells over all sources, before any is dropped."""
        return sum(source.n_obs for source in self.sources)

    def record(self) -> dict[str, Any]:
        """What an interrupted build is compared by."""
        return {"recipe": self.recipe, "sources": [source.record() for source in self.sources]}

    def task(self, unit: Unit) -> ShardTask:
        """A unit with all that it needs."""
        works = {piece.source: self.sources[piece.source].work for piece in unit.pieces}
        masks = []
        for piece in unit.pieces:
            keep = self.sources[piece.source].keep
            masks.append(None if keep is None else np.packbits(_bits(keep, piece.start, piece.stop)))
        return ShardTask(unit, works, tuple(masks))


def plan_corpus(
    specs: Sequence[SourceSpec],
    choices: Choices,
    vocabulary: RankVocabulary,
    aliases: dict[str, str],
    advance: Callable[[int, int], None] | None = None,
) -> CorpusPlan:
    """Look at every source: its genes, its cells and its attributes; no counts but a sample are read.

    Raises
    ------
    GeneError
        Too few of the genes of a source are known.
    OptionError
        An attribute or the filter column is missing or of the wrong kind.
    SourceError, NotCountsError
        A source cannot be read, or is not counts.
    """
    attrs = check_attributes(choices.attrs)
    genes = GeneOptions(
        column=choices.gene_column, aliases=aliases, symbols=choices.symbols, orthologs=choices.orthologs
    )
    qc = None
    if choices.qc is not None:
        from corpuscle.corpus.qc import read_qc

        qc = read_qc(choices.qc)
    planned, types = [], {column: dict[str, pa.DataType]() for column in attrs}
    for place, spec in enumerate(specs):
        counts = opened(spec)
        for column in attrs:
            types[column][counts.name] = attribute_type(counts, column)
        planned.append(_plan_source(spec, counts, choices, vocabulary, genes, qc))
        if advance:
            advance(place + 1, len(specs))
    units = cut([source.n_obs for source in planned], choices.shard_cells)
    attributes = {column: (name, common_type(column, types[column])) for column, name in attrs.items()}
    return CorpusPlan(planned, units, attributes, _recipe(choices, vocabulary, aliases))


def _plan_source(
    spec: SourceSpec, counts: Counts, choices: Choices, vocabulary: RankVocabulary, genes: GeneOptions, qc: Any
) -> PlannedSource:
    plan = plan_genes(counts.var, vocabulary.gene_ids, genes, source=counts.name)
    check_match(plan, _sample(counts), choices.min_match, source=counts.name)
    keep_n, dropped = keep_cells(spec, counts, filter=choices.filter, filter_missing=choices.filter_missing, qc=qc)
    uses_depth = choices.keep_counts or choices.depth == "n_counts"
    stated = uses_depth and Depth(counts, choices.depth).stated
    work = SourcePlan(spec, (counts.n_obs, counts.n_vars), stamp_of(counts), plan.slot_f, plan.collapses)
    keep = None if keep_n.all() else np.packbits(keep_n)
    return PlannedSource(work, keep, dropped, plan.match, "n_counts" if stated else "computed")


def _sample(counts: Counts) -> sp.csr_matrix:
    """Some cells with all of their genes. A source stored by gene has a sample of a few genes, which may all be unknown."""
    x_nf = counts.sources[0].sample()
    if x_nf.shape[0] > SAMPLE_ROWS:
        x_nf = counts.sources[0].rows(0, min(SAMPLE_ROWS, counts.n_obs))
    return x_nf


def _bits(packed: Array, start: int, stop: int) -> Array:
    """Bits ``start`` to ``stop`` of a packed mask."""
    first = start // 8
    return np.unpackbits(packed[first : -(-stop // 8)])[start - 8 * first : stop - 8 * first]


def _digest(values: Array) -> str:
    return xxhash.xxh3_128_hexdigest(values.tobytes())


def _recipe(choices: Choices, vocabulary: RankVocabulary, aliases: Mapping[str, str]) -> dict[str, Any]:
    pairs = "".join(f"{name}\t{gene}\n" for name, gene in sorted(aliases.items()))
    return {
        "corpuscle": __version__,
        "options": {
            **asdict(choices),
            "attrs": [[column, name] for column, name in choices.attrs.items()],
            "aliases": {"names": len(aliases), "sha256": hashlib.sha256(pairs.encode()).hexdigest()},
        },
        "vocabulary": {
            "name": vocabulary.name,
            "sha256": vocabulary.sha256,
            "max_len": vocabulary.max_len,
            "special_token": vocabulary.special_token,
        },
    }

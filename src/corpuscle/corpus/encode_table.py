"""Rank-value tokens as an Arrow table in memory: for notebooks, and for looking at single cells."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from corpuscle.corpus._arrow import corpus_schema, list_array
from corpuscle.corpus._depth import Depth, DepthChoice
from corpuscle.corpus._units import BLOCK_CELLS, SourceSpec, list_sources
from corpuscle.corpus.encode import Encoded, RankEncoder
from corpuscle.corpus.gene_plan import GeneOptions, check_match, plan_genes
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import read_aliases
from corpuscle.counts import Counts
from corpuscle.counts._profile import Block
from corpuscle.counts._source import SAMPLE_ROWS
from corpuscle.counts._threads import map_ordered
from corpuscle.errors import OptionError

__all__ = ["encode"]

Aliases = Mapping[str, str] | str | os.PathLike[str] | None


def encode(
    source: Any,
    *,
    preset: str | None = "geneformer-v1",
    medians: str | os.PathLike[str] | None = None,
    vocab: str | os.PathLike[str] | None = None,
    vocabulary: RankVocabulary | None = None,
    max_len: int | None = None,
    special_token: bool | None = None,
    keep_counts: bool = False,
    layer: str | None = None,
    gene_column: str | None = None,
    aliases: Aliases = None,
    symbols: Literal["auto", "always", "never"] = "auto",
    orthologs: bool = False,
    min_match: float = 0.5,
    depth: DepthChoice = "auto",
    allow_fractional: bool = False,
) -> pa.Table:
    """Encode all cells of a source as rank-value tokens [1]_, in their order, as an Arrow table in memory.

    For more cells than fit, :func:`~corpuscle.corpus.tokenize.tokenize` writes the same rows to disk.

    Parameters
    ----------
    source
        A path, a glob, an AnnData, or a list of them; the cells of several follow each other.
    preset, medians, vocab
        ``"geneformer-v1"``, ``"geneformer-v2"`` or None, and files that replace its medians and tokens.
    vocabulary
        Tokens and medians as an object, instead of the three above.
    max_len, special_token
        Most tokens of a cell, and whether ``<cls>`` and ``<eos>`` frame it; as in the preset by default.
    keep_counts
        Add the column ``counts``.
    layer
        Matrix with the raw counts, instead of the main one.
    gene_column, aliases, symbols, orthologs
        How genes are matched: column of ``var`` with identifiers; other names of genes, as a file or name -> gene;
        whether names are gene symbols; whether mouse genes stand for their human orthologs.
    min_match
        Least share of the counts of the first cells that must lie in genes of the vocabulary.
    depth
        Total that ``counts`` are relative to: column ``n_counts`` where there is one (``"auto"``), always, or the
        ``"computed"`` sum. No token depends on it.
    allow_fractional
        Accept values that are not whole numbers.

    Returns
    -------
    pyarrow.Table
        One row for each cell that has a vocabulary gene: ``input_ids`` (list of int32), ``counts`` (list of float64:
        counts per 10,000 of the gene of each token, if asked for), ``cell`` (its name) and ``length`` (int64). The schema
        metadata ``corpuscle`` is JSON: the vocabulary and, for each source, how many cells were left out for want of a
        vocabulary gene and how its genes matched.

    Raises
    ------
    SourceError, NotCountsError
        A source cannot be read, is not raw counts, or has a wrong depth.
    GeneError
        The genes do not match the vocabulary.
    OptionError
        An option makes no sense.

    References
    ----------
    .. [1] Theodoris et al. Transfer learning enables predictions in network biology. Nature 618 (2023).

    Examples
    --------
    >>> table = encode("study.h5ad")  # doctest: +SKIP
    >>> table["input_ids"][0].as_py()[:5]  # doctest: +SKIP
    """
    if vocabulary is None:
        file = None if isinstance(aliases, Mapping) else aliases
        vocabulary, known = resolve_vocabulary(
            preset,
            medians=_text(medians),
            vocab=_text(vocab),
            aliases=_text(file),
            max_len=max_len,
            special_token=special_token,
        )
    else:
        if medians is not None or vocab is not None:
            raise OptionError("give either a vocabulary or files of one, not both")
        settings: dict[str, Any] = {"max_len": max_len, "special_token": special_token}
        vocabulary = replace(vocabulary, **{name: value for name, value in settings.items() if value is not None})
        known = {} if aliases is None or isinstance(aliases, Mapping) else read_aliases(os.fspath(aliases))
    more = aliases if isinstance(aliases, Mapping) else {}
    genes = GeneOptions(column=gene_column, aliases={**known, **more}, symbols=symbols, orthologs=orthologs)
    job = _Job(vocabulary, genes, min_match, keep_counts, depth)
    parts = [_encode_source(spec, job) for spec in list_sources(source, layer, fractional=allow_fractional)]
    facts = {
        "vocabulary": vocabulary.name,
        "sha256": vocabulary.sha256,
        "max_len": vocabulary.max_len,
        "special_token": vocabulary.special_token,
        "sources": [facts for _, facts in parts],
    }
    table = pa.Table.from_batches([batch for batches, _ in parts for batch in batches], _schema(keep_counts))
    return table.replace_schema_metadata({"corpuscle": json.dumps(facts, sort_keys=True)})


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for all sources."""

    vocabulary: RankVocabulary
    genes: GeneOptions
    min_match: float
    keep_counts: bool
    depth: DepthChoice


def _encode_source(spec: SourceSpec, job: _Job) -> tuple[list[pa.RecordBatch], dict[str, Any]]:
    """Rows of one source, and what there is to say of it."""
    with spec.open() as counts:
        plan = plan_genes(counts.var, job.vocabulary.gene_ids, job.genes, source=counts.name)
        check_match(plan, _first_cells(counts, spec), job.min_match, source=counts.name)
        encoder = RankEncoder(job.vocabulary, plan.slot_f, plan.collapses, keep_counts=job.keep_counts)
        depth = Depth(counts, job.depth) if job.keep_counts else None

        def work(block: Block) -> pa.RecordBatch:
            encoded = encoder.encode(block.x_ng, depth.of(block.x_ng, block.rows) if depth else None)
            return _batch(encoded, counts.obs.index[block.rows][encoded.kept_n])

        batches = list(map_ordered(work, counts.blocks(BLOCK_CELLS, fractional=spec.fractional)))
        facts = {
            "name": spec.name,
            "cells": counts.n_obs,
            "no vocabulary gene": counts.n_obs - sum(batch.num_rows for batch in batches),
            "match": plan.match.to_dict(),
        }
    return batches, facts


def _first_cells(counts: Counts, spec: SourceSpec) -> sp.csr_matrix:
    for block in counts.blocks(SAMPLE_ROWS, stop=min(SAMPLE_ROWS, counts.n_obs), fractional=spec.fractional):
        return block.x_ng
    return sp.csr_matrix((0, counts.n_vars), dtype=np.int32)


def _schema(keep_counts: bool) -> pa.Schema:
    return corpus_schema({"cell": pa.string()}, keep_counts=keep_counts, token_dtype="int32")


def _batch(encoded: Encoded, names: Any) -> pa.RecordBatch:
    columns = [list_array(encoded.input_ids, encoded.offsets, pa.int32())]
    if encoded.counts is not None:
        columns.append(list_array(encoded.counts, encoded.offsets, pa.float64()))
    columns += [pa.array([str(name) for name in names], pa.string()), pa.array(np.diff(encoded.offsets))]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(encoded.counts is not None))


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)

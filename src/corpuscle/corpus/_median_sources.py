"""What is known of the sources of medians before and after their counts are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpuscle.corpus._depth import Depth, DepthChoice
from corpuscle.corpus._fingerprint import source_digest
from corpuscle.corpus._portions import Portion
from corpuscle.corpus._units import BLOCK_CELLS, Piece, SourceSpec, opened
from corpuscle.corpus.gene_plan import GeneOptions, check_match, plan_genes
from corpuscle.corpus.selection import keep_cells
from corpuscle.counts._source import SAMPLE_ROWS
from corpuscle.errors import OptionError

__all__ = ["MedianSource", "plan_sources"]

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class MedianSource:
    """One source: how its genes are matched, which cells are used, and what was read.

    Attributes
    ----------
    spec
        Where it is.
    slot_f, collapses
        Gene of each column or -1, and whether two columns have the same.
    keep_n
        (n,) cells to use.
    record
        What the recipe says of it.
    blocks
        First row -> digest of each block read so far.
    """

    spec: SourceSpec
    slot_f: Array
    collapses: bool
    keep_n: Array
    record: dict[str, Any]
    blocks: dict[int, str] = field(default_factory=dict)

    def portions(self, place: int, depth: DepthChoice, unit_cells: int) -> list[Portion]:
        """All of its cells, ``unit_cells`` at a time; ``place`` is its own in the list of sources."""
        n = self.keep_n.size
        return [
            Portion(
                self.spec,
                Piece(place, start, min(start + unit_cells, n)),
                self.slot_f,
                self.collapses,
                self.keep_n[start : start + unit_cells],
                depth,
            )
            for start in range(0, n, unit_cells)
        ]

    def finished_record(self) -> dict[str, Any]:
        """With the fingerprint, once all blocks are read."""
        counts = opened(self.spec)
        return self.record | {"fingerprint": source_digest(counts.obs.index, counts.var_names, self.blocks)}


def plan_sources(
    specs: Sequence[SourceSpec],
    gene_ids: Sequence[str],
    options: GeneOptions,
    *,
    depth: DepthChoice,
    filter: str | None,
    qc: Any,
    min_match: float,
) -> list[MedianSource]:
    """Look at the names of genes and cells of every source, and at a sample of its counts.

    Raises
    ------
    GeneError
        Too few of the genes of a source are known.
    OptionError
        A column is missing, or no cell is left.
    NotCountsError, SourceError
        The sample is not counts, or a source cannot be read.
    """
    if qc is not None:
        from corpuscle.corpus.qc import read_qc

        qc = read_qc(qc)
    columns: dict[bytes, Array] = {}  # files of one study have the same genes
    out = []
    for spec in specs:
        counts = opened(spec)
        keep_n, dropped = keep_cells(spec, counts, filter=filter, qc=qc)
        plan = plan_genes(counts.var, gene_ids, options, source=counts.name)
        if counts.n_obs:
            rows = min(SAMPLE_ROWS, BLOCK_CELLS, counts.n_obs)
            sample = next(counts.blocks(rows, stop=rows, fractional=spec.fractional))
            check_match(plan, sample.x_ng, min_match, source=counts.name)
        slot_f = np.ascontiguousarray(plan.slot_f, np.int32)
        record = {
            "name": spec.name,
            "layer": spec.layer,
            "cells": int(np.count_nonzero(keep_n)),
            "cells_total": counts.n_obs,
            "dropped": dict(dropped),
            "depth": "n_counts" if Depth(counts, depth).stated else "computed",
            "match": plan.match.to_dict(),
        }
        slot_f = columns.setdefault(hashlib.sha256(slot_f.tobytes()).digest(), slot_f)
        out.append(MedianSource(spec, slot_f, plan.collapses, keep_n, record))
    _refuse_nothing(out, filter, qc)
    return out


def _refuse_nothing(sources: Sequence[MedianSource], filter: str | None, qc: Any) -> None:
    if any(source.record["cells"] for source in sources):
        return
    where = sources[0].spec.name + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")
    by = " and ".join(
        text for text, used in ((f"the filter column {filter!r}", filter), ("quality control", qc)) if used
    )
    total = sum(source.record["cells_total"] for source in sources)
    if not total:
        raise OptionError(f"{where}: there are no cells; check the path")
    raise OptionError(f"{where}: none of the {total:,} cells is kept by {by}; check it, or leave it out")


def options_record(options: GeneOptions, others: Mapping[str, Any]) -> dict[str, Any]:
    """All choices that medians depend on."""
    pairs = "".join(f"{name}\t{gene}\n" for name, gene in sorted(options.aliases.items()))
    return dict(others) | {
        "gene_column": options.column,
        "symbols": options.symbols,
        "orthologs": options.orthologs,
        "aliases": {"names": len(options.aliases), "sha256": hashlib.sha256(pairs.encode()).hexdigest()},
    }

"""What is in a source: one pass that refuses nothing and tells what to know before running a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from corpuscle.counts._counts import Counts
from corpuscle.counts._inspect_advice import Finding, Names, Use, findings, uses
from corpuscle.counts._inspect_bulk import BulkFile, bulk_file
from corpuscle.counts._open import open_counts
from corpuscle.counts._profile import Block, summarise
from corpuscle.counts.genes import (
    GeneTable,
    IdentifierKind,
    SpeciesGuess,
    guess_species,
    identifier_kind,
    mitochondrial,
    reporter_genes,
    strip_version,
)
from corpuscle.counts.verdict import CountsVerdict, VerdictSummary
from corpuscle.errors import CorpuscleError

__all__ = ["Duplicates", "IdMapping", "Inspection", "inspect_counts"]

Array = np.ndarray[Any, Any]

PERCENTS = (0, 5, 25, 50, 75, 95, 100)
#: Verdicts whose cell totals are a depth.
COUNT_LIKE = frozenset({"counts", "imitated counts", "estimated counts"})
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl", "feature_id", "Accession")
#: Light chains, and the genes that find B cells without looking at any immunoglobulin.
LIGHT_CHAINS = ("IGKC", *(f"IGLC{i}" for i in range(1, 8)))
B_CELL_MARKERS = ("CD79A", "MS4A1", "CD79B", "BANK1", "CD19")
NAMES_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Names that occur more than once: how many distinct ones, and the first few."""

    n: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdMapping:
    """How well gene names lead to human Ensembl ids.

    Attributes
    ----------
    share_genes, share_counts
        Share of the genes, and of all counts (NaN if they are none), that map to one id.
    n_ambiguous, n_unmapped
        Genes that could be several ids, and genes that are none.
    examples_unmapped
        The first few of the latter.
    """

    share_genes: float
    share_counts: float
    n_ambiguous: int
    n_unmapped: int
    examples_unmapped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What :func:`inspect_counts` found.

    Attributes
    ----------
    name
        The source.
    files
        Path of each file (empty for a matrix in memory).
    n_obs, n_vars
        Cells and genes.
    layout, dtype, layers
        How the values are stored, and which other matrices there are.
    verdict
        Whether they are raw counts, with the evidence.
    counts_layers
        Layers whose first cells look like raw counts, looked for only if the matrix itself is none.
    identifiers, id_column, species
        Kind of the gene names, the column of gene ids if there is one, and the species.
    depth, genes, mitochondrial_share
        Percentile -> value over cells: total counts, detected genes, share of counts in mitochondrial genes (cells
        without counts left out). None where undefined.
    n_mitochondrial_genes
        Mitochondrial genes among the names.
    sparsity
        Share of zeros in the matrix.
    empty_cells, empty_genes
        Cells without any positive value and genes without any.
    duplicate_genes, duplicate_cells
        Names that are not unique.
    reporters
        Names that look like transgenes.
    light_chains, b_cell_markers
        Light-chain genes and B-cell markers -> cells in which they are detected.
    n_b_cells
        Cells in which two or more B-cell markers are detected.
    id_mapping
        For human sources, how well the names lead to Ensembl ids; else None.
    bulk
        Of a file of ARCHS4, its layout, poor samples and missing fields; else None.
    findings
        What is wrong or remarkable, worst first.
    uses
        What can be done with it.
    """

    name: str
    files: tuple[str, ...]
    n_obs: int
    n_vars: int
    layout: str
    dtype: str
    layers: tuple[str, ...]
    verdict: CountsVerdict
    counts_layers: tuple[str, ...]
    identifiers: IdentifierKind
    id_column: str | None
    species: SpeciesGuess
    depth: dict[str, float] | None
    genes: dict[str, float] | None
    mitochondrial_share: dict[str, float] | None
    n_mitochondrial_genes: int
    sparsity: float
    empty_cells: int
    empty_genes: int
    duplicate_genes: Duplicates
    duplicate_cells: Duplicates
    reporters: tuple[str, ...]
    light_chains: dict[str, int]
    b_cell_markers: dict[str, int]
    n_b_cells: int
    id_mapping: IdMapping | None
    bulk: BulkFile | None
    findings: tuple[Finding, ...]
    uses: tuple[Use, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None."""
        out = asdict(self)
        out["species"] = self.species._asdict()
        return _plain(out)


def inspect_counts(
    source: Any, layer: str | None = None, *, progress: Callable[[int, int, str], None] | None = None
) -> Inspection:
    """Look at a source in one pass; what is not raw counts is described, not refused.

    Parameters
    ----------
    source
        Whatever :func:`corpuscle.open_counts` takes: a path, glob, list or AnnData.
    layer
        Which matrix of it.
    progress
        Called with (cells done, cells in all, name of the source) after each block.

    Raises
    ------
    SourceError
        The source cannot be read.
    """
    with open_counts(source, layer=layer, check=False) as counts:
        genes = _GeneFacts(counts)
        verdict_of = VerdictSummary(counts.obs.index, counts.var_names)
        seen = _SeenSummary(counts.n_obs, counts.n_vars, genes.mitochondrial_g, genes.marker_g)
        summarise(_canonical(counts, progress), verdict_of, seen)
        verdict = verdict_of.finish()
        layers = counts.sources[0].layers
        others = () if verdict.is_counts else _layers_of_counts(source, layers)
        return _assemble(counts, genes, verdict, verdict_of, seen, others)


def _canonical(counts: Counts, progress: Callable[[int, int, str], None] | None) -> Iterator[Block]:
    """Yield the stored blocks with repeated entries added up."""
    for block in counts.raw_blocks():
        if block.x_ng.has_canonical_format:
            yield block
        else:
            x_ng = block.x_ng.copy()
            x_ng.sum_duplicates()
            yield Block(x_ng, block.rows, block.source)
        if progress is not None:
            progress(block.rows.stop, counts.n_obs, counts.name)


def _layers_of_counts(source: Any, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Find the layers whose first cells look like raw counts."""
    found = []
    for layer in layers:
        try:
            with open_counts(source, layer=layer, check=False) as counts:
                x_ng = counts.sources[0].sample()
        except CorpuscleError:  # a layer of text, or one that another source lacks: no way out
            continue
        summary = VerdictSummary(range(x_ng.shape[0]), range(x_ng.shape[1]))
        summary.update(Block(x_ng, slice(0, x_ng.shape[0]), layer))
        if summary.finish().is_counts:
            found.append(layer)
    return tuple(found)


class _GeneFacts:
    """What the gene table says before any value is read."""

    def __init__(self, counts: Counts) -> None:
        self.names = [str(name) for name in counts.var_names]
        self.identifiers = identifier_kind(self.names)
        self.id_column, ids = _id_column(counts.var)
        self.species = guess_species(self.names)
        if ids is not None and self.species.species == "undetermined":
            self.species = guess_species(ids)
        self.mitochondrial_g = mitochondrial(self.names)
        if ids is not None:
            self.mitochondrial_g |= mitochondrial(ids)
        self.mapping = None
        self.symbols = self.names
        if self.species.species == "human":
            table = GeneTable.human()
            own = self.names if ids is None else [i or name for i, name in zip(ids, self.names, strict=True)]
            self.mapping = table.symbols_to_ids(own)
            symbols = table.ids_to_symbols(self.names).mapped
            self.symbols = [symbol or name for symbol, name in zip(symbols, self.names, strict=True)]
        self.every_name = frozenset((*self.names, *self.symbols, *map(strip_version, ids or ())))
        self.marker_g = np.isin(self.symbols, B_CELL_MARKERS)

    def id_mapping(self, total_g: Array | None) -> IdMapping | None:
        """Sum up the mapping, given the counts of each gene if the values are counts."""
        if self.mapping is None:
            return None
        mapped = np.array([target is not None for target in self.mapping.mapped], bool)
        unmapped = self.mapping.unmapped
        total = 0.0 if total_g is None else float(total_g.sum())
        return IdMapping(
            share_genes=self.mapping.share,
            share_counts=float(total_g[mapped].sum() / total) if total_g is not None and total > 0 else float("nan"),
            n_ambiguous=int((~mapped).sum()) - len(unmapped),
            n_unmapped=len(unmapped),
            examples_unmapped=tuple(unmapped[:5]),
        )


def _id_column(var: pd.DataFrame) -> tuple[str | None, list[str] | None]:
    for column in ID_COLUMNS:
        if column in var:
            ids = ["" if value is None or value != value else str(value) for value in var[column]]
            shares = identifier_kind(ids).shares
            if sum(share for kind, share in shares.items() if kind.startswith(("Ensembl id", "TAIR"))) >= 0.5:
                return column, ids
    return None, None


class _SeenSummary:
    """Mergeable summary of what the verdict leaves out: mitochondrial counts and markers by cell, detection by gene."""

    def __init__(self, n_obs: int, n_vars: int, mitochondrial_g: Array, marker_g: Array) -> None:
        self.mitochondrial_g, self.marker_g = mitochondrial_g.astype(np.float64), marker_g.astype(np.float64)
        self.mitochondrial_n = np.zeros(n_obs)
        self.markers_n = np.zeros(n_obs, np.int8)
        self.cells_g = np.zeros(n_vars, np.int64)
        self.total_g = np.zeros(n_vars)

    def update(self, block: Block) -> None:
        """Add the cells of one block."""
        x_ng = block.x_ng
        data = x_ng.data
        positive = data > 0
        n_vars = self.cells_g.size
        self.cells_g += np.bincount(x_ng.indices[positive], minlength=n_vars)
        self.total_g += np.bincount(x_ng.indices[positive], weights=data[positive], minlength=n_vars)
        if self.mitochondrial_g.any():
            self.mitochondrial_n[block.rows] += x_ng @ self.mitochondrial_g
        if self.marker_g.any():
            row = np.repeat(np.arange(x_ng.shape[0]), np.diff(x_ng.indptr))
            marked = positive & self.marker_g[x_ng.indices].astype(bool)
            self.markers_n[block.rows] += np.bincount(row[marked], minlength=x_ng.shape[0]).astype(np.int8)

    def merge(self, other: Self) -> None:
        """Add what another summary of the same cells x genes has seen."""
        self.mitochondrial_n += other.mitochondrial_n
        self.markers_n += other.markers_n
        self.cells_g += other.cells_g
        self.total_g += other.total_g

    def finish(self) -> Self:
        """Itself: its fields are the answer."""
        return self


def _assemble(
    counts: Counts,
    genes: _GeneFacts,
    verdict: CountsVerdict,
    by_cell: VerdictSummary,
    seen: _SeenSummary,
    counts_layers: tuple[str, ...],
) -> Inspection:
    source = counts.sources[0]
    depth_n, genes_n = by_cell.total_n, by_cell.positive_n
    filled = depth_n > 0
    count_like = verdict.verdict in COUNT_LIKE
    mitochondrial_n = seen.mitochondrial_n[filled] / depth_n[filled]
    detected = _detected(genes.symbols, seen.cells_g)
    inspection = Inspection(
        name=counts.name,
        files=tuple(str(one.path) for one in counts.sources if one.path is not None),
        n_obs=counts.n_obs,
        n_vars=counts.n_vars,
        layout=source.layout,
        dtype=str(source.dtype),
        layers=source.layers,
        verdict=verdict,
        counts_layers=counts_layers,
        identifiers=genes.identifiers,
        id_column=genes.id_column,
        species=genes.species,
        depth=_quantiles(depth_n) if count_like else None,
        genes=_quantiles(genes_n) if verdict.verdict not in ("scaled", "not finite") else None,
        mitochondrial_share=_quantiles(mitochondrial_n) if count_like and genes.mitochondrial_g.any() else None,
        n_mitochondrial_genes=int(genes.mitochondrial_g.sum()),
        sparsity=1 - verdict.n_values / (counts.n_obs * counts.n_vars),
        empty_cells=int((genes_n == 0).sum()),
        empty_genes=int((seen.cells_g == 0).sum()),
        duplicate_genes=_duplicates(counts.var_names),
        duplicate_cells=_duplicates(counts.obs.index),
        reporters=tuple(np.array(genes.names, object)[reporter_genes(genes.names)]),
        light_chains={gene: detected[gene] for gene in LIGHT_CHAINS if gene in detected},
        b_cell_markers={gene: detected[gene] for gene in B_CELL_MARKERS if gene in detected},
        n_b_cells=int((seen.markers_n >= 2).sum()),
        id_mapping=genes.id_mapping(seen.total_g if count_like else None),
        bulk=bulk_file(counts, depth_n, genes_n),
        findings=(),
        uses=(),
    )
    cells = [str(cell) for cell in counts.obs.index[:NAMES_LOOKED_AT]]
    names = Names(cells, identifier_kind(cells), genes.every_name, counts.uns)
    return replace(inspection, findings=findings(inspection, names), uses=uses(inspection, names))


def _detected(symbols: list[str], cells_g: Array) -> dict[str, int]:
    """Gene -> cells in which it is detected; the better one where a symbol is there twice."""
    out: dict[str, int] = {}
    for symbol, n in zip(symbols, cells_g.tolist(), strict=True):
        out[symbol] = max(n, out.get(symbol, 0))
    return out


def _quantiles(values: Array) -> dict[str, float] | None:
    if not values.size:
        return None
    return {str(p): float(q) for p, q in zip(PERCENTS, np.percentile(values, PERCENTS), strict=True)}


def _duplicates(names: pd.Index) -> Duplicates:
    repeated = names[names.duplicated()].unique()
    return Duplicates(len(repeated), tuple(str(name) for name in repeated[:5]))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

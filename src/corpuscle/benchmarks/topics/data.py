"""Sources to data sets: the same genes for every method, as counts and as logs, the labels apart."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.benchmarks._provenance import sha256
from corpuscle.benchmarks._sources import Unread, each_data_set
from corpuscle.benchmarks.clustering.methods import Cells, cells_of
from corpuscle.benchmarks.topics.options import LABELS, Options
from corpuscle.counts.genes import as_symbols
from corpuscle.errors import MethodError, OptionError
from corpuscle.models._expression import highly_variable, log_normalise
from corpuscle.normalize._aligned import unique_names

__all__ = ["DataSet", "TopicCells", "data_sets", "topic_cells"]

Array = np.ndarray[Any, Any]
#: The name under which means over all data sets are in the tidy table.
ALL = "all"
#: Cells are scaled to this sum, over all of their genes, before the logarithm.
TARGET_SUM = 1e4


@dataclass(frozen=True, kw_only=True)
class TopicCells(Cells):
    """One data set over the genes that topics are made of: each method takes the counts or the logs.

    Attributes
    ----------
    log_ng
        (n, g) float32 CSR, log(1 + counts per 10,000 of all of the cell's genes), same cells and genes as
        ``counts_ng``.
    """

    log_ng: sp.csr_matrix


@dataclass(frozen=True)
class DataSet:
    """A data set ready for every method.

    Attributes
    ----------
    cells
        What methods see.
    labels_n
        (n,) type of each cell as text, or None.
    path, sha256
        Where it came from; checksum of the file, empty for an object in memory.
    content
        Digest of all that methods and scores see.
    unlabelled
        Why there are no labels; empty if there are.
    notes
        What was left out, in sentences.
    """

    cells: TopicCells
    labels_n: Array | None
    path: str
    sha256: str
    content: str
    unlabelled: str
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.cells.name


def data_sets(sources: Sequence[Any], options: Options) -> Iterator[DataSet | Unread]:
    """Open each file or AnnData in turn; one that cannot be read does not stop the others."""
    return each_data_set(sources, ALL, lambda name, item: _data_set(name, item, options))


def _data_set(name: str, item: Any, options: Options) -> DataSet:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cells, labels_n, unlabelled = _read(item, options)
        cells = replace(cells, name=name)
        chosen, kept_n = topic_cells(cells, options.n_top_genes)
    if labels_n is not None:
        labels_n = labels_n[kept_n]
    is_file = isinstance(item, Path)
    return DataSet(
        chosen,
        labels_n,
        path=str(item) if is_file else name,
        sha256=sha256(item) if is_file else "",
        content=_content(chosen, labels_n),
        unlabelled=unlabelled,
        notes=tuple(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning)),
    )


def _read(item: Any, options: Options) -> tuple[Cells, Array | None, str]:
    """Cells, labels, and why there are none."""
    keys: dict[str, Any] = {"layer": options.layer, "batch": options.batch_key, "view": options.view_key}
    if options.labels is None:
        return *cells_of(item, **keys), "no column of labels was named"
    try:
        return *cells_of(item, labels=options.labels, **keys), ""
    except OptionError as error:
        if options.labels != LABELS:
            raise
        cells, _ = cells_of(item, **keys)  # where it was another key that is missing, this raises again
        return cells, None, str(error)


def topic_cells(cells: Cells, n_top_genes: int | None) -> tuple[TopicCells, Array]:
    """Choose the genes, and leave out cells that express none of them.

    Human Ensembl ids become symbols, since gene sets speak of symbols. Genes are chosen by the dispersion of their log
    values, within batches where there are any; one that no cell expresses is never chosen.

    Returns
    -------
    cells, kept_n
        (n,) bool: which of the given cells are left.

    Raises
    ------
    MethodError
        No cell expresses a chosen gene.
    """
    genes = as_symbols(list(cells.genes))
    if genes != list(cells.genes):
        genes = [str(name) for name in unique_names(pd.Index(genes, dtype=object))]
    log_ng = log_normalise(cells.counts_ng, TARGET_SUM)
    chosen = highly_variable(log_ng, n_top_genes, cells.batch_n)
    counts_ng, log_ng = cells.counts_ng[:, chosen], log_ng[:, chosen]
    kept_n = np.diff(counts_ng.indptr) > 0
    if not kept_n.any():
        raise MethodError(f"{cells.name}: no cell has a count in any of the {chosen.size:,} chosen genes")
    if not kept_n.all():
        left_out = int((~kept_n).sum())
        warnings.warn(
            f"{cells.name}: {left_out:,} of {kept_n.size:,} cells have no count in the {chosen.size:,} chosen genes and "
            "were left out",
            UserWarning,
            stacklevel=2,
        )
    return TopicCells(
        cells.name,
        counts_ng[kept_n].tocsr(),
        [str(genes[i]) for i in chosen],
        None if cells.batch_n is None else cells.batch_n[kept_n],
        None if cells.view_ne is None else cells.view_ne[kept_n],
        log_ng=log_ng[kept_n].tocsr(),
    ), kept_n


def _content(cells: TopicCells, labels_n: Array | None) -> str:
    words = [
        *cells.genes,
        "",
        *(() if labels_n is None else labels_n),
        "",
        *(cells.batch_n if cells.batch_n is not None else ()),
    ]
    digest = hashlib.sha256("\0".join(map(str, words)).encode())
    arrays = (cells.counts_ng.data, cells.counts_ng.indices, cells.counts_ng.indptr, cells.log_ng.data, cells.view_ne)
    for array in arrays:
        digest.update(b"\1" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

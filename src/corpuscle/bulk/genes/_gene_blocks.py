"""All samples of a few genes at a time, of counts that are stored sample by sample."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.counts import Counts
from corpuscle.counts._passes import Progress
from corpuscle.normalize import Normalizer
from corpuscle.normalize._stream import map_values

__all__ = ["BUDGET", "gene_blocks"]

Array = np.ndarray[Any, Any]
#: Bytes of values held at a time.
BUDGET = 512 * 2**20
#: Bytes of a block of genes where all are in memory already.
PIECE = 32 * 2**20
#: Room that stays free beside the transposed copy.
SPARE = 2**30


def gene_blocks(
    counts: Counts,
    method: Normalizer,
    genes: Array,
    *,
    budget: int = BUDGET,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Array, Array]]:
    """Yield (positions of genes (b,), their float32 values (b, n)) until all genes were had.

    What fits into the budget is held in memory. Else one pass over the samples writes a transposed copy, n x genes x 4 bytes,
    to a scratch folder that vanishes afterwards; where the disk has no room for it, the samples are passed over once for every
    block of genes. The values are the same.

    Parameters
    ----------
    genes
        Positions of the genes wanted.
    budget
        Bytes of values held at a time; a block, what is made of it and the next one share them.
    scratch
        Where the transposed copy goes; the system's folder for temporary files by default.
    """
    n = counts.n_obs
    if n * genes.size * 4 <= budget:
        value_ng = _read(counts, method, genes, progress)
        width = max(1, PIECE // (4 * n))
        for first in range(0, genes.size, width):
            part = slice(first, first + width)
            yield genes[part], np.ascontiguousarray(value_ng[:, part].T)
        return
    width = max(1, budget // (3 * 4 * n))
    blocks = [genes[first : first + width] for first in range(0, genes.size, width)]
    with tempfile.TemporaryDirectory(prefix="corpuscle-genes-", dir=scratch) as folder:
        if shutil.disk_usage(folder).free > 4 * n * genes.size + SPARE:
            yield from _transposed(counts, method, blocks, Path(folder) / "values", progress)
            return
    for block in blocks:
        yield block, np.ascontiguousarray(_read(counts, method, block, progress).T)


def _read(counts: Counts, method: Normalizer, genes: Array, progress: Progress | None) -> Array:
    """(n, b) values in one pass."""
    value_nb = np.empty((counts.n_obs, genes.size), np.float32)
    for values, rows in _blocks_of(counts, method, genes, progress):
        value_nb[rows] = values
    return value_nb


def _transposed(
    counts: Counts, method: Normalizer, blocks: list[Array], path: Path, progress: Progress | None
) -> Iterator[tuple[Array, Array]]:
    """One pass writes the genes of each block together, n x b; then block after block is read."""
    n, genes = counts.n_obs, np.concatenate(blocks)
    edges = np.cumsum([0, *(block.size for block in blocks)])
    with path.open("w+b") as file:
        for values, rows in _blocks_of(counts, method, genes, progress):
            for first, last in pairwise(edges):
                file.seek(4 * int(n * first + rows.start * (last - first)))
                file.write(np.ascontiguousarray(values[:, first:last]).data)
        for block, first in zip(blocks, edges[:-1], strict=True):
            file.seek(4 * int(n * first))
            value_nb = np.fromfile(file, np.float32, n * block.size).reshape(n, block.size)
            yield block, np.ascontiguousarray(value_nb.T)


def _blocks_of(
    counts: Counts, method: Normalizer, genes: Array, progress: Progress | None
) -> Iterator[tuple[Array, slice]]:
    everything = genes.size == counts.n_vars and bool((np.diff(genes) == 1).all())
    yield from map_values(
        counts, method, _with_places, genes=None if everything else genes, progress=progress, what="samples: by gene"
    )


def _with_places(value_ng: Array, rows: slice) -> tuple[Array, slice]:
    return value_ng, rows

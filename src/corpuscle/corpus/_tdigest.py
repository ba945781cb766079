"""Medians by t-digests, one a gene: the sketch behind the published medians, for comparison with them.

T. Dunning and O. Ertl, Computing extremely accurate quantiles using t-digests, 2019; as used by Theodoris et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from corpuscle.corpus._exact import block_values
from corpuscle.corpus._fingerprint import block_digest
from corpuscle.corpus._portions import Portion, blocks_to_do, gene_block
from corpuscle.counts._workers import Workers
from corpuscle.errors import MethodError

__all__ = ["digest_type", "tdigest_medians"]

Array = np.ndarray[Any, Any]
#: Gene -> its digest.
Digests = dict[int, Any]


def digest_type() -> Any:
    """The class of a t-digest.

    Raises
    ------
    MethodError
        The package that has it is not installed.
    """
    try:
        from crick import TDigest
    except ImportError:
        raise MethodError("the method tdigest needs the package crick: pip install 'corpuscle[tdigest]'") from None
    return TDigest


def tdigest_medians(
    crew: Workers,
    portions: list[Portion],
    n_genes: int,
    note: Callable[[Portion, dict[int, str]], None],
) -> tuple[Array, Array]:
    """(g,) medians, NaN for a gene without values, and (g,) numbers of values.

    Digests of the pieces of a source are merged into those of the source, and these, source by source, into the total.
    What comes out depends on that split.

    Parameters
    ----------
    crew, portions
        Who reads what.
    n_genes
        Number of genes.
    note
        Told the digests of the blocks of each portion.
    """
    total: Digests = {}
    own: Digests = {}
    n_g = np.zeros(n_genes, np.int64)
    before: int | None = None
    parts = crew.map(partial(_digests, n_genes=n_genes), portions)
    for portion, (digests, blocks, seen_g) in zip(portions, parts, strict=True):
        if portion.piece.source != before:
            _merge(total, own)
            own, before = {}, portion.piece.source
        _merge(own, digests)
        note(portion, blocks)
        n_g += seen_g
    _merge(total, own)
    medians_g = np.full(n_genes, np.nan)
    for gene, digest in total.items():
        medians_g[gene] = digest.quantile(0.5)
    return medians_g, n_g


def _merge(into: Digests, other: Digests) -> None:
    for gene, digest in other.items():
        if gene in into:
            into[gene].merge(digest)
        else:
            into[gene] = digest


def _digests(portion: Portion, n_genes: int) -> tuple[Digests, dict[int, str], Array]:
    """Digest of each gene, of each block read, and the number of values of each gene."""
    make = digest_type()
    digests: Digests = {}
    blocks: dict[int, str] = {}
    n_g = np.zeros(n_genes, np.int64)
    for _, depth, block in blocks_to_do([portion]):
        blocks[block.rows.start] = block_digest(block.x_ng)
        slots, values = block_values(gene_block(portion, depth, block, n_genes))
        for gene, own in _by_gene(slots, values):
            if gene not in digests:
                digests[gene] = make()
            digests[gene].update(own)
            n_g[gene] += own.size
    return digests, blocks, n_g


def _by_gene(slots: Array, values: Array) -> Iterator[tuple[int, Array]]:
    """Each gene with its values, in the order of the cells."""
    order = np.argsort(slots, kind="stable")
    slots, values = slots[order], values[order]
    bounds = np.flatnonzero(np.diff(slots, prepend=-1, append=-1)) if slots.size else np.zeros(1, np.int64)
    for first, stop in pairwise(bounds.tolist()):
        yield int(slots[first]), values[first:stop]

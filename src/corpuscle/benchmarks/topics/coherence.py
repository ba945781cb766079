"""Topic coherence: whether a topic's genes are known to belong together, by the gene sets that name both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.benchmarks.topics.diversity import n_places
from corpuscle.benchmarks.topics.gene_sets import GeneSets

__all__ = ["Coherence", "topic_coherence"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Coherence:
    """The coherence of a model's topics.

    Attributes
    ----------
    value
        Mean over topics; NaN without a topic or a pair.
    of_topic
        Coherence of each topic, (k,).
    covered
        Share of all gene pairs of which both genes are in some set; a low share makes any model incoherent.
    together
        Share of all gene pairs that some set holds both of.
    """

    value: float
    of_topic: Array
    covered: float
    together: float


def topic_coherence(
    top: Sequence[Sequence[str]],
    gene_sets: GeneSets | Mapping[str, Sequence[str]],
    n_genes: int | None = None,
) -> Coherence:
    r"""Mean normalised pointwise mutual information of the gene pairs of each topic, with gene sets as documents.

    .. math:: \mathrm{NPMI}(a,b) = \frac{\ln p(a,b) - \ln p(a) - \ln p(b)}{-\ln p(a,b)}

    where :math:`p` is the share of the sets that hold the gene or both genes. A pair that no set holds, one with an
    unknown gene and one that a topic could not fill all count 0 and not -1, as in the published number (TC of scE2TM,
    Chen et al., arXiv 2507.08355; NPMI: Bouma 2009). A pair that every set holds counts 1, the limit.

    Parameters
    ----------
    top
        Genes of each topic.
    gene_sets
        The reference corpus.
    n_genes
        Genes a topic should have; the longest list by default.
    """
    sets = gene_sets.sets if isinstance(gene_sets, GeneSets) else gene_sets
    places = n_places(top, n_genes)
    n_pairs = places * (places - 1) // 2
    names = sorted({gene for genes in top for gene in genes})
    row_of = {gene: row for row, gene in enumerate(names)}
    together_gg = _co_occurrence(sets, row_of)
    of_topic, covered, together = np.full(len(top), np.nan), 0, 0
    for k, genes in enumerate(top):
        index = [row_of[gene] for gene in genes]
        both = together_gg[index][:, index].toarray()
        once_t = both.diagonal()
        upper = np.triu_indices(len(index), 1)
        npmi, seen = _npmi(both[upper], once_t[upper[0]], once_t[upper[1]], len(sets))
        covered += int(((once_t[upper[0]] > 0) & (once_t[upper[1]] > 0)).sum())
        together += seen
        if n_pairs:
            of_topic[k] = npmi / n_pairs
    all_pairs = n_pairs * len(top)
    if not all_pairs:
        return Coherence(float("nan"), of_topic, float("nan"), float("nan"))
    return Coherence(float(of_topic.mean()), of_topic, covered / all_pairs, together / all_pairs)


def _co_occurrence(sets: Mapping[str, Sequence[str]], row_of: Mapping[str, int]) -> sp.csr_matrix:
    """Sets that hold both of two listed genes, (listed, listed); on the diagonal those that hold the one."""
    rows, columns = [], []
    for column, genes in enumerate(sets.values()):
        found = {row_of[gene] for gene in genes if gene in row_of}
        rows += sorted(found)
        columns += [column] * len(found)
    there_gs = sp.csr_matrix((np.ones(len(rows), np.int64), (rows, columns)), shape=(len(row_of), max(1, len(sets))))
    return (there_gs @ there_gs.T).tocsr()


def _npmi(both_p: Array, a_p: Array, b_p: Array, n_sets: int) -> tuple[float, int]:
    """Sum of the NPMI over pairs, and how many pairs a set holds."""
    seen = both_p > 0
    both, a, b = both_p[seen] / n_sets, a_p[seen] / n_sets, b_p[seen] / n_sets
    always = both_p[seen] == n_sets
    with np.errstate(divide="ignore", invalid="ignore"):
        value_p = np.where(always, 1.0, np.log(both / (a * b)) / -np.log(both))
    return float(value_p.sum()), int(seen.sum())

"""Topic diversity: how little topics repeat each other's genes; and topic quality, its product with coherence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from corpuscle.errors import OptionError

__all__ = ["Kind", "topic_diversity", "topic_quality"]

Kind = Literal["once", "unique"]


def topic_diversity(top: Sequence[Sequence[str]], kind: Kind = "once", n_genes: int | None = None) -> float:
    """Share of the places in the topics' gene lists that are not repetitions.

    Genes are compared as whole symbols: HLA-A and HLA-B differ, as do MT-CO1 and MT-CO2.

    Parameters
    ----------
    top
        Genes of each topic.
    kind
        ``"once"``: places whose gene is in no other list, over all places (published as TD by scE2TM, Chen et al.,
        arXiv 2507.08355). ``"unique"``: different genes over all places (Dieng et al. 2020, TACL 8:439), which is never
        smaller.
    n_genes
        Places a topic; the longest list by default. A place that a topic could not fill is never diverse.

    Returns
    -------
    float
        0 to 1; NaN where there is no place.

    Raises
    ------
    OptionError
        No such kind, or a list that is longer than ``n_genes``.
    """
    if kind not in get_args(Kind):
        raise OptionError(f"kind of diversity {kind!r} is unknown; use one of {', '.join(get_args(Kind))}")
    places = n_places(top, n_genes)
    if not places:
        return float("nan")
    times = Counter(gene for genes in top for gene in genes)
    counted = len(times) if kind == "unique" else sum(n == 1 for n in times.values())
    return counted / (places * len(top))


def topic_quality(coherence: float, diversity: float) -> float:
    """Coherence times diversity, published as TQ; NaN if either is."""
    return coherence * diversity


def n_places(top: Sequence[Sequence[str]], n_genes: int | None) -> int:
    """Places of each topic's list."""
    longest = max((len(genes) for genes in top), default=0)
    if n_genes is not None and n_genes < longest:
        raise OptionError(f"a topic lists {longest} genes, more than the {n_genes} places it has")
    return longest if n_genes is None else n_genes

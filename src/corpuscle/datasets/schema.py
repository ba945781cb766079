"""What a coregulation file must hold, and the gene pairs it declares as truth.

One file is one capture: raw UMI counts (CSR, int32, cells x genes), ``obs["total_counts"]`` and ``obs["n_genes"]``,
``var["gene_id"]``, five descriptive strings in ``uns``, and at least one pair under ``uns["reporters"]`` (expected
positive) or ``uns["exclusion_pairs"]`` (expected negative).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from corpuscle.counts import Counts
from corpuscle.errors import GeneError, SourceError

__all__ = ["DESCRIPTION_FIELDS", "Pair", "pairs_to_uns", "read_pairs", "resolve_pair", "text"]

#: Strings that every file carries in ``uns``.
DESCRIPTION_FIELDS = ("sample_id", "series_id", "species", "tissue", "platform")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two genes whose correlation has a sign that biology fixes.

    Attributes
    ----------
    name
        Its key in ``uns``: the reporter's name, or ``A_vs_B``.
    kind
        ``"reporter"``: a reporter gene driven by the target's promoter, expected positive. ``"exclusion"``: two genes
        of which a cell uses one, expected negative.
    gene_a, gene_b
        Gene names: reporter and target, or the two that exclude each other.
    id_a, id_b
        Gene ids, with or without version; ``""`` where not stated.
    construct
        The reporter's construct, in words, or the mechanism of the exclusion.
    """

    name: str
    kind: Literal["reporter", "exclusion"]
    gene_a: str
    gene_b: str
    id_a: str = ""
    id_b: str = ""
    construct: str = ""

    @property
    def sign(self) -> int:
        """Expected sign of the correlation: +1 for a reporter, -1 for an exclusion."""
        return 1 if self.kind == "reporter" else -1

    @property
    def genes(self) -> tuple[str, str]:
        """Both gene names."""
        return self.gene_a, self.gene_b


def text(value: Any) -> str:
    """Turn a string as files hold it (``str``, ``bytes``, numpy scalar, array of one) into ``str``; None is ``""``."""
    if isinstance(value, np.ndarray | np.generic):
        if np.size(value) != 1:
            raise SourceError(f"{np.size(value)} values where one string was expected; store a single string")
        value = np.asarray(value).reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return "" if value is None else str(value)


def read_pairs(uns: Mapping[str, Any]) -> list[Pair]:
    """List the pairs that a file declares: reporters, then exclusions, each by name.

    Parameters
    ----------
    uns
        Unstructured metadata of the file.

    Returns
    -------
    list of Pair
        Empty if neither ``uns["reporters"]`` nor ``uns["exclusion_pairs"]`` is there.

    Raises
    ------
    SourceError
        An entry is not a dict, or lacks a gene.
    """
    pairs = []
    for name, entry in _entries(uns, "reporters"):
        target = _field(entry, "target_gene_symbol", name) or _field(entry, "target_gene_id", name)
        if not target:
            raise SourceError(f"uns['reporters'][{name!r}] names no target; add target_gene_symbol")
        target_id = _field(entry, "target_gene_id", name)
        pairs.append(Pair(name, "reporter", name, target, "", target_id, _field(entry, "construct", name)))
    for name, entry in _entries(uns, "exclusion_pairs"):
        gene = {side: _field(entry, f"gene_{side}_symbol", name) for side in "ab"}
        ids = {side: _field(entry, f"gene_{side}_id", name) for side in "ab"}
        a, b = gene["a"] or ids["a"], gene["b"] or ids["b"]
        if not (a and b):
            raise SourceError(f"uns['exclusion_pairs'][{name!r}] lacks a gene; add gene_a_symbol and gene_b_symbol")
        pairs.append(Pair(name, "exclusion", a, b, ids["a"], ids["b"], _field(entry, "mechanism", name)))
    return pairs


def pairs_to_uns(pairs: Iterable[Pair]) -> dict[str, dict[str, dict[str, str]]]:
    """Make the ``uns`` entries that :func:`read_pairs` reads back as the same pairs.

    Raises
    ------
    GeneError
        A name holds ``/``, which HDF5 would take for a group.
    """
    uns: dict[str, dict[str, dict[str, str]]] = {}
    for pair in pairs:
        if "/" in pair.name:
            raise GeneError(f"pair {pair.name}: a name with / cannot be stored in h5ad; rename the gene")
        if pair.kind == "reporter":
            entry = {"target_gene_symbol": pair.gene_b, "target_gene_id": pair.id_b, "construct": pair.construct}
            uns.setdefault("reporters", {})[pair.name] = entry
        else:
            entry = {"gene_a_symbol": pair.gene_a, "gene_a_id": pair.id_a, "mechanism": pair.construct}
            entry |= {"gene_b_symbol": pair.gene_b, "gene_b_id": pair.id_b}
            uns.setdefault("exclusion_pairs", {})[pair.name] = entry
    return uns


def resolve_pair(pair: Pair, counts: Counts) -> Pair:
    """Give the same pair under the gene names of ``counts``: by symbol, else by id without its version.

    Raises
    ------
    GeneError
        A gene is missing, or names several columns.
    """
    return replace(
        pair, gene_a=_resolve(pair.gene_a, pair.id_a, counts), gene_b=_resolve(pair.gene_b, pair.id_b, counts)
    )


def _resolve(gene: str, gene_id: str, counts: Counts) -> str:
    asked = gene if counts.has_gene(gene) or not (gene_id and counts.has_gene(gene_id)) else gene_id
    return str(counts.var_names[counts.gene_index([asked])[0]])


def _entries(uns: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    table = uns.get(key, {})
    if not isinstance(table, Mapping):
        raise SourceError(f"uns[{key!r}] is a {type(table).__name__}; make it a dict with one entry a pair")
    for name, entry in table.items():
        if not isinstance(entry, Mapping):
            raise SourceError(f"uns[{key!r}][{name!r}] is a {type(entry).__name__}; make it a dict of strings")
    return sorted(((text(name), entry) for name, entry in table.items()), key=lambda item: item[0])


def _field(entry: Mapping[str, Any], key: str, name: str) -> str:
    try:
        return text(entry.get(key))
    except SourceError as error:
        raise SourceError(f"pair {name!r}, field {key}: {error}") from None

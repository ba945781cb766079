"""Gene and cell tables for formats that bring bare lists of names, and which names look like genes or cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.counts._gene_names import identifier_kind
from corpuscle.counts._gene_table import GeneTable, mouse_symbols
from corpuscle.errors import SourceError

__all__ = ["gene_expression", "gene_likeness", "gene_table", "name_index"]

#: Titles of a column of names that say what they name, without spaces and underscores.
TITLE_GENES = re.compile(r"(gene|symbol|ensembl)(s|ids?|names?|symbols?)?")
TITLE_CELLS = re.compile(r"(cell|barcode|sample)(s|ids?|names?)?")
GENE_KINDS = ("Ensembl id", "Ensembl id with version", "TAIR locus", "FlyBase id", "WormBase id", "yeast ORF")
NUMBERED_CELL = re.compile(r"(cell|gsm|srr|err|sample|well|barcode|bc|spot)s?[_.-]?\d+", re.IGNORECASE)


def name_index(names: Sequence[str]) -> pd.Index:
    """Names as an index of ``str`` objects."""
    return pd.Index(list(names), dtype=object)


def gene_table(symbols: Sequence[str], ids: Sequence[str] | None = None, **columns: Any) -> pd.DataFrame:
    """``var``: symbols as the index (the id where a symbol is blank), ids as ``gene_id``. Duplicates stay."""
    if ids is None:
        return pd.DataFrame(columns, index=name_index(symbols))
    names = [symbol or gene_id for symbol, gene_id in zip(symbols, ids, strict=True)]
    return pd.DataFrame({"gene_id": list(ids), **columns}, index=name_index(names))


def gene_expression(var: pd.DataFrame, name: str) -> tuple[np.ndarray[Any, Any] | None, dict[str, int]]:
    """Positions of the features that are genes (None if all are), and how many of which other type there are."""
    if "feature_type" not in var:
        return None, {}
    is_gene = (var["feature_type"] == "Gene Expression").to_numpy()
    if is_gene.all():
        return None, {}
    left_out = {str(kind): int(n) for kind, n in var.loc[~is_gene, "feature_type"].value_counts().items()}
    if not is_gene.any():
        raise SourceError(f"{name}: no feature of it is of type Gene Expression; it has: {', '.join(left_out)}")
    return np.flatnonzero(is_gene), left_out


def gene_likeness(names: Sequence[str], title: str = "") -> float:
    """Share of the names that are known genes less the share that look like cells, from -1 to 1.

    ``title`` is what stands over a column of names; it settles the matter where it says ``gene`` or ``cell``.
    """
    plain = re.sub(r"[\s_.]", "", title).lower()
    if TITLE_GENES.fullmatch(plain) or TITLE_CELLS.fullmatch(plain):
        return 1.0 if TITLE_GENES.fullmatch(plain) else -1.0
    if not names:
        return 0.0
    kinds = identifier_kind(names).shares
    known = GeneTable.human().symbols | mouse_symbols()
    genes = sum(kinds.get(kind, 0.0) for kind in GENE_KINDS) + sum(name in known for name in names) / len(names)
    cells = sum(NUMBERED_CELL.match(name) is not None for name in names) / len(names) + kinds.get("cell barcode", 0.0)
    return genes - cells

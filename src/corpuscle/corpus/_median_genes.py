"""Genes that medians are computed for: those of some biotypes, or a list of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from corpuscle.counts.genes import GeneTable
from corpuscle.errors import OptionError, SourceError

__all__ = ["BIOTYPES", "target_genes"]

#: Those of the published vocabulary of 30 million cells (Theodoris et al. 2023): 27,454 genes, of which 25,424 were seen.
BIOTYPES = ("protein_coding", "miRNA")


def target_genes(
    biotypes: str | Sequence[str], genes: str | Path | Sequence[str] | None
) -> tuple[list[str], dict[str, Any]]:
    """Sorted identifiers, and what the recipe says of them.

    Parameters
    ----------
    biotypes
        Gene types of Ensembl, or ``"all"``.
    genes
        Identifiers to take instead, as a list or a file with one a line.

    Raises
    ------
    OptionError
        No gene is of such a type, or a gene is named twice.
    SourceError
        The file cannot be read or names no gene.
    """
    if genes is not None:
        return _listed(genes)
    types = GeneTable.human().frame["gene_type"]
    if biotypes == "all":
        return sorted(types.index), {"from": "biotypes", "biotypes": "all", "n": len(types)}
    wanted = [biotypes] if isinstance(biotypes, str) else list(biotypes)
    known = types.value_counts()
    for one in wanted:
        if not one or one not in known:
            shown = ", ".join(name for name in known.index[:12] if name)
            raise OptionError(f"biotype {one!r} is none of the gene table's; most common are: {shown}; or give all")
    if not wanted:
        raise OptionError("no biotype was named; give some, or all")
    ids = sorted(types.index[types.isin(wanted)])
    return ids, {"from": "biotypes", "biotypes": sorted(set(wanted)), "n": len(ids)}


def _listed(genes: str | Path | Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    source = "the list of genes"
    if isinstance(genes, str | Path):
        source = str(genes)
        try:
            lines = Path(genes).expanduser().read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise SourceError(f"{source}: cannot be read as text; give a file with one gene a line") from None
        genes = [line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith("#")]
    ids = sorted(str(gene) for gene in genes)
    if not ids:
        raise SourceError(f"{source}: names no gene; give one a line")
    twice = next((one for one, other in pairwise(ids) if one == other), None)
    if twice is not None:
        raise OptionError(f"{source}: gene {twice} is there twice; keep one of them")
    digest = hashlib.sha256("".join(f"{gene}\n" for gene in ids).encode()).hexdigest()
    return ids, {"from": "list", "n": len(ids), "sha256": digest}

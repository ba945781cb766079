"""The last steps of an import: cells and genes as the schema wants them, written, validated, renamed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.counts.genes import guess_species
from corpuscle.datasets._import_cells import CellFilter, kept_cells, unique_cells
from corpuscle.datasets._import_genes import GeneColumns
from corpuscle.datasets.schema import Pair, pairs_to_uns
from corpuscle.datasets.validate import Issue, validate
from corpuscle.errors import GeneError, OptionError, OutputError, SourceError

__all__ = ["Description", "Imported", "write_import"]

BINOMIALS = {"human": "Homo sapiens", "mouse": "Mus musculus", "rat": "Rattus norvegicus", "zebrafish": "Danio rerio"}


@dataclass(frozen=True)
class Imported:
    """A file that was written.

    Attributes
    ----------
    path
        Where.
    n_cells_read, n_cells, n_genes
        Barcodes in the source; cells and genes in the file.
    pairs
        The pairs it declares.
    notes
        What was changed or left out, one line each.
    issues
        What the validator warns of; it has no errors.
    """

    path: Path
    n_cells_read: int
    n_cells: int
    n_genes: int
    pairs: list[Pair]
    notes: list[str]
    issues: list[Issue]


@dataclass(frozen=True)
class Description:
    """What ``uns`` says of the sample."""

    sample_id: str
    series_id: str | None
    species: str | None
    tissue: str | None
    platform: str | None

    def to_uns(self, genes: GeneColumns, name: str) -> dict[str, str]:
        """Fill in what can be told or must be a string."""
        species = self.species or _species(genes, name)
        stated = {"tissue": self.tissue or "not stated", "platform": self.platform or "not stated"}
        return {
            "sample_id": self.sample_id,
            "series_id": self.series_id or self.sample_id,
            "species": species,
            **stated,
        }


def write_import(
    counts: Counts,
    genes: GeneColumns,
    pairs: list[Pair],
    places: Sequence[tuple[int, int]],
    about: Description,
    rule: CellFilter,
    out: Path,
    notes: list[str],
    suffix_duplicates: bool,
) -> Imported:
    """Read the cells once, keep those of the rule, and write them with their pairs to ``out``."""
    from anndata import AnnData

    _refuse_same_gene(pairs, genes, places)
    obs, renamed = unique_cells(counts.obs, counts.name, suffix_duplicates)
    described = {**about.to_uns(genes, counts.name), **pairs_to_uns(pairs)}
    x_ng, kept, left_out = kept_cells(counts, obs.index, genes, rule)
    _refuse_undetected(x_ng, places, pairs)
    symbols = genes.unique_symbols({i for both in places for i in both})
    notes = [*notes, *genes.notes, *renamed, *left_out]
    described["import"] = {
        "source": Path(counts.name).name,
        "cells_read": len(obs),
        "notes": "; ".join(notes),
        **rule.record(),
    }
    adata = AnnData(
        X=x_ng,
        obs=_cell_table(obs.iloc[kept], x_ng),
        var=pd.DataFrame({"gene_id": genes.ids}, index=pd.Index(symbols, dtype=object)),
        uns=described,
    )
    issues = _save(adata, out)
    return Imported(out, len(obs), adata.n_obs, adata.n_vars, pairs, notes, issues)


def _refuse_same_gene(pairs: Sequence[Pair], genes: GeneColumns, places: Sequence[tuple[int, int]]) -> None:
    for pair in pairs:
        if pair.gene_a == pair.gene_b:
            raise OptionError(f"the pair {pair.gene_a} and {pair.gene_b} is one gene; name two")
    named = {i: genes.symbols[i] for both in places for i in both}
    if len(set(named.values())) < len(named):
        raise GeneError(
            f"two genes of the pairs {', '.join(map(str, named.values()))} have one name; import one pair at a time"
        )
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        raise OptionError(f"a pair is named twice among {', '.join(names)}; give each reporter its own target")


def _refuse_undetected(x_ng: sp.csr_matrix, places: Sequence[tuple[int, int]], pairs: Sequence[Pair]) -> None:
    for pair, both in zip(pairs, places, strict=True):
        total_a, total_b = np.asarray(x_ng[:, list(both)].sum(axis=0)).ravel()
        if total_a and total_b:
            continue
        gene, why = pair.gene_b if total_a else pair.gene_a, "check the tissue and the reference"
        if pair.kind == "reporter" and total_a:
            why = "a homozygous knock-in replaces the transcript; use a heterozygous or transgenic sample"
        elif pair.kind == "reporter":
            why = "the reference has it, but no read fell on it; its contig may lack the 3' UTR and polyA"
        raise GeneError(
            f"gene {gene} has no count in any of {x_ng.shape[0]:,} cells kept, so its pair cannot be judged: {why}"
        )


def _cell_table(obs: pd.DataFrame, x_ng: sp.csr_matrix) -> pd.DataFrame:
    """Keep the source's columns, in types that h5ad holds, and the two that the schema wants."""
    kept = {
        str(name).replace("/", "_"): _storable(obs[name]) for name in obs.columns if list(obs.columns).count(name) == 1
    }
    kept["total_counts"] = np.asarray(x_ng.sum(axis=1, dtype=np.int64)).ravel()
    kept["n_genes"] = np.diff(x_ng.indptr).astype(np.int64)
    return pd.DataFrame(kept, index=obs.index)


def _storable(column: pd.Series) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind in "biuf":
        return column.to_numpy() if column.dtype.kind in "biuf" else column
    return column.astype(str).to_numpy(dtype=object)


def _save(adata: Any, out: Path) -> list[Issue]:
    """Write beside ``out``, validate what was written, rename."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}.{os.getpid()}.part.h5ad")
    try:
        adata.write_h5ad(part, compression="gzip")
        issues = validate(part)
        errors = [issue.message for issue in issues if issue.severity == "error"]
        if errors:
            raise SourceError(f"{out}: would not be valid and was not written: {errors[0]}")
        part.replace(out)
    except OSError as error:
        raise OutputError(
            f"cannot write {out}: {error.strerror or error}; free space or choose another place with -o"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return issues


def _species(genes: GeneColumns, name: str) -> str:
    found = guess_species([gene_id or symbol for gene_id, symbol in zip(genes.ids, genes.symbols, strict=True)]).species
    if found == "undetermined" or " and " in found:
        raise OptionError(f"{name}: the genes do not tell the species ({found}); give it with --species")
    return BINOMIALS.get(found, found)

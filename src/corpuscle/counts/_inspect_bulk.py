"""What there is to know of a file of bulk samples beside its values: layout, chunks, poor samples, missing fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.counts._sample_flags import flags_of

if TYPE_CHECKING:
    from corpuscle.counts._counts import Counts

__all__ = ["BulkFile", "bulk_file", "bulk_rows"]


@dataclass(frozen=True, slots=True)
class BulkFile:
    """What :func:`bulk_file` found.

    Attributes
    ----------
    layout, version, creation_date, chunking
        As the file has them; empty text where it does not say.
    missing_fields, unusable_fields
        Metadata that are not there, and that are there but are no list of one value a sample or gene.
    series
        Distinct texts in ``series_id``; None without that field.
    single_cell_like
        Samples that are rather single cells; None where the file does not say.
    shallow, few_genes
        Samples with fewer than a million counts, and with fewer than 10,000 genes.
    """

    layout: str
    version: str
    creation_date: str
    chunking: str
    missing_fields: tuple[str, ...]
    unusable_fields: tuple[str, ...]
    series: int | None
    single_cell_like: int | None
    shallow: int
    few_genes: int


def bulk_file(counts: Counts, depth_n: np.ndarray[Any, Any], genes_n: np.ndarray[Any, Any]) -> BulkFile | None:
    """The facts of a file of ARCHS4, given counts and genes by sample; None for other sources."""
    about = counts.uns
    layout = about.get("layout")
    if not (isinstance(layout, str) and layout.startswith("ARCHS4")):
        return None
    flags = flags_of(counts, depth_n, genes_n)
    single = flags["single_cell_like"]
    return BulkFile(
        layout=layout,
        version=about["version"],
        creation_date=about["creation_date"],
        chunking=about["chunking"],
        missing_fields=tuple(about["missing_fields"]),
        unusable_fields=tuple(about["unusable_fields"]),
        series=int(counts.obs["series_id"].nunique()) if "series_id" in counts.obs else None,
        single_cell_like=None if single.isna().all() else int(single.sum()),
        shallow=int(flags["shallow"].sum()),
        few_genes=int(flags["few_genes"].sum()),
    )


def bulk_rows(bulk: BulkFile) -> Iterator[tuple[str, str]]:
    """The same as (heading, text), for people."""
    dated = f", of {bulk.creation_date}" if bulk.creation_date else ""
    yield "file", f"{bulk.layout}, version {bulk.version or 'not given'}{dated}"
    yield "chunks", bulk.chunking
    single = (
        "single-cell-like not known" if bulk.single_cell_like is None else f"{bulk.single_cell_like:,} single-cell-like"
    )
    series = "" if bulk.series is None else f" in {bulk.series:,} series"
    yield (
        "samples",
        f"{single}, {bulk.shallow:,} with fewer than a million counts, {bulk.few_genes:,} with fewer than 10,000 genes{series}",
    )
    for heading, fields in (("missing", bulk.missing_fields), ("not usable", bulk.unusable_fields)):
        if fields:
            yield heading, f"fields {', '.join(fields)}"

"""What a method may see: counts and names, and nothing that may hold the answer."""

from __future__ import annotations

import pandas as pd
import scipy.sparse as sp

from corpuscle.counts import Counts, MemorySource, Source

__all__ = ["strip"]

#: Columns of ``var`` that identify a gene and are left to the method.
GENE_COLUMNS = ("gene_id", "gene_ids", "ensembl_id")


class _BareSource(Source):
    """The values of another source, without its metadata; the other stays the one to close."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.path, self.layout, self.dtype = source.name, source.path, source.layout, source.dtype
        self.obs, self.var, self.uns = _names(source.obs), _names(source.var), {}

    def rows(self, start: int, stop: int) -> sp.csr_matrix:
        return self._source.rows(start, stop)

    def fingerprint(self) -> tuple[int, int, int] | None:
        return self._source.fingerprint()


def strip(counts: Counts) -> Counts:
    """Leave out ``uns``, cell annotations, and gene annotations other than identifiers; nothing is read.

    Ground truth such as reporter targets or excluding pairs lies in ``uns``, and labels in ``obs``: a method that is
    judged by them must not see them.
    """
    bare = Counts([_bare(source) for source in counts.sources])
    bare._depth_without = counts._depth_without
    if "_profile" in counts.__dict__:
        bare.__dict__["_profile"] = counts._profile
    return bare


def _bare(source: Source) -> Source:
    if isinstance(source, MemorySource):
        return MemorySource(source.x_ng, _names(source.obs), _names(source.var), name=source.name, layout=source.layout)
    return _BareSource(source)


def _names(table: pd.DataFrame) -> pd.DataFrame:
    return table[[column for column in GENE_COLUMNS if column in table]].copy()

"""Some prepared cells: what embeddings, sentences and archives are made from."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import scipy.sparse as sp

__all__ = ["CellBlock"]


@dataclass(frozen=True, slots=True, eq=False)
class CellBlock:
    """Consecutive cells of one source, as counts and normalised.

    Attributes
    ----------
    log_ng
        (n, g) float32 CSR: log1p of the counts scaled to 10,000 a cell.
    counts_ng
        (n, g) int32 CSR: raw counts, with the same stored places as ``log_ng``.
    genes
        Names of the g columns, unique; those of the source, so that blocks of different sources may differ.
    obs
        Table of the n cells. Its index are the cells' names in the source; the column ``sample_idx`` is their name in the data
        set.
    source
        What the source is called.
    """

    log_ng: sp.csr_matrix
    counts_ng: sp.csr_matrix
    genes: tuple[str, ...]
    obs: pd.DataFrame
    source: str

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return int(self.counts_ng.shape[0])

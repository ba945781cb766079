"""A matrix brought to the genes that a model knows, by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import GeneError

__all__ = ["LEAST_SHARE", "Aligned", "GeneMatch", "InputWarning", "align", "check_unique", "match_genes"]

Array = np.ndarray[Any, Any]
#: With fewer of a model's genes than this, what it says about a cell is mostly about the genes that are missing.
LEAST_SHARE = 0.5


class InputWarning(UserWarning):
    """Cells lack some of what a model looks at; it goes on without."""


@dataclass(frozen=True)
class GeneMatch:
    """Where the genes of a model stand in a matrix.

    Attributes
    ----------
    position_v
        (V,) int64: column of each wanted gene, -1 where there is none.
    n_columns
        Columns of the matrix that it was made for.
    missing
        Wanted genes that are not there.
    """

    position_v: Array
    n_columns: int
    missing: list[str]

    @property
    def share_present(self) -> float:
        """Share of the wanted genes that are there."""
        return 1.0 - len(self.missing) / self.position_v.size

    def take(self, x_ng: sp.csr_matrix) -> sp.csr_matrix:
        """The wanted genes in their order, (n, V) CSR; zero where a gene is missing."""
        target_g = np.full(self.n_columns, -1, np.int32)
        present_v = np.flatnonzero(self.position_v >= 0)
        target_g[self.position_v[present_v]] = present_v
        target = target_g[x_ng.indices]
        kept = target >= 0
        ends = np.concatenate([[0], np.cumsum(kept)])[x_ng.indptr]
        shape = (x_ng.shape[0], self.position_v.size)
        taken = sp.csr_matrix((x_ng.data[kept], target[kept], ends.astype(x_ng.indptr.dtype)), shape=shape)
        taken.sort_indices()
        return taken


@dataclass(frozen=True)
class Aligned:
    """A matrix over the genes that were wanted.

    Attributes
    ----------
    x_ng
        (n, V) CSR, zero where a gene is missing.
    share_present
        Share of the wanted genes that the matrix had.
    missing
        The others.
    """

    x_ng: sp.csr_matrix
    share_present: float
    missing: list[str]


def check_unique(names: Sequence[str], source: str) -> None:
    """Refuse names of genes that repeat.

    Raises
    ------
    GeneError
        One stands for several columns.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GeneError(
                f"{source}: gene {name} is there more than once; make names unique (adata.var_names_make_unique()) "
                "or add up its columns"
            )
        seen.add(name)


def match_genes(
    names: Sequence[str], wanted: Sequence[str], *, source: str = "the matrix", least_share: float = LEAST_SHARE
) -> GeneMatch:
    """Find the genes of a model among the columns of a matrix, in whatever order they are.

    Parameters
    ----------
    names
        (G,) names of the columns.
    wanted
        (V,) names of the genes of the model, each once.
    source
        What messages call the matrix.
    least_share
        Least share of ``wanted`` that must be there.

    Raises
    ------
    GeneError
        Too few are there, or one of them stands for several columns.

    Warns
    -----
    InputWarning
        Some are missing and will be zero.
    """
    place: dict[str, int] = {}
    needed = set(wanted)
    for column, name in enumerate(names):
        if name not in needed:
            continue
        if name in place:
            raise GeneError(f"{source}: gene {name} of the model is there more than once; make gene names unique")
        place[name] = column
    position_v = np.array([place.get(name, -1) for name in wanted], np.int64)
    missing = [name for name in wanted if name not in place]
    match = GeneMatch(position_v, len(names), missing)
    if missing:
        _judge(match, names, wanted, source, least_share)
    return match


def align(
    x_ng: sp.csr_matrix,
    names: Sequence[str],
    wanted: Sequence[str],
    *,
    source: str = "the matrix",
    least_share: float = LEAST_SHARE,
) -> Aligned:
    """Bring a matrix to the genes of a model: missing ones are zero, and others are left out.

    Parameters
    ----------
    x_ng
        (n, G) CSR.
    names, wanted, source, least_share
        As for :func:`match_genes`, which says what is raised and warned of.
    """
    match = match_genes(names, wanted, source=source, least_share=least_share)
    return Aligned(match.take(x_ng), match.share_present, match.missing)


def _judge(match: GeneMatch, names: Sequence[str], wanted: Sequence[str], source: str, least_share: float) -> None:
    n_present, example = len(wanted) - len(match.missing), match.missing[0]
    if match.share_present < least_share:
        raise GeneError(
            f"{source}: only {n_present:,} of the model's {len(wanted):,} genes are there ({match.share_present:.0%}, "
            f"{least_share:.0%} are needed; {example} is missing){_same_by_case(names, match.missing)}; use the "
            "identifiers and the species that the model was trained on"
        )
    warnings.warn(
        f"{source}: {len(match.missing):,} of the model's {len(wanted):,} genes are missing ({example}, ...) and taken "
        f"as zero; {match.share_present:.1%} are there",
        InputWarning,
        stacklevel=4,
    )


def _same_by_case(names: Sequence[str], missing: Sequence[str]) -> str:
    """Words for the case that only capitals differ, as between the symbols of human and mouse."""
    upper = {name.upper() for name in names}
    n_alike = sum(name.upper() in upper for name in missing)
    return (
        f"; {n_alike:,} differ only in capitals, as mouse symbols do from human" if 2 * n_alike > len(missing) else ""
    )

"""Counts with a known answer: a permuted gene, one gene split in two, and the same cells sequenced less deeply."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError

__all__ = ["permute_depth_preserving", "split_counts", "thin_counts"]

Array = np.ndarray[Any, Any]


def permute_depth_preserving(
    x_n: Array, depth_n: Array, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Deal a gene's share of each cell to another cell.

    The share x / depth is permuted over cells, multiplied by the new cell's depth and rounded to the nearest count
    (halves to even), so that the gene keeps its dependence on depth and loses every other relation. Between cells of
    equal depth it is an exact permutation.

    Parameters
    ----------
    x_n
        (n,) counts of the gene.
    depth_n
        (n,) total counts of the cells.

    Raises
    ------
    MethodError
        A cell has no depth, or a count is negative.
    """
    x_n, depth_n = np.asarray(x_n, np.float64), np.asarray(depth_n, np.float64)
    if x_n.ndim != 1 or x_n.shape != depth_n.shape:
        raise MethodError(f"permutation: counts {x_n.shape} and depths {depth_n.shape} must both be one per cell")
    sound_n = (depth_n > 0) & (x_n >= 0)
    if not sound_n.all():
        cell = int(np.argmin(sound_n))
        raise MethodError(
            f"permutation: cell {cell} has count {x_n[cell]:g} of depth {depth_n[cell]:g}; remove empty cells first"
        )
    order = rng.permutation(x_n.size)
    return np.rint(x_n[order] * depth_n / depth_n[order]).astype(np.int64)


def split_counts(x_n: Array, rng: np.random.Generator, p: float = 0.5) -> tuple[Array, Array]:
    """Two genes with the same rate from one: h ~ Binomial(x, p) and the rest, x - h.

    For Poisson counts the two halves are independent given the rate (Neufeld et al., Biostatistics 2024), so what
    they share is the rate alone.
    """
    if not 0.0 < p < 1.0:
        raise OptionError(f"split: fraction {p:g} is not between 0 and 1")
    x_n = np.asarray(x_n, np.int64)
    half_n = rng.binomial(x_n, p)
    return half_n, x_n - half_n


def thin_counts(x_ng: sp.csr_matrix, keep: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Sequence the same cells less deeply: every count x becomes Binomial(x, keep).

    Parameters
    ----------
    x_ng
        Integer CSR counts; not changed. One draw per stored entry.
    keep
        Probability that a molecule is kept, in (0, 1].

    Returns
    -------
    csr_matrix
        Same shape and dtype, canonical, without stored zeros.
    """
    if not 0.0 < keep <= 1.0:
        raise OptionError(f"thinning: fraction {keep:g} of counts to keep is not in (0, 1]; 0.5 keeps half")
    x_ng = x_ng.tocsr()
    if not x_ng.has_canonical_format:
        # One draw per entry in a fixed order, whatever way the matrix was stored.
        x_ng = x_ng.copy()
        x_ng.sum_duplicates()
    data = rng.binomial(x_ng.data.astype(np.int64), keep).astype(x_ng.dtype)
    thinned = sp.csr_matrix((data, x_ng.indices.copy(), x_ng.indptr.copy()), shape=x_ng.shape)
    thinned.eliminate_zeros()
    return thinned

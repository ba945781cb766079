"""Which zeros of single-cell counts are values and which are dropouts: a vote of several clusterings.

The rule is that of the published method's code (Ling, Liu and Xue, UAI 2021): within a cluster, a zero of a gene
that hardly any of its cells express is real, and a zero of a gene that most of them express is a dropout.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._clusterings import cluster_labels, representation

__all__ = ["ALL_ZEROS", "DEPENDS_ON_VALUE", "N_CLUSTERS", "THRESHOLD", "dropout_mask"]

#: Numbers of clusters and threshold of the published recipe.
N_CLUSTERS = (4, 6, 8, 10, 12)
THRESHOLD = 0.85
#: Blocks of one mask, at most; the operator on it holds a table of blocks x genes.
MAX_BLOCKS = 4096
#: Share of the zeros above which a mask is as good as calling all of them missing.
NEARLY_ALL = 0.9
DEPENDS_ON_VALUE = (
    "a dropout loses only values above 0, and the correction assumes that what is missing does not depend on its "
    "value: neighbours may improve under mild dropout, absolute distances do not"
)
ALL_ZEROS = (
    "every zero is treated as missing, or nearly every one: this destroys the distances between cells "
    '(most zeros of counts are real); use mask="consensus", or keep zeros as values'
)


def dropout_mask(
    data: Any,
    *,
    layer: str | None = None,
    n_clusters: Sequence[int] = N_CLUSTERS,
    threshold: float = THRESHOLD,
    method: str = "kmeans",
    n_comps: int = 30,
    log: bool | None = None,
    max_blocks: int = MAX_BLOCKS,
    random_state: int = 0,
    warn: bool = True,
) -> BlockMask:
    """Tell dropouts from real zeros by a consensus over clusterings.

    Cells are clustered several times on the principal components of log2(1 + scaled count). Within a cluster, a zero of a
    gene is real if at least ``threshold`` of the cluster's cells have a zero there; a zero stays observed if at
    least half of the clusterings call it real. Every non-zero is observed. Cells with the same labels in all
    clusterings share a row of the table; where there are more than ``max_blocks`` such signatures, the cells of the
    rarest take the row of the signature that agrees with theirs in the most clusterings (of equals, the commonest).

    Parameters
    ----------
    data : AnnData, or array or sparse matrix of shape (n, d)
        Counts, or values that are zero where the counts are; not negative, nothing NaN. Never made dense.
    layer : str, optional
        Layer of an AnnData to read instead of X.
    n_clusters : sequence of int
        One clustering each. For Leiden, the clustering whose resolution comes closest to that number.
    threshold : float
        Share of zeros in a cluster from which a zero is real, in (0, 1].
    method : {"kmeans", "leiden"}
        Leiden runs on a graph of neighbours and needs scanpy with igraph.
    n_comps : int
        Principal components to cluster on.
    log : bool, optional
        Scale each cell to the median total and take log2(1 + x) before the components. By default where all values are
        whole numbers. The published recipe does not scale.
    max_blocks : int
        Rows of the table, at most.
    random_state : int
        Seed of the clusterings.
    warn : bool
        Say what the mask cannot do.

    Returns
    -------
    BlockMask
        ``words`` has what was warned of.

    Raises
    ------
    OptionError
        A parameter does not make sense.
    SourceError
        A value is negative, NaN or infinite, or there is no such layer.
    MethodError
        There are too few cells or genes, or all cells are alike.

    Warns
    -----
    UserWarning
        Of value-dependent missingness, and, more strongly, where nearly all zeros come out as missing.

    References
    ----------
    Ling, Liu and Xue, Dimension Reduction for Data with Heterogeneous Missingness, UAI 2021 (PMLR 161).
    """
    x_nd = non_negative(data, layer)
    sizes = _check_options(x_nd.shape, n_clusters, threshold, max_blocks, n_comps)
    logged = whole_numbers(x_nd) if log is None else log
    coordinates_nk = representation(x_nd, n_comps, logged)
    labels_mn = np.stack([cluster_labels(coordinates_nk, k, method, random_state) for k in sizes])
    tables = [real_zeros(x_nd, labels_n, threshold) for labels_n in labels_mn]
    signature_n, labels_ms, n_signatures = _signatures(labels_mn, max_blocks)
    block_s, table_cd = _distinct_rows(_votes(tables, labels_ms))
    words = [DEPENDS_ON_VALUE]
    mask = BlockMask(block_s[signature_n], table_cd, float(threshold), len(sizes), n_signatures)
    n_zeros = x_nd.shape[0] * x_nd.shape[1] - x_nd.nnz
    if n_zeros and mask.n_missing(x_nd) > NEARLY_ALL * n_zeros:
        words.insert(0, ALL_ZEROS)
    if warn:
        for line in words:
            warnings.warn(line, UserWarning, stacklevel=2)
    return BlockMask(mask.labels_n, table_cd, mask.threshold, len(sizes), n_signatures, tuple(words))


def non_negative(data: Any, layer: str | None = None) -> sparse.csr_matrix:
    """CSR without explicit zeros of a matrix or of an AnnData; refuses what zeros of counts cannot be told from.

    Raises
    ------
    SourceError
        A value is negative, NaN or infinite, the matrix is not numeric, or there is no such layer.
    """
    if hasattr(data, "layers") and hasattr(data, "obs"):
        if layer is not None and layer not in data.layers:
            raise SourceError(f"no layer is called {layer!r}; there are: {', '.join(data.layers) or 'none'}")
        data = data.X if layer is None else data.layers[layer]
    elif layer is not None:
        raise OptionError(f"layer={layer!r} names a layer of an AnnData, and this is a {type(data).__name__}")
    if not hasattr(data, "shape"):
        data = np.asarray(data)
    if (
        len(data.shape) != 2
        or not np.issubdtype(data.dtype, np.number)
        or np.issubdtype(data.dtype, np.complexfloating)
    ):
        raise SourceError(f"values are {data.dtype} {tuple(data.shape)}; give numbers, cells x genes")
    x_nd = sparse.csr_matrix(data)
    if not np.isfinite(x_nd.data).all():
        raise SourceError("values are NaN or infinite; zeros are judged in a matrix that has every value")
    if x_nd.nnz and x_nd.data.min() < 0:
        raise SourceError(f"values go down to {x_nd.data.min():g}; zeros are judged in counts, or logarithms of counts")
    if not x_nd.has_canonical_format or not x_nd.data.all():
        x_nd = x_nd.copy()
        x_nd.sum_duplicates()
        x_nd.eliminate_zeros()
    return x_nd


def whole_numbers(x_nd: sparse.csr_matrix) -> bool:
    """Whether all values are whole."""
    return bool(np.issubdtype(x_nd.dtype, np.integer) or np.array_equal(x_nd.data, np.rint(x_nd.data)))


def _check_options(
    shape: tuple[int, int], n_clusters: Sequence[int], threshold: float, max_blocks: int, n_comps: int
) -> list[int]:
    sizes = [int(k) for k in np.atleast_1d(np.asarray(n_clusters))]
    if not sizes or min(sizes) < 1:
        raise OptionError(f"n_clusters={n_clusters!r}: give one or more numbers of clusters, 1 or more each")
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold={threshold!r}: a share of zeros above 0 and up to 1")
    if max_blocks < 1 or n_comps < 1:
        raise OptionError(f"max_blocks={max_blocks!r}, n_comps={n_comps!r}: both must be 1 or more")
    n, d = shape
    if min(n, d) < 3 or max(sizes) > n:
        raise MethodError(
            f"{n:,} cells and {d:,} genes are too few for {max(sizes)} clusters; give more cells, or fewer clusters"
        )
    return sizes


def real_zeros(x_nd: sparse.csr_matrix, labels_n: npt.NDArray[np.int64], threshold: float) -> npt.NDArray[np.bool_]:
    """Clusters x genes: whether at least ``threshold`` of a cluster's cells have a zero of the gene."""
    n, d = x_nd.shape
    c = int(labels_n.max()) + 1
    size_c = np.bincount(labels_n, minlength=c)
    at_nd = sparse.csr_matrix((np.ones(x_nd.nnz, np.int32), x_nd.indices, x_nd.indptr), shape=(n, d))
    member_cn = sparse.csr_matrix((np.ones(n, np.int32), (labels_n, np.arange(n))), shape=(c, n))
    expressed_cd = (member_cn @ at_nd).toarray()
    # zeros >= threshold * size, with room for the rounding of the product
    return np.asarray(expressed_cd <= ((1 - threshold) * size_c + 1e-9)[:, None])


def _signatures(
    labels_mn: npt.NDArray[np.int64], max_blocks: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Signature of each cell, labels of each signature, and how many there were before rare ones were merged."""
    labels_ms, signature_n, cells_s = np.unique(labels_mn, axis=1, return_inverse=True, return_counts=True)
    signature_n = np.asarray(signature_n).ravel()
    n_signatures = labels_ms.shape[1]
    if n_signatures <= max_blocks:
        return signature_n, labels_ms, n_signatures
    order_s = np.argsort(-cells_s, kind="stable")
    kept, rare = order_s[:max_blocks], order_s[max_blocks:]
    place_s = np.empty(n_signatures, np.int64)
    place_s[kept] = np.arange(max_blocks)
    for start in range(0, len(rare), 256):
        some = rare[start : start + 256]
        agree_sk = sum((labels_s[some][:, None] == labels_s[kept]).astype(np.int16) for labels_s in labels_ms)
        place_s[some] = np.argmax(agree_sk, axis=1)  # the first of equals has the most cells
    return place_s[signature_n], labels_ms[:, kept], n_signatures


def _votes(tables: list[npt.NDArray[np.bool_]], labels_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Signatures x genes: whether at least half of the clusterings call a zero real."""
    table_sd = np.empty((labels_ms.shape[1], tables[0].shape[1]), np.bool_)
    for start in range(0, len(table_sd), 256):
        some = slice(start, start + 256)
        votes_sd = sum(
            table_cd[labels_s[some]].astype(np.int16) for table_cd, labels_s in zip(tables, labels_ms, strict=True)
        )
        table_sd[some] = 2 * np.asarray(votes_sd) >= len(tables)
    return table_sd


def _distinct_rows(table_sd: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Row of each signature in the table of distinct rows, and that table."""
    _, first, inverse_s = np.unique(np.packbits(table_sd, axis=1), axis=0, return_index=True, return_inverse=True)
    return np.asarray(inverse_s, dtype=np.int64).ravel(), table_sd[first]

"""Mean cosine of all pairs in a window of samples, without making the pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from corpuscle.counts import Counts
from corpuscle.counts._passes import Progress
from corpuscle.normalize import Normalizer
from corpuscle.normalize._stream import map_values

__all__ = ["add_inner_products", "from_gram", "from_scores", "from_sums", "mean_cosine", "repo_scale"]

Array = np.ndarray[Any, Any]
#: Genes turned into float64 at a time.
GENES = 1024


def mean_cosine(x_kd: Array) -> float:
    """Mean cosine of all pairs of rows.

    With unit vectors u, ``(||sum u||^2 - k) / (k (k - 1))``: k d operations in place of k^2 d. Rows of length 0 have no
    direction and are left out; NaN if fewer than two are left.

    Parameters
    ----------
    x_kd
        (k, d) profiles, in any units.
    """
    length_k = np.linalg.norm(x_kd.astype(np.float64), axis=1)
    unit_kd = x_kd[length_k > 0] / length_k[length_k > 0, None]
    return float(_from_square(np.array([(unit_kd.sum(axis=0) ** 2).sum()]), np.array([len(unit_kd)]))[0])


def repo_scale(cosine_w: Array, k: int) -> Array:
    """The number that a sum over both triangles and the diagonal, divided by k (k - 1) / 2, gives: ``2 m + 2 / (k - 1)``."""
    return 2 * cosine_w + 2 / (k - 1)


def from_scores(score_nd: Array, member_wk: Array) -> Array:
    """(w,) mean cosine of each window, of profiles held in memory, e.g. principal components.

    Parameters
    ----------
    score_nd
        (n, d) profiles.
    member_wk
        (w, k) samples of each window.
    """
    unit_nd = score_nd.astype(np.float64)
    length_n = np.linalg.norm(unit_nd, axis=1)
    np.divide(unit_nd, length_n[:, None], out=unit_nd, where=length_n[:, None] > 0)
    pointed_n = length_n > 0
    out_w = np.empty(len(member_wk))
    step = max(1, 2**24 // max(1, member_wk.shape[1] * score_nd.shape[1]))
    for first in range(0, len(member_wk), step):
        member = member_wk[first : first + step]
        sum_wd = unit_nd[member].sum(axis=1)
        out_w[first : first + step] = _from_square((sum_wd**2).sum(axis=1), pointed_n[member].sum(axis=1))
    return out_w


def add_inner_products(value_gn: Array, mean_g: Array, gram_nn: Array) -> None:
    """Add the inner products of the samples over some genes to ``gram_nn`` (n, n); the gene means are taken off first."""
    for first in range(0, len(value_gn), GENES):
        part = slice(first, first + GENES)
        centred_gn = value_gn[part] - mean_g[part, None]
        gram_nn += centred_gn.T @ centred_gn


def from_gram(gram_nn: Array, member_wk: Array) -> Array:
    """(w,) mean cosine of each window, of samples whose inner products are known."""
    length_n = np.sqrt(np.maximum(np.diag(gram_nn), 0))
    # A profile that is its gene mean has no direction; what is left of it is rounding.
    pointed_n = length_n > 1e-6 * max(float(length_n.max(initial=0.0)), 1e-300)
    scale_n = np.divide(1.0, length_n, out=np.zeros(length_n.shape), where=pointed_n)
    out_w = np.empty(len(member_wk))
    for w, member in enumerate(member_wk):
        scale = scale_n[member]
        out_w[w] = scale @ gram_nn[np.ix_(member, member)] @ scale
    return _from_square(out_w, pointed_n[member_wk].sum(axis=1))


def from_sums(
    counts: Counts,
    method: Normalizer,
    member_wk: Array,
    mean_g: Array | None,
    *,
    budget: int,
    progress: Progress | None = None,
) -> Array:
    """(w,) mean cosine of each window, summing unit vectors while the samples go by.

    One pass over the samples for every ``budget / (4 genes)`` windows, and windows x k x genes additions in all: 2,200 windows a
    pass with 60,000 genes and 512 MB. The sums are made here; on a cluster, the workers send the unit vectors.

    Parameters
    ----------
    mean_g
        (g,) what is taken off first; None for nothing.
    budget
        Bytes of sums held at a time.
    """
    out_w = np.empty(len(member_wk))
    step = max(1, budget // (4 * counts.n_vars))
    work: Callable[[Array, slice], tuple[Array, slice]] = partial(_units, mean_g)
    for first in range(0, len(member_wk), step):
        member = member_wk[first : first + step]
        order = np.argsort(member, axis=None, kind="stable")
        sample_m, window_m = member.ravel()[order], order // member.shape[1]
        sum_wg = np.zeros((len(member), counts.n_vars), np.float32)
        pointed_w = np.zeros(len(member), np.int64)
        for unit_ng, rows in map_values(counts, method, work, progress=progress, what="samples: windows"):
            part = slice(*np.searchsorted(sample_m, [rows.start, rows.stop]))
            row_m = sample_m[part] - rows.start
            _add_rows(unit_ng, row_m, window_m[part], sum_wg)
            pointed_n: Array = np.any(unit_ng, axis=1)
            pointed_w += np.bincount(window_m[part][pointed_n[row_m]], minlength=len(member))
        square_w = _squares(sum_wg)
        out_w[first : first + step] = _from_square(square_w, pointed_w)
    return out_w


def _units(mean_g: Array | None, value_ng: Array, rows: slice) -> tuple[Array, slice]:
    """Unit vectors of the samples of a block, (n, g) float32; zeros where there is no direction."""
    profile_ng = value_ng if mean_g is None else (value_ng - mean_g).astype(np.float32)
    length_n = np.sqrt(np.einsum("ng,ng->n", profile_ng, profile_ng, dtype=np.float64)).astype(np.float32)
    unit_ng = np.divide(
        profile_ng, length_n[:, None], out=np.zeros(profile_ng.shape, np.float32), where=length_n[:, None] > 0
    )
    return unit_ng, rows


def _squares(sum_wg: Array) -> Array:
    return np.einsum("wg,wg->w", sum_wg, sum_wg, dtype=np.float64)


def _from_square(square_w: Array, pointed_w: Array) -> Array:
    pairs_w = pointed_w * (pointed_w - 1.0)
    return np.divide(square_w - pointed_w, pairs_w, out=np.full(square_w.shape, np.nan), where=pairs_w > 0)


@numba.njit(cache=True, nogil=True)
def _add_rows(unit_ng: Array, row_m: Array, window_m: Array, sum_wg: Array) -> None:
    for m in range(row_m.size):
        unit_g, sum_g = unit_ng[row_m[m]], sum_wg[window_m[m]]
        for g in range(unit_g.size):
            sum_g[g] += unit_g[g]

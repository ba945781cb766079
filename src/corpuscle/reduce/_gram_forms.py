"""The part of a corrected Gram matrix that is a sum of inner products, in the forms that need no n x n matrix.

Every form stands for a symmetric n x n matrix and multiplies by it: a diagonal that is estimated in another way is
the operator's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from corpuscle.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

    from corpuscle.reduce._propensity import Propensity
    from corpuscle.reduce._values import Values

__all__ = [
    "DENSE_LIMIT",
    "DenseForm",
    "ElementwiseForm",
    "Form",
    "InverseForm",
    "RatioForm",
    "check_size",
    "row_blocks",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: The most rows for which an n x n matrix is held.
DENSE_LIMIT = 5_000
#: Numbers that one block of working memory may have.
_BLOCK_NUMBERS = 4_000_000
#: Terms of the reciprocal that are smaller than this beside the largest are rounding errors of it.
_NEGLIGIBLE = 1e-12


class Form(Protocol):
    """A symmetric n x n matrix that is applied and not held."""

    n: int
    #: Its columns in memory for one column of a product, so that wide products are cut.
    width: int

    def product(self, v_nk: Array) -> Array:
        """The matrix times k vectors."""

    def block(self, row_b: Index, col_c: Index) -> Array:
        """Entries of it."""

    def diagonal(self) -> Array:
        """Its diagonal."""

    def lowest(self) -> float:
        """A bound that no eigenvalue of it is below."""


def row_blocks(n: int, width: int) -> list[tuple[int, int]]:
    """Consecutive rows, so many at a time that ``width`` columns of them fit the working memory."""
    step = max(1, _BLOCK_NUMBERS // max(width, 1))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def check_size(n: int, what: str) -> None:
    """Raise a :class:`~corpuscle.errors.MethodError` where n x n numbers would be too many."""
    if n > DENSE_LIMIT:
        raise MethodError(
            f"{what} holds all pairs of rows: {n:,} rows are more than {DENSE_LIMIT:,}; take fewer rows or another choice"
        )


class RatioForm:
    """sum_r s_r diag(q_r) W W' diag(q_r): inner products over what both rows are expected to have."""

    def __init__(self, values: Values, weight_r: Array, factor_nr: Array) -> None:
        self.values = values
        self.n = values.shape[0]
        size_r = np.abs(weight_r) * np.max(np.abs(factor_nr), axis=0) ** 2
        kept_r = size_r > _NEGLIGIBLE * size_r.max()
        self.weight_r, self.factor_nr = weight_r[kept_r], np.ascontiguousarray(factor_nr[:, kept_r])
        self.width = self.weight_r.size
        self.square_n = values.row_sums(np.ones(values.shape[1]), 2)

    def product(self, v_nk: Array) -> Array:
        n, k, r = self.n, v_nk.shape[1], self.width
        # All terms share one pass over W in each direction.
        inner_dk = self.values.tdot((v_nk[:, None, :] * self.factor_nr[:, :, None]).reshape(n, r * k))
        outer_nrk = self.values.dot(inner_dk).reshape(n, r, k)
        product_nk: Array = np.einsum("nrk,nr->nk", outer_nrk, self.factor_nr * self.weight_r)
        return product_nk

    def reciprocal(self, row_b: Index, col_c: Index) -> Array:
        """What inner products are multiplied by."""
        return (self.factor_nr[row_b] * self.weight_r) @ self.factor_nr[col_c].T

    def block(self, row_b: Index, col_c: Index) -> Array:
        return inner_products(self.values, row_b, col_c) * self.reciprocal(row_b, col_c)

    def diagonal(self) -> Array:
        return self.square_n * (self.factor_nr**2 @ self.weight_r)

    def lowest(self) -> float:
        # With B the low-rank reciprocal, B - lambda_min(B) I is positive semi-definite, and so is its Schur product with
        # W W': no eigenvalue is below lambda_min(B) times the largest squared norm.
        _, small_rr = np.linalg.qr(self.factor_nr)
        lowest = float(np.linalg.eigvalsh((small_rr * self.weight_r) @ small_rr.T)[0])
        return min(lowest, 0.0) * float(self.square_n.max())


class InverseForm:
    """Z Z' with Z = W / P, where 1/P is a sum of outer products of a number a row and a number a column."""

    def __init__(self, values: Values, factors: list[tuple[Array, Array]]) -> None:
        self.values = values
        self.n = values.shape[0]
        self.row_nt = np.column_stack([row_n for row_n, _ in factors])
        self.column_dt = np.column_stack([column_d for _, column_d in factors])
        self.width = self.row_nt.shape[1]

    def product(self, v_nk: Array) -> Array:
        (n, d), k, t = self.values.shape, v_nk.shape[1], self.width
        inner_dtk = self.values.tdot((v_nk[:, None, :] * self.row_nt[:, :, None]).reshape(n, t * k)).reshape(d, t, k)
        z_dk = np.einsum("dtk,dt->dk", inner_dtk, self.column_dt)
        outer_nt = self.values.dot((z_dk[:, None, :] * self.column_dt[:, :, None]).reshape(d, t * k))
        product_nk: Array = np.einsum("ntk,nt->nk", outer_nt.reshape(n, t, k), self.row_nt)
        return product_nk

    def _z(self, row_b: Index) -> Array:
        return _dense(self.values, row_b) * (self.row_nt[row_b] @ self.column_dt.T)

    def block(self, row_b: Index, col_c: Index) -> Array:
        return _tiles(self._z, row_b, col_c, self.values.shape[1])

    def diagonal(self) -> Array:
        square_n = np.zeros(self.n)
        for s in range(self.width):
            for t in range(s, self.width):
                sums_n = self.values.row_sums(self.column_dt[:, s] * self.column_dt[:, t], 2)
                square_n += (1 + (s != t)) * self.row_nt[:, s] * self.row_nt[:, t] * sums_n
        return square_n

    def weighted_square(self) -> Array:
        """Sum over the columns of W**2 / P."""
        sums = [self.values.row_sums(column_d, 2) for column_d in self.column_dt.T]
        return np.einsum("nt,nt->n", self.row_nt, np.column_stack(sums))

    def lowest(self) -> float:
        return 0.0


class ElementwiseForm:
    """Z Z' with Z = W / P for probabilities without structure, a block of rows at a time."""

    def __init__(self, values: Values, propensity: Propensity) -> None:
        self.values, self.propensity = values, propensity
        self.n = values.shape[0]
        self.width = 1

    def _z(self, row_b: Index) -> Array:
        return _dense(self.values, row_b) / self.propensity.p(row_b)

    def _span(self, start: int, stop: int) -> Array:
        z_bd: Array = self.values.rows(start, stop) / self.propensity.p(slice(start, stop))
        return z_bd

    def product(self, v_nk: Array) -> Array:
        n, d = self.values.shape
        inner_dk = np.zeros((d, v_nk.shape[1]))
        product_nk = np.empty((n, v_nk.shape[1]))
        spans = row_blocks(n, d)
        for start, stop in spans:
            inner_dk += self._span(start, stop).T @ v_nk[start:stop]
        for start, stop in spans:
            product_nk[start:stop] = self._span(start, stop) @ inner_dk
        return product_nk

    def block(self, row_b: Index, col_c: Index) -> Array:
        return _tiles(self._z, row_b, col_c, self.values.shape[1])

    def diagonal(self) -> Array:
        spans = row_blocks(*self.values.shape)
        return np.concatenate([np.sum(self._span(start, stop) ** 2, axis=1) for start, stop in spans])

    def weighted_square(self) -> Array:
        """Sum over the columns of W**2 / P."""
        parts = []
        for start, stop in row_blocks(*self.values.shape):
            parts.append(np.sum(self._span(start, stop) * self.values.rows(start, stop), axis=1))
        return np.concatenate(parts)

    def lowest(self) -> float:
        return 0.0


class DenseForm:
    """A matrix that is held, for few rows."""

    def __init__(self, gram_nn: Array) -> None:
        self.gram_nn = np.ascontiguousarray(gram_nn, dtype=np.float64)
        self.n = self.gram_nn.shape[0]
        self.width = 1

    def product(self, v_nk: Array) -> Array:
        return self.gram_nn @ v_nk

    def block(self, row_b: Index, col_c: Index) -> Array:
        return self.gram_nn[np.ix_(row_b, col_c)]

    def diagonal(self) -> Array:
        return np.diagonal(self.gram_nn).copy()

    def lowest(self) -> float:
        # Gershgorin: crude, and needs no eigenvalues.
        diagonal_n = np.diagonal(self.gram_nn)
        return min(0.0, float(np.min(diagonal_n - (np.abs(self.gram_nn).sum(axis=1) - np.abs(diagonal_n)))))


def inner_products(values: Values, row_b: Index, col_c: Index) -> Array:
    """W W' between some rows and others, b x c."""
    d = values.shape[1]
    block_bc = np.empty((row_b.size, col_c.size))
    columns = values if col_c.size == values.shape[0] and np.array_equal(col_c, np.arange(col_c.size)) else None
    if columns is None:
        columns = values.take(col_c)
    for start, stop in row_blocks(row_b.size, d):
        block_bc[start:stop] = columns.dot(_dense(values, row_b[start:stop]).T).T
    return block_bc


def _dense(values: Values, row_b: Index) -> Array:
    if row_b.size and np.array_equal(row_b, np.arange(row_b[0], row_b[0] + row_b.size)):
        return np.asarray(values.rows(int(row_b[0]), int(row_b[0]) + row_b.size), dtype=np.float64)
    return np.asarray(values.take(row_b).rows(0, row_b.size), dtype=np.float64)


def _tiles(z: Callable[[Index], Array], row_b: Index, col_c: Index, d: int) -> Array:
    block_bc = np.empty((row_b.size, col_c.size))
    for start, stop in row_blocks(row_b.size, d):
        z_bd = z(row_b[start:stop])
        for first, last in row_blocks(col_c.size, d):
            block_bc[start:stop, first:last] = z_bd @ z(col_c[first:last]).T
    return block_bc

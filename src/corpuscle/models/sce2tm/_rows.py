"""The mini-batch times a matrix: sparse where that is faster, dense where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from corpuscle.models._cells import SparseRows

__all__ = ["Rows"]

#: Above this share of entries other than zero a dense product is as fast, measured on one AVX-512 core.
DENSE_ABOVE = 0.3


class Rows:
    """Expression of the cells of a mini-batch, ready to be multiplied from either side.

    Parameters
    ----------
    x
        Cells x genes: a dense tensor, or compressed rows. What is sparse is multiplied as such on a CPU if no more than
        three tenths of its entries are other than zero, and made dense otherwise.

    Attributes
    ----------
    shape
        (b, V).
    dense
        The cells as a dense tensor, or None if they are multiplied as sparse rows.
    """

    def __init__(self, x: Tensor | SparseRows) -> None:
        self.dense: Tensor | None = None
        self._transposed: tuple[Tensor, Tensor, Tensor] | None = None
        if isinstance(x, Tensor):
            self.dense, self.shape = x, (int(x.shape[0]), int(x.shape[1]))
            return
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self._crow, self._col, self._values = x.crow, x.col, x.values
        if x.values.device.type != "cpu" or x.values.numel() > DENSE_ABOVE * self.shape[0] * self.shape[1]:
            self.dense = _densify(x)

    def sums(self) -> Tensor:
        """Sum of each cell, shape (b,)."""
        if self.dense is not None:
            return self.dense.sum(1)
        return self.times(self._values.new_ones(self.shape[1], 1))[:, 0]

    def times(self, weight_gh: Tensor) -> Tensor:
        """Expression x weight, shape (b, H); differentiable in the weight."""
        if self.dense is not None:
            return self.dense @ weight_gh
        return _SparseProduct.apply(weight_gh, self)

    def sparse_times(self, weight_gh: Tensor) -> Tensor:
        """The sparse product by itself: a weighted sum of weight rows for each cell."""
        return _weighted_sums(self._crow, self._col, self._values, weight_gh)

    def transposed_times(self, rows_bh: Tensor) -> Tensor:
        """Transposed expression x rows, shape (V, H); not differentiated."""
        if self.dense is not None:
            return self.dense.T @ rows_bh
        if self._transposed is None:
            self._transposed = _transpose(self._crow, self._col, self._values, self.shape)
        return _weighted_sums(*self._transposed, rows_bh)


def _densify(x: SparseRows) -> Tensor:
    cell = torch.repeat_interleave(torch.arange(len(x.crow) - 1, device=x.crow.device), x.crow.diff())
    dense = x.values.new_zeros(x.shape)
    dense.view(-1)[cell * x.shape[1] + x.col] = x.values
    return dense


def _weighted_sums(crow: Tensor, col: Tensor, values: Tensor, table: Tensor) -> Tensor:
    return embedding_bag(col, table.contiguous(), crow, mode="sum", per_sample_weights=values, include_last_offset=True)


def _transpose(crow: Tensor, col: Tensor, values: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    # SciPy's counting sort is linear and works on the tensors' own memory; a sort in torch takes 20 times as long.
    columns = sp.csr_array((values.numpy(), col.numpy(), crow.numpy()), shape=shape).tocsc()
    index = np.int32 if crow.dtype == torch.int32 else np.int64
    return (
        torch.from_numpy(columns.indptr.astype(index, copy=False)),
        torch.from_numpy(columns.indices.astype(index, copy=False)),
        torch.from_numpy(columns.data),
    )


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight_gh: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        return rows.sparse_times(weight_gh)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_bh: Tensor) -> tuple[Tensor, None]:
        return ctx.rows.transposed_times(grad_bh), None

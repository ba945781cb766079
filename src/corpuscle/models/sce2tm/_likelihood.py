"""Reconstruction loss: the multinomial cross-entropy of cells whose gene logits are a low-rank product.

For a cell with expression x and gene logits o = d W (d: its topics; W: topic weights of all genes),

    L = - sum_j x_j ln softmax(o)_j = (sum_j x_j) ln sum_j exp(o_j) - (x W') d'

so the expression enters only by the thin product x W', and the cells x genes array of exponentials is needed
only a few cells at a time. Loss and gradient are finished while a block of it is still in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corpuscle.models.sce2tm._rows import Rows

__all__ = ["softmax_cross_entropy"]

#: Entries of a block of logits on a CPU: 1 MB of float32, what stays in the cache of one core.
BLOCK_ENTRIES = 2**18


def softmax_cross_entropy(design_bk: Tensor, weight_kg: Tensor, rows: Rows, row_sum_b: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of expression against softmax(design x weight) over genes.

    Parameters
    ----------
    design_bk
        What each cell has of each row of ``weight_kg``, shape (b, K).
    weight_kg
        Contribution to the logit of each gene, shape (K, V).
    rows
        Expression of the same cells, b x V.
    row_sum_b
        Sum of each cell's expression, shape (b,).

    Returns
    -------
    mean
        Mean over the cells; differentiable (once) in ``design_bk`` and ``weight_kg``.
    each
        Value of each cell, shape (b,), without gradient.
    """
    wanted = torch.is_grad_enabled() and (design_bk.requires_grad or weight_kg.requires_grad)
    return _CrossEntropy.apply(design_bk, weight_kg, rows, row_sum_b, wanted)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, design_bk: Tensor, weight_kg: Tensor, rows: Rows, row_sum_b: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor]:
        n_cells, n_genes = rows.shape
        x_weight_bk = rows.times(weight_kg.T.contiguous())
        log_total_b = torch.empty_like(row_sum_b)
        grad_design_bk = torch.empty_like(design_bk)
        grad_weight_kg = torch.zeros_like(weight_kg)
        step = n_cells if design_bk.is_cuda else max(1, BLOCK_ENTRIES // n_genes)
        for start in range(0, n_cells, step):
            block = slice(start, start + step)
            logits = design_bk[block] @ weight_kg
            largest = logits.amax(1, keepdim=True)
            exps = logits.sub_(largest).exp_()
            total = exps.sum(1, keepdim=True)
            log_total_b[block] = (total.log() + largest)[:, 0]
            if wanted:
                share = row_sum_b[block, None] / total
                grad_design_bk[block] = (exps @ weight_kg.T) * share
                grad_weight_kg.addmm_((design_bk[block] * share).T, exps)
        each_b = row_sum_b * log_total_b - (x_weight_bk * design_bk).sum(1)
        if wanted:
            grad_design_bk.sub_(x_weight_bk).div_(n_cells)
            grad_weight_kg.sub_(rows.transposed_times(design_bk).T).div_(n_cells)
            ctx.save_for_backward(grad_design_bk, grad_weight_kg)
        ctx.mark_non_differentiable(each_b)
        return each_b.mean(), each_b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _each: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_design_bk, grad_weight_kg = ctx.saved_tensors
        return grad * grad_design_bk, grad * grad_weight_kg, None, None, None

"""Squared distances of topics and genes: the cost of the transport, with a derivative in few passes over memory.

Differentiated step by step, the projection to the sphere and the squared lengths each read and write arrays of
genes x dimensions several times, which takes longer than the products. Written out, the derivative is two products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["squared_distances"]

#: Vectors shorter than this are left as short when projected, as torch.nn.functional.normalize does.
SHORTEST = 1e-12


def squared_distances(topic_kd: Tensor, gene_gd: Tensor, *, on_sphere: bool) -> Tensor:
    """Squared Euclidean distances of all topics and genes, shape (K, G); differentiable once.

    Parameters
    ----------
    topic_kd, gene_gd
        Vectors, one a row.
    on_sphere
        Of the vectors divided by their lengths, ``2 - 2 cos``.
    """
    return (_OnSphere if on_sphere else _Free).apply(topic_kd, gene_gd)


class _Free(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, topic_kd: Tensor, gene_gd: Tensor) -> Tensor:
        ctx.save_for_backward(topic_kd, gene_gd)
        lengths_kg = _lengths(topic_kd).square()[:, None] + _lengths(gene_gd).square()
        return lengths_kg.addmm_(topic_kd, gene_gd.T, alpha=-2.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_kg: Tensor) -> tuple[Tensor, Tensor]:
        topic_kd, gene_gd = ctx.saved_tensors
        topic_grad_kd = (topic_kd * grad_kg.sum(1)[:, None]).addmm_(grad_kg, gene_gd, beta=2.0, alpha=-2.0)
        gene_grad_gd = (gene_gd * grad_kg.sum(0)[:, None]).addmm_(grad_kg.T, topic_kd, beta=2.0, alpha=-2.0)
        return topic_grad_kd, gene_grad_gd


class _OnSphere(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, topic_kd: Tensor, gene_gd: Tensor) -> Tensor:
        topic_k, gene_g = _lengths(topic_kd).clamp_min(SHORTEST), _lengths(gene_gd).clamp_min(SHORTEST)
        cosine_kg = (topic_kd / topic_k[:, None]) @ gene_gd.T
        cosine_kg /= gene_g
        ctx.save_for_backward(topic_kd, gene_gd, topic_k, gene_g, cosine_kg)
        return cosine_kg.mul(-2.0).add_(2.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_kg: Tensor) -> tuple[Tensor, Tensor]:
        topic_kd, gene_gd, topic_k, gene_g, cosine_kg = ctx.saved_tensors
        pull_kg = grad_kg * cosine_kg
        # Divided by both lengths once, one array serves both products; what is left of each is along its own vector.
        grad_kg = grad_kg / gene_g
        grad_kg /= topic_k[:, None]
        along_k, along_g = pull_kg.sum(1) / topic_k.square(), pull_kg.sum(0) / gene_g.square()
        topic_grad_kd = (topic_kd * along_k[:, None]).addmm_(grad_kg, gene_gd, beta=2.0, alpha=-2.0)
        gene_grad_gd = (gene_gd * along_g[:, None]).addmm_(grad_kg.T, topic_kd, beta=2.0, alpha=-2.0)
        return topic_grad_kd, gene_grad_gd


def _lengths(vector_nd: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector_nd, dim=1)

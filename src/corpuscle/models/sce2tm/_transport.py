"""Embedding clustering regularisation: the transport cost between topics and genes, and its exact gradient.

Every topic must be the centre of a cluster of genes of its own, and the genes' mass is shared out evenly among topics
(Wu et al. 2023, "Effective neural topic modeling with embedding clustering regularization", arXiv 2306.04217). The loss
``sum pi*_kg C_kg`` is taken at the entropic plan ``pi*``, without the entropy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm._transport_solve import (
    MAX_STEPS,
    TOLERANCE,
    Plan,
    gene_masses,
    laplacian_factor,
    laplacian_solve,
    sinkhorn_plan,
)

__all__ = ["Plan", "Transport", "sinkhorn_plan", "transport_cost", "unrolled_cost", "unrolled_plan"]

#: The published loop: the guard of its divisions, where it stops, and how often it looks.
GUARD, PUBLISHED_STOP, PUBLISHED_MOST, PUBLISHED_EVERY = 1e-16, 0.005, 1000, 50


def transport_cost(
    cost_kg: Tensor,
    epsilon: float,
    *,
    gene_mass_g: Tensor | None = None,
    warm: Plan | None = None,
    tol: float = TOLERANCE,
    max_iter: int = MAX_STEPS,
) -> tuple[Tensor, Plan]:
    """Transport cost ``sum pi* C`` at the entropic plan, differentiable in the cost.

    Parameters
    ----------
    cost_kg, epsilon, gene_mass_g, warm, tol, max_iter
        As for :func:`sinkhorn_plan`.

    Returns
    -------
    loss, plan
        Scalar in the units of the cost; the plan carries no gradient.

    Notes
    -----
    The plan is the fixed point of its own scaling, so that its derivative is known without the way that led to it
    (implicit differentiation): with ``a_k + b_g`` the two-way weighted fit of ``C`` under the weights ``pi``,
    ``dL/dC = pi (1 - (C - a_k - b_g) / epsilon)``. Since ``C = f_k + h_g - epsilon ln pi``, the residual is that of
    ``-epsilon ln pi``, which stays small however large the costs are.

    Raises
    ------
    MethodError
        As :func:`sinkhorn_plan`.
    """
    plan = sinkhorn_plan(cost_kg, epsilon, gene_mass_g=gene_mass_g, warm=warm, tol=tol, max_iter=max_iter)
    if not (torch.is_grad_enabled() and cost_kg.requires_grad):
        return torch.dot(plan.plan_kg.flatten(), cost_kg.detach().to(plan.plan_kg).flatten()), plan
    with torch.no_grad():
        grad_kg, factor_kl = _gradient(plan.plan_kg)
    return _AtPlan.apply(cost_kg, plan.plan_kg, grad_kg), replace(plan, factor_kl=factor_kl)


def _gradient(plan_kg: Tensor) -> tuple[Tensor, Tensor]:
    """Derivative of ``sum pi* C`` in the cost, a function of the plan alone and without units; and the Hessian."""
    lowest = torch.finfo(plan_kg.dtype).tiny
    column_g = plan_kg.sum(0).clamp_min_(lowest)
    factor_kl = laplacian_factor((plan_kg / column_g) @ plan_kg.T)
    # Mass that underflowed to 0 weighs nothing in the sums below, so that its logarithm need only be finite.
    entropy_kg = plan_kg.clamp_min(lowest).log_().mul_(plan_kg)
    mean_g = entropy_kg.sum(0) / column_g
    topic_k = laplacian_solve(factor_kl, plan_kg @ mean_g - entropy_kg.sum(1))
    gene_g = 1 - mean_g - (topic_k @ plan_kg) / column_g
    return (topic_k[:, None] + gene_g).mul_(plan_kg).add_(entropy_kg), factor_kl


class _AtPlan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cost_kg: Tensor, plan_kg: Tensor, grad_kg: Tensor) -> Tensor:
        ctx.save_for_backward(grad_kg.to(cost_kg.dtype))
        return torch.dot(plan_kg.flatten(), cost_kg.to(plan_kg.dtype).flatten())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None


def unrolled_plan(cost_kg: Tensor, epsilon: float, gene_mass_g: Tensor | None = None) -> tuple[Tensor, int, float]:
    """Plan, iterations and error of the published plain-domain loop, with the graph of every iteration.

    Raises
    ------
    MethodError
        The kernel ``exp(-C / epsilon)`` underflowed, so that the mass of the plan is not 1.
    """
    n_topics = cost_kg.shape[0]
    mass_g = gene_masses(gene_mass_g, cost_kg)
    kernel_kg = torch.exp(-cost_kg / epsilon)
    u_k = cost_kg.new_full((n_topics,), 1.0 / n_topics)
    for iteration in range(1, PUBLISHED_MOST + 1):
        v_g = mass_g / (u_k @ kernel_kg + GUARD)
        u_k = (1.0 / n_topics) / (kernel_kg @ v_g + GUARD)
        if iteration % PUBLISHED_EVERY == 1:
            error = float((v_g * (u_k @ kernel_kg) - mass_g).detach().abs().sum())
            if error <= PUBLISHED_STOP:
                break
    plan_kg = u_k[:, None] * kernel_kg * v_g
    total = float(plan_kg.detach().sum())
    if not abs(total - 1) <= 0.01:
        raise MethodError(
            f"transport: the published loop underflowed, its plan has mass {total:.3g} and not 1; "
            "use ecr_solver='implicit' or normalize_embeddings=True"
        )
    return plan_kg, iteration, error


def unrolled_cost(cost_kg: Tensor, epsilon: float, gene_mass_g: Tensor | None = None) -> Tensor:
    """Transport cost by the published plain-domain loop, differentiated through all of its iterations.

    Raises
    ------
    MethodError
        As :func:`unrolled_plan`; the published code returns a loss of 0 there.
    """
    return (unrolled_plan(cost_kg, epsilon, gene_mass_g)[0] * cost_kg).sum()


class Transport(torch.nn.Module):
    """The transport term of a training run: each step starts where the last one ended.

    Parameters
    ----------
    n_topics, n_genes
        Shape of the cost.
    epsilon
        Weight of the entropy, in units of the cost.
    solver
        ``"implicit"``: :func:`transport_cost`; ``"unrolled"``: :func:`unrolled_cost`.
    gene_mass_g
        Share of the mass that a gene takes; None: the same for every gene.

    Attributes
    ----------
    iterations
        Iterations of the last call.
    error
        Error of the column sums at its end.
    """

    gene_mass_g: Tensor | None

    def __init__(
        self,
        n_topics: int,
        n_genes: int,
        epsilon: float,
        solver: Literal["implicit", "unrolled"] = "implicit",
        gene_mass_g: Tensor | None = None,
    ) -> None:
        super().__init__()
        if solver not in ("implicit", "unrolled"):
            raise OptionError(f"ecr_solver={solver!r} must be one of: implicit, unrolled")
        if not epsilon > 0:
            raise OptionError(f"ecr_epsilon={epsilon} must be more than 0")
        if gene_mass_g is not None:
            gene_mass_g = gene_masses(gene_mass_g, torch.empty(1, n_genes))
        self.epsilon, self.solver = epsilon, solver
        self.iterations, self.error = 0, float("nan")
        self._last: Plan | None = None
        self.register_buffer("gene_mass_g", gene_mass_g, persistent=False)

    def forward(self, cost_kg: Tensor) -> Tensor:
        """Transport cost of topics x genes, scalar.

        Raises
        ------
        MethodError
            No plan could be found; see :func:`sinkhorn_plan` and :func:`unrolled_plan`.
        """
        if self.solver == "unrolled":
            plan_kg, self.iterations, self.error = unrolled_plan(cost_kg, self.epsilon, self.gene_mass_g)
            return (plan_kg * cost_kg).sum()
        loss, plan = transport_cost(cost_kg, self.epsilon, gene_mass_g=self.gene_mass_g, warm=self._last)
        self._last, self.iterations, self.error = plan, plan.iterations, plan.error
        return loss

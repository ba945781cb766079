"""Entropic transport between topics and genes, solved to the last digit in a few steps.

The plan that minimises ``sum pi C + epsilon sum pi (ln pi - 1)`` with given row and column sums is
``pi_kg = exp((f_k + h_g - C_kg) / epsilon)``. For any ``f`` the best ``h`` is known in closed form, so that the search
is over the K topic potentials alone, and the objective is concave in them (Cuturi and Peyré 2018, "Semidual regularized
optimal transport"). Two moves climb it:

- Sinkhorn: scale every row to its sum. Never fails, slow near the end when the plan is sharp.
- Newton: the Hessian is the Laplacian of a graph that joins topics which share genes; one K x G x K product and one
  K x K solve, and the number of right digits doubles. Taken only when it brings the row sums nearer.

Everything is written in the share of a gene that each topic holds, ``share_kg = pi_kg / mass_g``, whose columns sum to
one by construction and cannot underflow to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from corpuscle.errors import MethodError

__all__ = ["Plan", "gene_masses", "laplacian_factor", "laplacian_solve", "sinkhorn_plan"]

#: Error of the row sums (summed over topics) at which a search stops: about what float32 can hold.
TOLERANCE = 1e-5
MAX_STEPS = 100
#: Scalings stay within exp(+-this) of the kernel they multiply, far inside float32.
SAFE_LOG = 20.0
#: A warm start that has not arrived after this many steps begins anew, in float64.
WARM_STEPS = 30
#: A step with a borrowed Hessian counts if it takes at least half of this share off the error.
BORROWED_GAIN = 1.2
#: Each level of a cold start divides the regularisation by this.
ANNEALING = 2.0
_LOOSE = 1e-4
LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Plan:
    """An entropic transport plan from topics to genes.

    Attributes
    ----------
    plan_kg
        Mass from topic k to gene g; rows sum to 1/K, columns to the mass of the gene.
    potentials
        ``f_k``, in units of the cost and with mean 0: the start of the next search.
    iterations
        Products with the kernel, in pairs: what one Sinkhorn iteration costs.
    error
        Sum over genes of the absolute error of the column sums; the rows are exact.
    factor_kl
        Factor of the Hessian at the plan, if it was needed: the next search steps with it.
    """

    plan_kg: Tensor
    potentials: Tensor
    iterations: int
    error: float
    factor_kl: Tensor | None = None


def sinkhorn_plan(
    cost_kg: Tensor,
    epsilon: float,
    *,
    gene_mass_g: Tensor | None = None,
    warm: Plan | None = None,
    tol: float = TOLERANCE,
    max_iter: int = MAX_STEPS,
) -> Plan:
    """Find the entropic transport plan between equally heavy topics and genes.

    Parameters
    ----------
    cost_kg
        Cost of moving mass from topic k to gene g, K x G; any finite values of any size.
    epsilon
        Weight of the entropy, in units of the cost.
    gene_mass_g
        Share of the mass that a gene takes; made to sum to 1. None: the same for every gene.
    warm
        Plan for a cost near this one.
    tol
        Largest total error of the column sums.
    max_iter
        Most steps at one level of regularisation.

    Raises
    ------
    MethodError
        The cost is not finite, a mass makes no sense, or no plan within ``tol`` was reached.

    References
    ----------
    Cuturi (2013), "Sinkhorn distances"; Schmitzer (2019), "Stabilized sparse scaling algorithms for entropy
    regularized transport problems"; Brauer, Clason, Lorenz and Wirth (2017), "A Sinkhorn-Newton method for entropic
    optimal transport".
    """
    with torch.no_grad():
        cost_kg = cost_kg.detach()
        if not cost_kg.is_floating_point() or cost_kg.dtype in (torch.float16, torch.bfloat16):
            cost_kg = cost_kg.float()
        if not math.isfinite(float(cost_kg.sum())):
            raise MethodError("transport: a cost is not finite, so training has diverged; lower the learning rate (lr)")
        mass_g = gene_masses(gene_mass_g, cost_kg)
        spent = 0
        if warm is not None:
            search = _Search(cost_kg, 1 / epsilon, mass_g, warm.potentials.to(cost_kg) / epsilon)
            if search.climb(tol, min(max_iter, WARM_STEPS), warm.factor_kl):
                return search.plan(epsilon, cost_kg.dtype)
            spent = search.iterations
        search = _cold(cost_kg, epsilon, mass_g, tol, max_iter)
        search.iterations += spent
        return search.plan(epsilon, cost_kg.dtype)


def gene_masses(gene_mass_g: Tensor | None, cost_kg: Tensor) -> Tensor:
    """Give every gene's share of the mass, on the device and in the precision of the cost.

    Raises
    ------
    MethodError
        Not one mass a gene, or a negative, infinite or missing one, or none above 0.
    """
    n_genes = cost_kg.shape[1]
    if gene_mass_g is None:
        return cost_kg.new_full((n_genes,), 1.0 / n_genes)
    if gene_mass_g.shape != (n_genes,):
        raise MethodError(f"transport: {tuple(gene_mass_g.shape)} gene masses for {n_genes} genes; give one for each")
    mass_g = gene_mass_g.detach().double()
    if not bool((mass_g >= 0).all() & torch.isfinite(mass_g).all() & (mass_g.sum() > 0)):
        raise MethodError("transport: gene masses must be finite, not negative, and not all 0")
    return (mass_g / mass_g.sum()).to(cost_kg)


def _cold(cost_kg: Tensor, epsilon: float, mass_g: Tensor, tol: float, max_iter: int) -> _Search:
    """Start from nothing: in float64, from a regularisation as wide as the costs down to the one asked for."""
    precise = cost_kg if cost_kg.device.type == "mps" else cost_kg.double()
    spread = float((precise - precise.amin(0)).amax())
    level = 1.0
    while epsilon * level * SAFE_LOG < spread:
        level *= ANNEALING
    phi_k, spent = precise.new_zeros(precise.shape[0]), 0
    while True:
        search = _Search(precise, 1 / (epsilon * level), mass_g.to(precise), phi_k)
        search.iterations = spent
        arrived = search.climb(tol if level == 1.0 else _LOOSE, max_iter)
        if level == 1.0:
            break
        # The potentials of a level are those of the next in units of its smaller regularisation.
        phi_k, spent, level = search.potentials() * ANNEALING, search.iterations, level / ANNEALING
    if not arrived:
        raise MethodError(
            f"transport: no plan after {search.iterations} iterations (error {float(search.error):.1e}); "
            "raise ecr_epsilon, or keep the vectors on the sphere (normalize_embeddings=True)"
        )
    return search


class _Search:
    """The climb at one regularisation, ``1 / rate``; potentials are in its units.

    Between two exponentials the kernel stays as it is and only the scalings ``scale_k`` of its rows move.
    """

    def __init__(self, cost_kg: Tensor, rate: float, mass_g: Tensor, phi_k: Tensor) -> None:
        self.cost_kg, self.rate, self.mass_g = cost_kg, rate, mass_g
        self.row_mass = 1.0 / cost_kg.shape[0]
        self.least_log2 = 0.95 * math.log2(torch.finfo(cost_kg.dtype).tiny)
        self.iterations = 0
        self._absorb(phi_k - phi_k.mean())

    def climb(self, tol: float, max_steps: int, factor_kl: Tensor | None = None) -> bool:
        """Move until the row sums are within ``tol`` in all; False when that takes more than ``max_steps``.

        ``factor_kl`` is the factor of a Hessian near by: good enough for a few steps, and nearly free.
        """
        self._look(torch.zeros_like(self.phi_k))
        for _ in range(max_steps):
            error = float(self.error)
            if not error > tol:
                return error == error
            if factor_kl is not None and self._newton(factor_kl, gain=BORROWED_GAIN, tries=1):
                continue
            self._sinkhorn()
            factor_kl = laplacian_factor(self._weights())
            length = self._newton(factor_kl, gain=1.0, tries=8)
            if length < 1:
                factor_kl = None
            if length == 0:
                for _ in range(10):
                    self._sinkhorn()
        return float(self.error) <= tol

    def potentials(self) -> Tensor:
        """Topic potentials where the search stands, with mean 0."""
        phi_k = self.phi_k + self.log_scale_k
        return phi_k - phi_k.mean()

    def plan(self, epsilon: float, dtype: torch.dtype) -> Plan:
        """Scale the rows exactly and let the columns carry what error is left; the search is over."""
        scale_k = self.scale_k * (self.row_mass / self.row_k)
        plan_kg = self.kernel_kg.mul_(scale_k[:, None]).mul_(self.mass_g / self.column_g)
        error = float((plan_kg.sum(0) - self.mass_g).abs().sum())
        return Plan(plan_kg.to(dtype), (self.potentials() * epsilon).to(dtype), self.iterations, error)

    def _absorb(self, phi_k: Tensor) -> None:
        """Make a fresh kernel, the largest entry of each column being 1."""
        self.phi_k = phi_k
        # In powers of 2, and none too small to be a normal number: both are several times faster on a CPU.
        kernel_kg = torch.sub(phi_k[:, None] * LOG2_E, self.cost_kg, alpha=self.rate * LOG2_E)
        self.kernel_kg = kernel_kg.sub_(kernel_kg.amax(0)).clamp_min_(self.least_log2).exp2_()

    def _look(self, log_scale_k: Tensor) -> None:
        """Stand at a scaling: column sums of the scaled kernel, row sums of the plan, and their error."""
        self.log_scale_k, self.scale_k = log_scale_k, log_scale_k.exp()
        self.column_g = self.scale_k @ self.kernel_kg
        self.row_k = self.scale_k * (self.kernel_kg @ (self.mass_g / self.column_g))
        self.error = (self.row_k - self.row_mass).abs().sum()
        self.iterations += 1

    def _move(self, step_k: Tensor) -> None:
        log_scale_k = self.log_scale_k + step_k
        if float(log_scale_k.abs().amax()) > SAFE_LOG:
            self._absorb(self.phi_k + log_scale_k)
            log_scale_k = torch.zeros_like(log_scale_k)
        self._look(log_scale_k)

    def _sinkhorn(self) -> None:
        # The objective at fixed columns is concave in each topic by itself, so that a clipped step still climbs.
        lowest = torch.finfo(self.row_k.dtype).tiny
        self._move((self.row_mass / self.row_k.clamp_min(lowest)).log().clamp_max(SAFE_LOG / 2))

    def _weights(self) -> Tensor:
        held_kg = self.kernel_kg * (self.mass_g.sqrt() / self.column_g)
        return (held_kg @ held_kg.T) * (self.scale_k[:, None] * self.scale_k)

    def _newton(self, factor_kl: Tensor, gain: float, tries: int) -> float:
        """Step along Newton's direction, by less while the error does not fall.

        Gives the share of the step that was taken; 0, and stands where it stood, if none of ``tries`` helped.
        """
        phi_k, log_scale_k, error = self.phi_k, self.log_scale_k, float(self.error)
        step_k = laplacian_solve(factor_kl, self.row_mass - self.row_k)
        longest = float(step_k.abs().amax())
        if not math.isfinite(longest):
            return 0.0
        length = min(1.0, SAFE_LOG / 4 / max(longest, 1.0))
        for _ in range(tries):
            self._move(length * step_k)
            if float(self.error) < (1 - gain * length / 2) * error:
                return length
            if self.phi_k is not phi_k:
                self._absorb(phi_k)
            self._look(log_scale_k)
            length /= 2
        return 0.0


def laplacian_factor(weight_kl: Tensor) -> Tensor:
    """Factorise the Laplacian ``diag(W 1) - W`` of a graph of topics; the diagonal of the weights plays no part.

    The diagonal is the sum of what stands beside it and one topic is pinned, so that nothing cancels however small the
    weights are. Topics tied to the others by less than the rounding of the weights are held where they are.
    """
    margin = max(torch.finfo(weight_kl.dtype).eps, 1e-12)
    weight_kl = (weight_kl.cpu() if weight_kl.device.type == "mps" else weight_kl).double().fill_diagonal_(0)
    degree_k = weight_kl.sum(1) * (1 + margin) + 1e-30
    return torch.linalg.cholesky_ex((torch.diag(degree_k) - weight_kl)[1:, 1:])[0]


def laplacian_solve(factor_kl: Tensor, right_k: Tensor) -> Tensor:
    """Solve ``(diag(W 1) - W) x = right`` for the mean-free ``x``, given :func:`laplacian_factor` of ``W``."""
    solved_k = torch.cholesky_solve(right_k[1:, None].to(factor_kl), factor_kl)[:, 0]
    x_k = torch.cat([solved_k.new_zeros(1), solved_k])
    return (x_k - x_k.mean()).to(right_k)

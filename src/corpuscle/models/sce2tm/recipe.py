"""Every choice of an scE2TM run, in one place: what the authors did, and what we do instead and why."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from corpuscle.errors import OptionError

__all__ = ["RECIPES", "Recipe", "recipe"]

#: Mean expression sum of a cell for which the published weight of 100 was chosen.
REFERENCE_ROW_SUM = 3879.0
#: Optimiser steps after which the loss of the default recipe has levelled off, and the passes they may take.
USUAL_STEPS = 600
FEWEST_EPOCHS, MOST_EPOCHS = 30, 300


@dataclass(frozen=True)
class Recipe:
    """Choices of a model and its training; an instance never changes.

    Attributes
    ----------
    target_sum
        Counts of a cell are scaled to this sum before ``log1p``; None takes ``log1p`` of the counts as they are.
    n_top_genes
        Highly variable genes that the model sees; None takes every gene that some cell expresses.
    n_topics, n_hidden, n_embed
        Topics, width of the encoder, width of the space of topic and gene vectors.
    dropout
        Share of the encoder's output dropped in training.
    prior_alpha
        Concentration of the symmetric Dirichlet prior over topics.
    beta_temp
        Temperature of the softmax that turns distances into topic-gene weights.
    normalize_embeddings
        Keep topic and gene vectors on the unit sphere: without it the transport term has a trivial minimum, all
        vectors in one point.
    ecr_weight
        Weight of the transport term; ``"auto"`` is 100 x (mean expression sum of a cell) / 3879, since the
        reconstruction grows with that sum and the transport does not.
    ecr_contrast
        Take the mean distance between topics and genes from the transport cost. Even on the sphere, long training
        draws all vectors together, which makes every transport cheap and the topics alike; against the mean
        distance that gains nothing.
    ecr_epsilon
        Entropic regularisation of the transport.
    ecr_solver
        ``"implicit"``: warm-started log-domain Sinkhorn with the exact derivative at its fixed point; ``"unrolled"``:
        the published plain-domain loop, differentiated through every iteration, which can underflow to an empty plan.
    gene_marginal
        Share of the transport's mass that a gene carries: ``"uniform"``, or in proportion to its mean ``"expression"``.
    cross_view_weight, distill_temp, balance_weight
        Weight of the agreement with the second view; its temperature; the weight of its balance term.
    anchor_pass
        Encode the mini-batch a second time for the cross-view loss, as published. The result is the same but for
        the running statistics of the batch normalisation, at half as much work again.
    neighbors
        Neighbour sets: ``"mutual"`` nearest neighbours joined by a spanning tree, or plain ``"knn"``.
    n_neighbors
        Size of a neighbour list, the cell itself included.
    neighbor_space
        Where expression neighbours are sought: ``"pca"`` or the full ``"expression"`` matrix.
    n_pcs
        Principal components for ``"pca"``.
    include_self
        Whether a cell may be drawn as its own neighbour even when it has another.
    optimizer
        ``"rmsprop"`` or ``"adam"``.
    lr, lr_step, lr_gamma
        Learning rate, multiplied by ``lr_gamma`` every ``lr_step`` epochs (None: never).
    max_epochs, batch_size
        Passes over the cells; cells in a mini-batch. None takes as many passes as give about 600 steps, at least 30
        and at most 300.
    """

    target_sum: float | None = 1e4
    n_top_genes: int | None = 2000
    n_topics: int = 50
    n_hidden: int = 200
    n_embed: int = 200
    dropout: float = 0.0
    prior_alpha: float = 1.0
    beta_temp: float = 0.2
    normalize_embeddings: bool = True
    ecr_weight: float | Literal["auto"] = 100.0
    ecr_contrast: bool = True
    ecr_epsilon: float = 0.05
    ecr_solver: Literal["implicit", "unrolled"] = "implicit"
    gene_marginal: Literal["uniform", "expression"] = "uniform"
    cross_view_weight: float = 1.0
    distill_temp: float = 0.5
    balance_weight: float = 5.0
    anchor_pass: bool = False
    neighbors: Literal["mutual", "knn"] = "mutual"
    n_neighbors: int = 15
    neighbor_space: Literal["pca", "expression"] = "pca"
    n_pcs: int = 50
    include_self: bool = False
    optimizer: Literal["rmsprop", "adam"] = "adam"
    lr: float = 2e-3
    lr_step: int | None = None
    lr_gamma: float = 0.5
    max_epochs: int | None = None
    batch_size: int = 512

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, Any]:
        """Give the choices as plain values, for a file."""
        return asdict(self)

    def epochs_for(self, n_cells: int) -> int:
        """Passes over ``n_cells`` cells."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps_an_epoch = math.ceil(n_cells / self.batch_size)
        return min(max(math.ceil(USUAL_STEPS / steps_an_epoch), FEWEST_EPOCHS), MOST_EPOCHS)

    def ecr_weight_for(self, mean_row_sum: float) -> float:
        """Weight of the transport term on data whose cells sum to ``mean_row_sum``."""
        return 100.0 * mean_row_sum / REFERENCE_ROW_SUM if self.ecr_weight == "auto" else float(self.ecr_weight)


_CHOICES = {
    "ecr_solver": ("implicit", "unrolled"),
    "gene_marginal": ("uniform", "expression"),
    "neighbors": ("mutual", "knn"),
    "neighbor_space": ("pca", "expression"),
    "optimizer": ("rmsprop", "adam"),
}
_LEAST = {
    "n_topics": 2, "n_hidden": 1, "n_embed": 1, "n_neighbors": 2, "n_pcs": 1, "batch_size": 2,
}  # fmt: skip
_POSITIVE = ("prior_alpha", "beta_temp", "ecr_epsilon", "distill_temp", "lr", "lr_gamma")
_NOT_NEGATIVE = ("cross_view_weight", "balance_weight")


def _check(r: Recipe) -> None:
    for name in (*_LEAST, *_POSITIVE, *_NOT_NEGATIVE, "dropout"):
        if not isinstance(getattr(r, name), int | float) or isinstance(getattr(r, name), bool):
            raise OptionError(f"{name}={getattr(r, name)!r} must be a number")
    for name, allowed in _CHOICES.items():
        if getattr(r, name) not in allowed:
            raise OptionError(f"{name}={getattr(r, name)!r} must be one of: {', '.join(allowed)}")
    for name, least in _LEAST.items():
        if getattr(r, name) < least:
            raise OptionError(f"{name}={getattr(r, name)} must be {least} or more")
    for name in _POSITIVE:
        if not getattr(r, name) > 0:
            raise OptionError(f"{name}={getattr(r, name)} must be more than 0")
    for name in _NOT_NEGATIVE:
        if not getattr(r, name) >= 0:
            raise OptionError(f"{name}={getattr(r, name)} must not be negative")
    if not 0 <= r.dropout < 1:
        raise OptionError(f"dropout={r.dropout} must be at least 0 and below 1")
    if r.target_sum is not None and not r.target_sum > 0:
        raise OptionError(f"target_sum={r.target_sum} must be more than 0, or None")
    if r.n_top_genes is not None and r.n_top_genes < 2:
        raise OptionError(f"n_top_genes={r.n_top_genes} must be 2 or more, or None for every gene")
    if r.max_epochs is not None and r.max_epochs < 1:
        raise OptionError(f"max_epochs={r.max_epochs} must be 1 or more, or None")
    if r.lr_step is not None and r.lr_step < 1:
        raise OptionError(f"lr_step={r.lr_step} must be 1 or more, or None")
    if r.ecr_contrast and not r.normalize_embeddings:
        raise OptionError(
            "ecr_contrast with free vectors has no lower bound; give ecr_contrast=False too, or keep normalize_embeddings"
        )
    if r.ecr_weight != "auto" and not float(r.ecr_weight) >= 0:
        raise OptionError(f"ecr_weight={r.ecr_weight} must not be negative, or 'auto'")


RECIPES = {
    "corpuscle": Recipe(),
    "authors": Recipe(
        target_sum=None,
        n_top_genes=5000,
        n_topics=100,
        normalize_embeddings=False,
        ecr_contrast=False,
        ecr_solver="unrolled",
        anchor_pass=True,
        neighbor_space="expression",
        include_self=True,
        optimizer="rmsprop",
        lr=1e-3,
        lr_step=125,
        max_epochs=500,
    ),
}


def recipe(name: str | Recipe, **changes: Any) -> Recipe:
    """Find a recipe by name, with some of its choices changed.

    Raises
    ------
    OptionError
        No such recipe or choice, or a value that makes no sense.
    """
    if isinstance(name, Recipe):
        chosen = name
    elif name in RECIPES:
        chosen = RECIPES[name]
    else:
        raise OptionError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    known = {field.name for field in fields(Recipe)}
    for change in changes:
        if change not in known:
            raise OptionError(f"SCE2TM has no option {change!r}; it has: {', '.join(sorted(known))}")
    return replace(chosen, **changes)

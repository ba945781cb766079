"""What a model knows apart from its weights, and the way of that into a file and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from corpuscle.errors import CorpuscleError, SourceError
from corpuscle.models.sce2tm.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Card", "Expression", "Setup", "check_fits"]

Array = np.ndarray[Any, Any]
Expression = Literal["counts", "log"]


@dataclass(frozen=True)
class Setup:
    """Where the model finds its input in an AnnData.

    Attributes
    ----------
    layer
        Layer of the expression; None is ``X``.
    foundation_key
        Key in ``obsm`` of the second view of a cell, or None.
    batch_key
        Column of ``obs`` with the batches, or None.
    expression
        ``"counts"``: raw counts, which the model normalises; ``"log"``: logged values that it takes as they are.
    """

    layer: str | None = None
    foundation_key: str | None = None
    batch_key: str | None = None
    expression: Expression = "counts"


@dataclass
class Card:
    """Facts of a model.

    Attributes
    ----------
    genes
        Names of the V genes that the model sees, in order.
    recipe, setup
        Its choices, and where its input is.
    seed
        Of everything random in it.
    mean_row_sum, ecr_weight
        Mean sum of a training cell's expression over the genes, and the weight of the transport that follows from it.
    view_width
        Width of the second view, or None.
    batches
        Names of the batches that have intercepts of their own.
    n_cells
        Cells at hand when it was made.
    epochs
        Trained so far; 0 for a model that was only made.
    history
        Measure -> its value in each epoch, None where it was not measured.
    """

    genes: list[str]
    recipe: Recipe
    setup: Setup
    seed: int
    mean_row_sum: float
    ecr_weight: float
    view_width: int | None
    batches: list[str]
    n_cells: int
    epochs: int = 0
    history: dict[str, list[float | None]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, about: Mapping[str, Any], source: str) -> Card:
        """Read what :meth:`to_dict` gave, trusting nothing.

        Raises
        ------
        SourceError
            Something is missing, or is not what it must be.
        """
        try:
            card = cls(
                genes=_names(about["genes"]),
                recipe=_recipe(about["recipe"]),
                setup=_setup(about["setup"]),
                seed=_whole(about["seed"]),
                mean_row_sum=_real(about["mean_row_sum"]),
                ecr_weight=_real(about["ecr_weight"]),
                view_width=None if about["view_width"] is None else _whole(about["view_width"]),
                batches=_names(about["batches"]),
                n_cells=_whole(about["n_cells"]),
                epochs=_whole(about["epochs"]),
                history=_history(about["history"]),
            )
            if len(card.genes) < 2:
                raise ValueError("there are no genes in it")
        except KeyError as error:
            raise SourceError(
                f"{source}: {error.args[0]!r} is missing in its card; it is damaged: get it again"
            ) from None
        except (CorpuscleError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"{source}: its card does not describe a model ({reason}); get it again") from None
        return card


def check_fits(card: Card, state: Mapping[str, Tensor], source: str) -> tuple[Array, Array]:
    """Check that weights can be those of the model described, before it is made as large as the card says.

    Returns
    -------
    share_g, detected_g
        (V,) float32, as in :class:`corpuscle.models.sce2tm._input.TrainingData`.

    Raises
    ------
    SourceError
        They cannot.
    """
    n_genes, r = len(card.genes), card.recipe
    sizes = {size for tensor in state.values() for size in tensor.shape}
    needed = {n_genes, r.n_topics, r.n_hidden, r.n_embed}
    if card.view_width is not None and r.cross_view_weight > 0:
        needed.add(card.view_width)
    if card.batches:
        needed.add(len(card.batches))
    vectors = [state.get(f"genes.{name}") for name in ("share", "detected")]
    if not needed <= sizes or any(one is None or one.shape != (n_genes,) for one in vectors):
        raise SourceError(f"{source}: its weights are not those of the model it describes; get it again")
    share_g, detected_g = (np.asarray(one, np.float32) for one in vectors)
    return share_g, detected_g


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is not a whole number")
    return value


def _real(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    return float(value)


def _names(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("names are not text")
    if len(set(values)) != len(values):
        raise ValueError("a name repeats")
    return values


def _text_or_none(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not text")
    return value


def _setup(values: Any) -> Setup:
    read: dict[str, Any] = {key: _text_or_none(value) for key, value in dict(values).items()}
    setup = Setup(**read)
    if setup.expression not in get_args(Expression):
        raise ValueError(f"expression {setup.expression!r}")
    return setup


def _recipe(values: Any) -> Recipe:
    """Build a recipe from values of the right types, which its own checks of sense take for granted."""
    allowed = {"int": (int,), "bool": (bool,), "float": (int, float), "str": (str,), "None": (type(None),)}
    annotations = {one.name: str(one.type) for one in fields(Recipe)}
    for name, value in dict(values).items():
        kinds = [kind.strip() for kind in annotations.get(name, "").split("|")]
        types = tuple(t for kind in kinds for t in allowed["str" if kind.startswith("Literal") else kind])
        if type(value) not in types or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    return Recipe(**values)


def _history(values: Any) -> dict[str, list[float | None]]:
    if not isinstance(values, dict):
        raise ValueError("its history is no table")
    for name, series in values.items():
        if not isinstance(series, list) or not all(one is None or type(one) in (int, float) for one in series):
            raise ValueError(f"the history of {str(name)[:40]!r} is no list of numbers")
    return values

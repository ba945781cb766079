"""What takes part: masks that make holes, and methods that see past them, each with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuscle.benchmarks._entrant import Entrant, entrant
from corpuscle.benchmarks._method_words import each_once
from corpuscle.benchmarks.missingness import masks as known_masks
from corpuscle.benchmarks.missingness.methods import ALWAYS, DEFAULT, method_of, parse_method

__all__ = ["Entrant", "mask_entrants", "method_entrants"]

HERE = "corpuscle.benchmarks.missingness"
#: Code that every number depends on: how data are made complete, how entries are lost, and the judging.
CODE = (
    "corpuscle.benchmarks._labelled", "corpuscle.benchmarks._truth",
    *(f"{HERE}.{name}" for name in ("_data", "_mask_families", "_one", "masks", "methods", "metrics")),
)  # fmt: skip
#: What the built-in methods, and the mask that asks clusterings, are made of.
OWN_CODE = (
    "corpuscle.reduce",
    *(f"{HERE}.{name}" for name in ("_methods_fill", "_methods_gram", "_methods_model", "_ppca", "_soft_impute")),
)


def mask_entrants(masks: Iterable[Any] | str | None) -> list[Entrant]:
    """Masks by word or as objects; None is those of the evidence.

    Raises
    ------
    OptionError
        An unknown word, an object that is no mask, or the same name twice.
    """
    words = known_masks.DEFAULT if masks is None else masks
    return [_entrant(one) for one in each_once(words, known_masks.parse_mask, known_masks.mask_of, "mask")]


def method_entrants(methods: Iterable[Any] | str | None) -> list[Entrant]:
    """Methods by word or as objects, after the two fills that every table has; None is all that are quick.

    Raises
    ------
    OptionError
        An unknown word, an object that is no method, or the same name twice.
    """
    chosen = each_once(DEFAULT if methods is None else methods, parse_method, method_of, "method")
    there = {one.name for one in chosen}
    always = [parse_method(name) for name in ALWAYS if name not in there]
    return [_entrant(one) for one in sorted([*always, *chosen], key=lambda one: one.name not in ALWAYS)]


def _entrant(made: Any) -> Entrant:
    own = OWN_CODE if str(type(made).__module__).startswith(HERE) else ()
    return entrant(made, (*CODE, *own))

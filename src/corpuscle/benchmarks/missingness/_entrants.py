"""What takes part: masks that make holes, and methods that see past them, each with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._method_words import method_params, split_methods
from corpuscle.benchmarks.missingness import masks as known_masks
from corpuscle.benchmarks.missingness.methods import ALWAYS, DEFAULT, method_of, parse_method
from corpuscle.errors import OptionError

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


@dataclass(frozen=True)
class Entrant:
    """A mask or a method.

    Attributes
    ----------
    name
        Unique among its kind.
    made
        What is called.
    params
        Plain values of its parameters.
    code
        Digest of the source code that makes its numbers.
    """

    name: str
    made: Any
    params: Mapping[str, Any]
    code: str


def mask_entrants(masks: Iterable[Any] | str | None) -> list[Entrant]:
    """Masks by word or as objects; None is those of the evidence.

    Raises
    ------
    OptionError
        An unknown word, an object that is no mask, or the same name twice.
    """
    return _entrants(
        known_masks.DEFAULT if masks is None else masks, known_masks.parse_mask, known_masks.mask_of, "mask"
    )


def method_entrants(methods: Iterable[Any] | str | None) -> list[Entrant]:
    """Methods by word or as objects, after the two fills that every table has; None is all that are quick.

    Raises
    ------
    OptionError
        An unknown word, an object that is no method, or the same name twice.
    """
    chosen = _entrants(DEFAULT if methods is None else methods, parse_method, method_of, "method")
    there = {one.name for one in chosen}
    always = [_entrant(parse_method(name)) for name in ALWAYS if name not in there]
    return sorted([*always, *chosen], key=lambda one: one.name not in ALWAYS)


def _entrants(
    words: Iterable[Any] | str, parse: Callable[[str], Any], check: Callable[[Any], Any], what: str
) -> list[Entrant]:
    listed = split_methods(words) if isinstance(words, str) else list(words)
    out = [_entrant(parse(word) if isinstance(word, str) else check(word)) for word in listed]
    names = [one.name for one in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{what} {twice[0]!r} is given twice; give each its own name")
    if not out:
        raise OptionError(f"no {what} was given")
    return out


def _entrant(made: Any) -> Entrant:
    module = str(type(made).__module__)
    own = OWN_CODE if module.startswith(HERE) else ()
    code = source_digest((*CODE, *own, module, *getattr(made, "code", ())))
    return Entrant(made.name, made, method_params(made), code)

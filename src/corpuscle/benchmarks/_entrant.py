"""What takes part in a benchmark, with all that makes its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._method_words import method_params

__all__ = ["Entrant", "entrant"]


@dataclass(frozen=True)
class Entrant:
    """A method, a source of scores, a refinement or a mask.

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


def entrant(made: Any, modules: Sequence[str]) -> Entrant:
    """Take in what was made; its numbers depend on these modules, on its own, and on those that it names as its code."""
    code = source_digest((*modules, str(type(made).__module__), *getattr(made, "code", ())))
    return Entrant(made.name, made, method_params(made), code)

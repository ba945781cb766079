"""What takes part: a method under a name, with what it is told and all that makes it what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from corpuscle.benchmarks._engines import source_digest
from corpuscle.benchmarks._method_words import method_params, split_methods
from corpuscle.benchmarks.clustering.methods import method_names, parse_method
from corpuscle.errors import OptionError

__all__ = ["Entrant", "default_methods", "entrants"]

TOLD = ("nothing", "n_types")
#: Source that every score depends on.
SCORING = tuple(f"corpuscle.benchmarks.clustering.{name}" for name in ("score", "_metrics", "_graph", "_methods_cells"))
#: Packages of the extra that a trained method needs.
TRAINED = {"sce2tm": ("torch", "lightning", "scvi"), "scvi": ("torch", "lightning", "scvi")}


@dataclass(frozen=True)
class Entrant:
    """One row of the leaderboard.

    Attributes
    ----------
    name, told
        Its name, unique in a run; what it is told of the truth: ``"nothing"`` or ``"n_types"``.
    method
        Called as ``method(cells, seed=..., n_types=...)``.
    params
        Plain values of its parameters.
    source
        Digest of the code that makes its numbers: its own module, and those that its attribute ``code`` names.
    """

    name: str
    told: str
    method: Any
    params: Mapping[str, Any]
    source: str


def default_methods() -> list[str]:
    """Both baselines, and the trained methods whose extra is installed."""
    found = ["pca_leiden", "pca_kmeans"]
    return found + [name for name, needs in TRAINED.items() if all(find_spec(package) for package in needs)]


def entrants(methods: Iterable[Any] | None) -> list[Entrant]:
    """Methods by name (with parameters after a colon), or as objects; None is :func:`default_methods`.

    Raises
    ------
    OptionError
        An unknown name, an object that is no method, or the same name twice.
    """
    if isinstance(methods, str):
        methods = split_methods(methods)
    out = [_entrant(method) for method in (default_methods() if methods is None else methods)]
    names = [one.name for one in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"method {twice[0]!r} is given twice; give each its own name")
    if not out:
        raise OptionError(f"no method was given; there are: {', '.join(method_names())}")
    return out


def _entrant(method: Any) -> Entrant:
    made = parse_method(method) if isinstance(method, str) else method
    name, told = getattr(made, "name", None), getattr(made, "told", None)
    if not callable(made) or not isinstance(name, str) or not name:
        raise OptionError(f"{method!r} is no method: it needs a name, what it is told, and to be called with cells")
    if told not in TOLD:
        raise OptionError(f"method {name}: told is {told!r}; it must be {' or '.join(map(repr, TOLD))}")
    source = source_digest((*SCORING, str(made.__module__), *getattr(made, "code", ())))
    return Entrant(name, told, made, method_params(made), source)

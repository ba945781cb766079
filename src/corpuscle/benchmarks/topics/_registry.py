"""Names to topic methods: ours, those that other packages bring, and readings of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from corpuscle._plugins import Plugins
from corpuscle.benchmarks._method_words import construct, named_with, read_method, split_methods
from corpuscle.benchmarks.topics.methods import OWN, SHUFFLED, Reading, TopicMethod
from corpuscle.errors import OptionError

__all__ = ["ENTRY_POINT_GROUP", "as_readings", "default_methods", "method_names", "topic_method"]

#: A package adds its own method with an entry point of this group: ``my_method = "my_package:MyMethod"``.
ENTRY_POINT_GROUP = "corpuscle.topic_methods"
#: Name -> where the class is, in this package; imported only when it is asked for, since some need optional extras.
BUILT_IN = {
    "sce2tm": "_methods_sce2tm:SCE2TM",
    "linear_scvi": "_methods_scvi:LinearSCVI",
    "amortized_lda": "_methods_scvi:AmortizedLDA",
    "nmf": "_methods_nmf:NMF",
}
PLUGINS = Plugins("topic method", ENTRY_POINT_GROUP, "corpuscle.benchmarks.topics", BUILT_IN)
#: Names for readings of another method's topics.
ALIASES = {"sce2tm_prob": "sce2tm@prob", "shuffled": f"nmf@{SHUFFLED}"}
#: Packages of the extra that the trained methods need.
TRAINED = ("torch", "lightning", "scvi")


def default_methods() -> list[str]:
    """Every built-in method whose packages are installed."""
    trained = all(find_spec(package) for package in TRAINED)
    return (
        ["sce2tm", "sce2tm_prob", "linear_scvi", "amortized_lda", "nmf", "shuffled"] if trained else ["nmf", "shuffled"]
    )


def method_names() -> list[str]:
    """Names of every method that can be asked for, ours first."""
    return [*BUILT_IN, *ALIASES, *sorted(set(PLUGINS.external) - set(BUILT_IN) - set(ALIASES))]


def topic_method(name: str, **params: Any) -> TopicMethod:
    """Construct the method registered under ``name``; with parameters, they become part of its name.

    Raises
    ------
    OptionError
        No such name or parameter, or the package that brings it cannot be imported.
    """
    return _made(name, PLUGINS.find(name), params)


def as_readings(methods: Iterable[str | TopicMethod] | str | None) -> list[Reading]:
    """Methods in words, or as objects; None is :func:`default_methods`.

    ``NAME``, ``NAME:key=value,...`` and ``module:Class`` name a method, and ``@RANKING`` after it one of its rankings.
    ``sce2tm_prob`` is ``sce2tm@prob``: the same fit, its genes ranked by their probability in a topic. ``shuffled`` is
    ``nmf@shuffled``: what every number is when names of genes mean nothing.

    Raises
    ------
    OptionError
        An unknown name, an object that is no method, or the same name twice.
    """
    if isinstance(methods, str):
        methods = split_methods(methods)
    made: dict[str, TopicMethod] = {}
    out = [_as_reading(method, made) for method in (default_methods() if methods is None else methods)]
    names = [reading.name for reading in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"method {twice[0]!r} is given twice; give each its own name")
    if not out:
        raise OptionError(f"no method was given; there are: {', '.join(method_names())}")
    return out


def _as_reading(method: str | TopicMethod, made: dict[str, TopicMethod]) -> Reading:
    """One reading; readings of one and the same method share its object, and so its fits."""
    if not isinstance(method, str):
        checked = _checked(repr(method), method)
        return Reading(checked.name, checked)
    words, _, ranking = ALIASES.get(method, method).partition("@")
    if words not in made:
        made[words] = _parsed(words)
    name = made[words].name
    if method in ALIASES:
        name = method
    elif ranking not in ("", OWN):
        name = f"{name}@{ranking}"
    return Reading(name, made[words], ranking or OWN)


def _parsed(text: str) -> TopicMethod:
    """A method by name or ``module:Class``, with parameters read as the annotations of its constructor say."""
    return _made(*read_method(text, PLUGINS.find))


def _made(name: str, kind: Any, params: dict[str, Any]) -> TopicMethod:
    method = _checked(name, construct(name, kind, params))
    if params:
        method.name = named_with(method.name, params)
    return method


def _checked(name: str, method: Any) -> TopicMethod:
    if not isinstance(method, TopicMethod) or not isinstance(method.name, str) or not method.name:
        raise OptionError(f"{name} is no topic method: it must have a name and fit(cells, n_topics=..., seed=...)")
    return method

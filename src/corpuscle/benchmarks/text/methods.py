"""What takes part in the benchmark of cells and text: anything that says how well a text fits a cell.

A method is a callable with a few attributes::

    class Mine:
        name = "mine"
        told = "the captions of the training cells"   # in a few words, what it knows of the truth
        needs_vectors = True                          # False where it takes no embedding

        def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer: ...

It is given the training cells with their captions and the other cells without. A package adds its own by an entry
point of the group ``corpuscle.text_methods``; on the command line, ``module:Class`` names one that is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from corpuscle._plugins import Plugins
from corpuscle.benchmarks._method_words import check_words, made, read_method
from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.benchmarks.text._draw import Shown

__all__ = [
    "ALWAYS",
    "DEFAULT",
    "ENTRY_POINT_GROUP",
    "Scorer",
    "TextMethod",
    "checked_scorer",
    "checked_scores",
    "method_names",
    "method_of",
    "parse_method",
    "text_method",
]

Array = np.ndarray[Any, Any]

ENTRY_POINT_GROUP = "corpuscle.text_methods"
#: Id -> where the class is, in this package; imported only when it is asked for.
BUILT_IN = {
    "celltext": "_methods_celltext:Trained",
    "untrained": "_methods_celltext:Untrained",
    "shuffled": "_methods_celltext:Shuffled",
    "logistic": "_methods_baselines:Logistic",
    "logistic_text": "_methods_baselines:LogisticText",
    "centroid": "_methods_baselines:Centroid",
    "majority": "_methods_baselines:Majority",
    "markers": "_methods_words:MarkerGenes",
    "sentences": "_methods_words:Sentences",
    "sentences_trained": "_methods_words:SentencesTrained",
}
PLUGINS = Plugins("method of cells and text", ENTRY_POINT_GROUP, "corpuscle.benchmarks.text", BUILT_IN)
#: In every table, asked for or not: two simple baselines that are hard to beat, and two that anything has to beat.
ALWAYS = ("logistic", "logistic_text", "majority", "shuffled")
#: Asked for where nothing is.
DEFAULT = ("celltext", "untrained", "centroid", "markers")


@dataclass(frozen=True)
class Scorer:
    """What a method has learnt, ready to be asked.

    Attributes
    ----------
    score
        Called with K texts (None where there are no words for a type) and the K types that they mean; gives (m, K)
        scores of the m cells to be judged, higher is better, NaN in the columns of which it cannot say anything.
    scale
        Factor of the scores before a softmax over the texts; None where they are probabilities already.
    cells
        The training cells and those to be judged in a space of the method, (n, d) and (m, d); None where it has none.
    notes
        What a reader should know, a line each.
    """

    score: Callable[[Sequence[str | None], Sequence[str]], Array]
    scale: float | None = None
    cells: tuple[Array, Array] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class TextMethod(Protocol):
    """What a method must be.

    Attributes
    ----------
    name
        What tables call it; two methods of one run have different names.
    told
        What it knows of the truth, in a few words.
    needs_vectors
        Whether it takes an embedding of the cells; it then runs once for each.
    """

    name: str
    told: str
    needs_vectors: bool

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Learn from the training cells; the same seed must give the same scores on the same machine."""
        ...


def method_names() -> list[str]:
    """Ids of every method that can be asked for, ours first."""
    return PLUGINS.names()


def text_method(name: str, **params: Any) -> TextMethod:
    """Construct the method registered under ``name``; with parameters, they become part of its name.

    Raises
    ------
    OptionError
        No such name or parameter, or the package that brings it cannot be imported.

    Examples
    --------
    >>> text_method("celltext", epochs=10).name
    'celltext:epochs=10'
    """
    return made(name, PLUGINS.find(name), params, method_of)


def parse_method(text: str) -> TextMethod:
    """Find the method that a word of the command line stands for.

    ``NAME`` or ``NAME:key=value,key=value`` is a registered method with parameters, read as the annotations of its
    constructor say; ``module:Class``, or ``module:Class:key=value``, a class, an instance or a function of a module
    that is installed or lies in the current folder.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    return made(*read_method(text, PLUGINS.find), method_of)


def method_of(method: Any) -> TextMethod:
    """Check that an object is a method.

    Raises
    ------
    OptionError
        It cannot be called, or lacks a name, what it was told, or whether it takes vectors.
    """
    if isinstance(method, type) or not callable(method) or not isinstance(method, TextMethod):
        raise OptionError(f"{method!r} is no method: it needs name, told, needs_vectors and to be called with cells")
    check_words(method, "needs_vectors")
    return method


def checked_scorer(found: Any, name: str) -> Scorer:
    """What a method returned, made sure to be a scorer.

    Raises
    ------
    MethodError
        It is not.
    """
    if not isinstance(found, Scorer):
        raise MethodError(f"{name}: returned a {type(found).__name__}, not a Scorer")
    if found.scale is not None and not (np.isfinite(found.scale) and found.scale > 0):
        raise MethodError(f"{name}: scale is {found.scale!r}; it must be above 0, or None for probabilities")
    return found


def checked_scores(found: Any, shape: tuple[int, int], name: str) -> Array:
    """Scores that a scorer gave, (m, K) float64, made sure to be one a cell and text.

    Raises
    ------
    MethodError
        The shape is another, a score is infinite, or a column is NaN in part.
    """
    score_mk = np.asarray(found, np.float64)
    if score_mk.shape != shape:
        raise MethodError(f"{name}: scores have shape {score_mk.shape}; {shape[0]:,} cells and {shape[1]} texts asked")
    nan_mk = np.isnan(score_mk)
    if np.isinf(score_mk).any() or (nan_mk.any(axis=0) != nan_mk.all(axis=0)).any():
        raise MethodError(f"{name}: a score is not finite; only whole columns may be NaN, of texts it cannot judge")
    return score_mk

"""What takes part in the benchmark of missing values: anything that turns a table with holes into inner products.

A method is a callable with a few attributes::

    class Mine:
        name = "mine"
        told = "nothing"          # in a few words, what it knows besides which entries are missing
        needs_p = False           # True to be given the probabilities that made the holes

        def __call__(self, given: Given) -> Found: ...

It sees the values with NaN where they are missing, and neither the truth nor labels. A package adds its own by an
entry point of the group ``corpuscle.missingness_methods``; on the command line, ``module:Class`` names one that is
not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from corpuscle._plugins import Plugins
from corpuscle.benchmarks._method_words import check_words, made, read_method
from corpuscle.errors import MethodError, OptionError

__all__ = [
    "ALWAYS",
    "DEFAULT",
    "ENTRY_POINT_GROUP",
    "N_COORDINATES",
    "Found",
    "Given",
    "MissingnessMethod",
    "checked_found",
    "method_names",
    "method_of",
    "missingness_method",
    "parse_method",
]

Array = np.ndarray[Any, Any]

ENTRY_POINT_GROUP = "corpuscle.missingness_methods"
#: Id -> where the class is, in this package; imported only when it is asked for.
BUILT_IN = {
    "zero_fill": "_methods_fill:ZeroFill",
    "mean_fill": "_methods_fill:MeanFill",
    "knn_impute": "_methods_fill:KNNImpute",
    "iterative": "_methods_fill:Iterative",
    "soft_impute": "_methods_model:SoftImpute",
    "ppca": "_methods_model:PPCA",
    "authors": "_methods_gram:Authors",
    "ratio_rank1": "_methods_gram:RatioRank1",
    "unbiased": "_methods_gram:Unbiased",
    "ht": "_methods_gram:HorvitzThompson",
    "pairwise": "_methods_gram:Pairwise",
    "hetero": "_methods_gram:Hetero",
    "ratio_oracle": "_methods_gram:RatioOracle",
    "ht_oracle": "_methods_gram:HorvitzThompsonOracle",
}
PLUGINS = Plugins("method for missing values", ENTRY_POINT_GROUP, "corpuscle.benchmarks.missingness", BUILT_IN)
#: In every table, asked for or not: the two fills that any correction has to beat.
ALWAYS = ("zero_fill", "mean_fill")
#: Asked for where nothing is.
DEFAULT = (
    "unbiased", "authors", "ratio_rank1", "ht", "pairwise", "hetero", "knn_impute", "iterative", "soft_impute",
    "ppca", "ratio_oracle", "ht_oracle",
)  # fmt: skip
#: Coordinates that every method gives, where the data have so many.
N_COORDINATES = 10


@dataclass(frozen=True)
class Given:
    """What a method is shown.

    Attributes
    ----------
    x_nd
        (n, d) float64 values, NaN where an entry is missing.
    observed_nd
        (n, d) bool, False where it is.
    p_nd
        Probability that an entry is observed, (n, d); None except for methods that ask for it.
    seed
        Of whatever is random in the method.
    """

    x_nd: Array
    observed_nd: Array
    p_nd: Array | None
    seed: int


@dataclass(frozen=True)
class Found:
    """What a method makes of it, on the scale of the complete values.

    Attributes
    ----------
    gram_nn
        (n, n) inner products of the rows about the mean.
    d2_nn
        (n, n) squared distances of the rows, none below 0.
    coords_nk
        (n, k) principal coordinates, k at most :data:`N_COORDINATES`, leading one first.
    seconds
        Wall seconds it took.
    notes
        What a reader should know, a line each.
    """

    gram_nn: Array
    d2_nn: Array
    coords_nk: Array
    seconds: float
    notes: tuple[str, ...] = ()


@runtime_checkable
class MissingnessMethod(Protocol):
    """What a method must be.

    Attributes
    ----------
    name
        What tables call it; two methods of one run have different names.
    told
        What it knows besides which entries are missing, in a few words.
    needs_p
        Whether it is given the true probabilities; it then takes part only where there are any.
    """

    name: str
    told: str
    needs_p: bool

    def __call__(self, given: Given) -> Found:
        """Inner products, distances and coordinates; the same seed must give the same on the same machine."""
        ...


def method_names() -> list[str]:
    """Ids of every method that can be asked for, ours first."""
    return PLUGINS.names()


def missingness_method(name: str, **params: Any) -> MissingnessMethod:
    """Construct the method registered under ``name``; with parameters, they become part of its name.

    Raises
    ------
    OptionError
        No such name or parameter, or the package that brings it cannot be imported.

    Examples
    --------
    >>> missingness_method("ppca", rank=5).name
    'ppca:rank=5'
    """
    return made(name, PLUGINS.find(name), params, method_of)


def parse_method(text: str) -> MissingnessMethod:
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


def method_of(method: Any) -> MissingnessMethod:
    """Check that an object is a method.

    Raises
    ------
    OptionError
        It cannot be called, or lacks a name, what it was told, or whether it needs probabilities.
    """
    if isinstance(method, type) or not callable(method) or not isinstance(method, MissingnessMethod):
        raise OptionError(f"{method!r} is no method: it needs name, told, needs_p and to be called with what is given")
    check_words(method, "needs_p")
    return method


def checked_found(found: Any, n: int, name: str) -> Found:
    """What a method returned, made sure to be three finite arrays of ``n`` rows.

    Raises
    ------
    MethodError
        It is not.
    """
    if not isinstance(found, Found):
        raise MethodError(f"{name}: returned a {type(found).__name__}, not a Found")
    for what, array, shape in (
        ("gram_nn", found.gram_nn, (n, n)),
        ("d2_nn", found.d2_nn, (n, n)),
        ("coords_nk", found.coords_nk, (n, None)),
    ):
        array = np.asarray(array)
        if array.ndim != 2 or len(array) != n or shape[1] not in (None, array.shape[1]):
            raise MethodError(f"{name}: {what} has shape {array.shape}; there are {n:,} rows")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise MethodError(f"{name}: {what} has an entry that is not a finite number")
    if not 1 <= np.shape(found.coords_nk)[1] <= N_COORDINATES:
        raise MethodError(f"{name}: {np.shape(found.coords_nk)[1]} coordinates; it takes 1 to {N_COORDINATES}")
    if np.min(found.d2_nn) < 0:
        raise MethodError(f"{name}: a squared distance is below 0; clip them")
    return found

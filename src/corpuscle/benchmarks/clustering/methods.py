"""What takes part in the clustering benchmark: anything that turns counts into an embedding or into clusters.

A method is a callable with two attributes::

    class Mine:
        name = "mine"
        told = "nothing"            # or "n_types", to be given the number of types

        def __call__(self, cells: Cells, *, seed: int, n_types: int | None) -> Embedded: ...

It is given counts, gene names, batches and a second view, never a label. A package adds its own by an entry point of the
group ``corpuscle.clustering_methods``; on the command line, ``module:Class`` names one that is not installed.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from corpuscle._plugins import Plugins
from corpuscle.benchmarks._method_words import made, read_method
from corpuscle.benchmarks.clustering._methods_cells import Cells, Embedded, cells_of, checked_result
from corpuscle.errors import MethodError, OptionError

__all__ = [
    "ENTRY_POINT_GROUP",
    "Cells",
    "ClusteringMethod",
    "Embedded",
    "cells_of",
    "checked_result",
    "clustering_method",
    "method_names",
    "parse_method",
]

ENTRY_POINT_GROUP = "corpuscle.clustering_methods"
#: Id -> where the class is, in this package; imported only when it is asked for, since some need optional extras.
BUILT_IN = {
    "pca_leiden": "_methods_simple:PCALeiden",
    "pca_kmeans": "_methods_simple:PCAKMeans",
    "scvi": "_methods_scvi:SCVI",
    "linear_scvi": "_methods_scvi:LinearSCVI",
    "sce2tm": "_methods_sce2tm:SCE2TM",
    "sce2tm_authors": "_methods_sce2tm:SCE2TMAuthors",
}
PLUGINS = Plugins("clustering method", ENTRY_POINT_GROUP, "corpuscle.benchmarks.clustering", BUILT_IN)
#: Packages of the extra ``models``.
EXTRA = ("torch", "lightning", "scvi", "safetensors")
TOLD = ("nothing", "n_types")


@runtime_checkable
class ClusteringMethod(Protocol):
    """What a method must be.

    Attributes
    ----------
    name
        What tables call it; two methods of one run have different names.
    told
        ``"n_types"`` to be given the number of types, ``"nothing"`` to be given None.
    """

    name: str
    told: str

    def __call__(self, cells: Cells, *, seed: int, n_types: int | None) -> Embedded:
        """Embed or cluster the cells; the same seed must give the same result on the same machine."""
        ...


def method_names() -> list[str]:
    """Ids of every method that can be asked for, ours first."""
    return PLUGINS.names()


def clustering_method(name: str, **params: Any) -> ClusteringMethod:
    """Construct the method registered under ``name``; with parameters, they become part of its name.

    Raises
    ------
    OptionError
        No such name or parameter, or the package that brings it cannot be imported.
    MethodError
        It needs an extra that is not installed.

    Examples
    --------
    >>> clustering_method("scvi", max_epochs=100).name
    'scvi:max_epochs=100'
    """
    return made(name, _registered(name), params, _checked)


def parse_method(text: str) -> ClusteringMethod:
    """Find the method that a word of the command line stands for.

    ``NAME`` or ``NAME:key=value,key=value`` is a registered method with parameters, read as the annotations of its
    constructor say; ``module:Class``, or ``module:Class:key=value``, a class, an instance or a function of a module that
    is installed or lies in the current folder.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    return made(*read_method(text, _registered), _checked)


def _registered(name: str) -> Any:
    try:
        return PLUGINS.find(name)
    except ModuleNotFoundError as error:  # of one that is built in
        if (error.name or "").partition(".")[0] in EXTRA:
            raise MethodError(f"{name}: needs an extra; run: pip install 'corpuscle[models]'") from None
        raise


def _checked(method: Any) -> ClusteringMethod:
    if not callable(method) or not isinstance(method, ClusteringMethod):
        raise OptionError(f"{method!r} is no clustering method: it must be callable and have a name and told")
    if not method.name or not isinstance(method.name, str):
        raise OptionError(f"method {method!r}: its name must be text")
    if method.told not in TOLD:
        raise OptionError(f"method {method.name}: told={method.told!r} must be one of: {', '.join(TOLD)}")
    return method

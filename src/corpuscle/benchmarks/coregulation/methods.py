"""What takes part: a normalisation under a name, with the association it is judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from corpuscle.benchmarks.coregulation.units import Setting
from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize import Normalizer, normalizer, normalizer_names, parse_method
from corpuscle.seeds import stream_seed

__all__ = ["BASE_METHODS", "Method", "as_methods", "dense_inside", "fit", "values_inside"]

Array = np.ndarray[Any, Any]

#: Everything that runs without an optional extra; ``cscore`` is the count model CS-CORE on the raw counts.
BASE_METHODS = (
    "raw", "cpm", "cp10k", "log1p_cp10k", "log1p_cpm", "log1p_pf", "pf_log1p_pf", "pflog_clr", "sqrt", "freeman_tukey",
    "acosh", "shifted_log_alpha", "pearson_analytic", "deviance_poisson", "deviance_binomial", "tfidf", "rank", "quantile",
    "scran", "knn_smooth", "magic", "alra", "cscore",
)  # fmt: skip
#: Associations that are methods of their own: they model the counts, so they have no values to normalise.
COUNT_MODELS = {"cscore": "raw"}


@dataclass(frozen=True)
class Method:
    """One row of the leaderboard: an unfitted normalisation, and a measure if it insists on its own."""

    name: str
    template: Normalizer
    association: str | None = None


def as_methods(methods: Iterable[str | Normalizer] | None) -> list[Method]:
    """Methods by registry id, ``NAME=cmd:...``, ``module:Class``, or as estimators; None is every base method.

    Raises
    ------
    OptionError
        An unknown name, or the same name twice.
    """
    out = [_as_method(method) for method in (BASE_METHODS if methods is None else methods)]
    names = [method.name for method in out]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise OptionError(f"method {sorted(twice)[0]!r} is given twice; give each its own name")
    if not out:
        raise OptionError(f"no method was given; there are: {', '.join([*normalizer_names(), *COUNT_MODELS])}")
    return out


def _as_method(method: str | Normalizer) -> Method:
    if isinstance(method, str) and method in COUNT_MODELS:
        return Method(method, normalizer(COUNT_MODELS[method]), association=method)
    template = parse_method(method) if isinstance(method, str) else method
    if not hasattr(template, "fit") or not hasattr(template, "transform"):
        raise OptionError(f"{template!r} is no method: it needs fit(counts) and transform(counts, genes)")
    return Method(getattr(template, "name", type(template).__name__), template)


def fit(method: Method, counts: Counts, seed: int, *stream_keys: str) -> Normalizer:
    """A fresh estimator fitted on ``counts``, seeded by its own substream if it is random."""
    fresh = clone(method.template)
    if "random_state" in fresh.get_params():
        fresh.set_params(random_state=stream_seed(seed, method.name, *stream_keys))
    return fresh.fit(counts)


def values_inside(fitted: Normalizer, setting: Setting, genes: Array) -> Any:
    """Values of ``genes`` in the evaluated cells: (cells, genes), float64, checked.

    A gene that the method does not give is NaN in every cell; a NaN among numbers is a fault.

    Raises
    ------
    MethodError
        Wrong shape, or not finite.
    """
    if getattr(fitted, "inductive", False):
        out = fitted.transform(setting.inside, genes)
    else:
        out = fitted.transform(setting.counts, genes)
        if out.shape[0] == setting.counts.n_obs and setting.inside is not setting.counts:
            out = out[np.flatnonzero(setting.cells.mask_n)]
    return checked(out, (setting.cells.n_cells, genes.size), setting, genes)


def dense_inside(fitted: Normalizer, setting: Setting, genes: Array) -> Array:
    """As :func:`values_inside`, as a dense array; for a pair and its background, not for all genes."""
    values = values_inside(fitted, setting, genes)
    return values.toarray() if sp.issparse(values) else values


def checked(values: Any, shape: tuple[int, int], setting: Setting, genes: Array) -> Any:
    """``values`` as float64 of the right shape, every gene either all finite or all NaN."""
    if getattr(values, "shape", None) != shape:
        raise MethodError(f"returned values of shape {getattr(values, 'shape', None)}, expected {shape} (cells, genes)")
    if sp.issparse(values):
        values = values.tocsc().astype(np.float64, copy=False)
        bad = np.zeros(shape[1], bool)
        bad[np.repeat(np.arange(shape[1]), np.diff(values.indptr))[~np.isfinite(values.data)]] = True
    else:
        values = np.asarray(values, np.float64)
        finite = np.isfinite(values)
        bad = ~finite.all(axis=0) & ~np.isnan(values).all(axis=0)
    if bad.any():
        gene = setting.counts.var_names[genes[np.argmax(bad)]]
        raise MethodError(f"returned NaN or infinite values for gene {gene} ({int(bad.sum())} of {shape[1]} genes)")
    return values

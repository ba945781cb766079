"""What refinement does as its strength grows, and a choice of strength that looks at no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.annotate._certainty import certainty, reading
from corpuscle.annotate._changes import MANY_CHANGES, Changes, compare
from corpuscle.annotate._graph import Graph, as_graph
from corpuscle.annotate.refine import solve
from corpuscle.annotate.scores import checked_values
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["CANDIDATES", "LAMS", "choose_lam", "score_path"]

Array = np.ndarray[Any, Any]

#: Strengths that a path shows, and those that the choice is among.
LAMS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
CANDIDATES = (0.1, 0.3, 1.0, 3.0, 10.0)
#: One line of the table: measure, type ("" for all), value.
Line = tuple[str, str, float]


def score_path(
    values_nk: Array,
    graph: Graph | sp.spmatrix,
    types: Sequence[str],
    *,
    lams: Sequence[float] = LAMS,
    truth: Any = None,
    laplacian: str = "unnormalized",
    weights: Any = None,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    chunk: int = 32,
) -> pd.DataFrame:
    """Refine at one strength after the other, as published, and say what becomes of the types.

    Parameters
    ----------
    values_nk
        (n, K) finite scores.
    graph
        (n, n) symmetric sparse weights.
    types
        K names.
    lams
        Strengths, >= 0.
    truth
        (n,) known types, by name; cells without one (None, NaN, "") are left out. Names that ``types`` lacks are types
        that no cell can be given, and count.
    laplacian, weights, solver, tol, max_iter, chunk
        Of :func:`~corpuscle.annotate.refine.refine`.

    Returns
    -------
    pandas.DataFrame
        Columns ``lam``, ``measure``, ``type`` (empty for all types together), ``value``. Measures: ``changed`` (share of
        cells whose type is not that of the scores given), ``entropy`` (mean, 0 to 1), ``erased`` (number of types
        erased, as :class:`~corpuscle.annotate.diagnose.Changes` has it), ``cells`` of each type; and with ``truth``
        ``accuracy``, ``balanced_accuracy`` (mean recall), ``macro_f1`` (mean F1), both over the types that the truth
        has, and ``f1`` of each type, NaN for a type that neither the truth nor a label has.

    Raises
    ------
    OptionError
        No strength, a negative one, or the truth is of other cells or knows none.
    SourceError
        Scores are no finite table of n x K, or the graph is of other cells.
    """
    values_nk = checked_values(values_nk, len(types))
    graph = as_graph(graph, len(values_nk))
    true_n = None if truth is None else _known_types(truth, len(values_nk))
    options = {
        "laplacian": laplacian,
        "weights": weights,
        "solver": solver,
        "tol": tol,
        "max_iter": max_iter,
        "chunk": chunk,
    }
    rows = [
        (float(lam), *line)
        for lam, refined_nk in _refined(values_nk, graph, lams, options)
        for line in _lines(values_nk, refined_nk, types, true_n)
    ]
    return pd.DataFrame(rows, columns=["lam", "measure", "type", "value"])


def choose_lam(
    values_nk: Array,
    graph: Graph | sp.spmatrix,
    types: Sequence[str],
    *,
    lams: Sequence[float] = CANDIDATES,
    **options: Any,
) -> tuple[float, pd.DataFrame]:
    """Choose the strength of refinement without labels: the largest that does no visible harm.

    That is the largest of ``lams`` at which no type is erased (had 10 cells and 0.2 % of all, and loses more than 80 %
    of their number) and fewer than 40 % of the cells change their type. A rule of thumb: harm that it can see is that
    types vanish, not that they are wrong.

    Parameters
    ----------
    values_nk, graph, types
        As :func:`score_path` has them.
    lams
        Strengths to choose from.
    options
        Of :func:`score_path`, ``truth`` among them, which the choice does not look at.

    Returns
    -------
    lam : float
        The strength; 0, which leaves the scores as they are, if none will do.
    path : pandas.DataFrame
        All strengths tried, as :func:`score_path` describes them.

    Raises
    ------
    OptionError, SourceError
        As :func:`score_path`.
    """
    path = score_path(values_nk, graph, types, lams=lams, **options)
    wide = path[path["measure"].isin(["erased", "changed"])].pivot(index="lam", columns="measure", values="value")
    harmless = wide.index[(wide["erased"] == 0) & (wide["changed"] < MANY_CHANGES)]
    return (float(harmless.max()) if len(harmless) else 0.0), path


def _refined(
    values_nk: Array, graph: Graph, lams: Sequence[float], options: dict[str, Any]
) -> Iterator[tuple[float, Array]]:
    if not len(lams):
        raise OptionError("no lam to refine with: give one or more strengths >= 0")
    for lam in sorted(set(lams)):
        yield lam, solve(values_nk, graph, lam=lam, **options).values_nk


def _lines(before_nk: Array, after_nk: Array, types: Sequence[str], true_n: Array | None) -> list[Line]:
    best_n = after_nk.argmax(axis=1)
    changes = compare(before_nk.argmax(axis=1), best_n, types)
    entropy_n = certainty(after_nk, reading(before_nk))[1]
    known_n = np.isfinite(entropy_n)
    lines: list[Line] = [
        ("changed", "", changes.share),
        ("entropy", "", float(entropy_n[known_n].mean()) if known_n.any() else float("nan")),
        ("erased", "", float(len(changes.erased))),
    ]
    lines += _cells(changes)
    if true_n is not None:
        lines += _against_truth(best_n, types, true_n)
    return lines


def _cells(changes: Changes) -> list[Line]:
    return [("cells", name, float(count)) for name, count in zip(changes.types, changes.after_k, strict=True)]


def _against_truth(best_n: Array, types: Sequence[str], true_n: Array) -> list[Line]:
    """Measures over the cells whose type is known."""
    names = [*types, *sorted({name for name in true_n if name} - set(types))]
    place = {name: k for k, name in enumerate(names)}
    known_n = true_n != ""
    truth = np.array([place[name] for name in true_n[known_n]])
    hits_kk = np.bincount(truth * len(names) + best_n[known_n], minlength=len(names) ** 2).reshape(len(names), -1)
    hit_k, true_k, named_k = np.diag(hits_kk), hits_kk.sum(axis=1), hits_kk.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_k, recall_k = 2 * hit_k / (true_k + named_k), hit_k / true_k
    there_k = true_k > 0
    return [
        ("accuracy", "", float(hit_k.sum() / true_k.sum())),
        ("balanced_accuracy", "", float(recall_k[there_k].mean())),
        ("macro_f1", "", float(f1_k[there_k].mean())),
        *(("f1", name, float(value)) for name, value in zip(names, f1_k, strict=True)),
    ]


def _known_types(truth: Any, n_cells: int) -> Array:
    """(n,) names, "" where the type is not known."""
    given = pd.Series(truth).reset_index(drop=True)
    if len(given) != n_cells:
        raise SourceError(f"truth of {len(given):,} cells for {n_cells:,} cells; give one type for each")
    known = given.astype(object).where(given.notna(), "").astype(str).to_numpy(dtype=object)
    if not (known != "").any():
        raise OptionError("truth: no cell has a known type, so there is nothing to compare with")
    return known

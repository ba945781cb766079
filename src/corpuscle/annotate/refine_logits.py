"""Refinement of the scores that an AnnData holds: diagnosed before, guarded, and written beside the originals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle.annotate._account import Refined, account
from corpuscle.annotate._cell_graph import CellGraph, built_graph, given_graph, keep_graph
from corpuscle.annotate._certainty import certainty, margins, reading
from corpuscle.annotate._door import plain, read_scores_of, write_scores
from corpuscle.annotate.diagnose import diagnose
from corpuscle.annotate.guards import refine_guarded
from corpuscle.annotate.path import choose_lam
from corpuscle.annotate.refine import solve
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.transform import transform as transformed
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["refine_logits"]

Array = np.ndarray[Any, Any]
UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class _Options:
    """What is asked of the solver, once for every solve."""

    laplacian: str
    solver: str
    tol: float
    max_iter: int
    chunk: int
    weights: Array | None = None

    def as_keywords(self) -> dict[str, Any]:
        return dict(vars(self))


def refine_logits(
    adata: AnnData,
    logits_key: str,
    *,
    class_names: Sequence[str] | None = None,
    neighbors_key: str | None = None,
    use_rep: str = "X_pca",
    n_neighbors: int = 15,
    lam: float | str | None = None,
    laplacian: str = "unnormalized",
    transform: str = "none",
    temperature: float = 1.0,
    fidelity: str | Any = None,
    gate: float | None = None,
    guard: bool = True,
    unassigned: float | None = None,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    chunk: int = 32,
    key_added: str = "refined",
    seed: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Refine class scores of cells on their neighbour graph.

    Parameters
    ----------
    adata
        With the scores in ``obsm[logits_key]``, which stay as they are.
    logits_key
        A DataFrame, array or sparse matrix of n x K.
    class_names
        Names of the types, where neither the DataFrame nor ``uns[logits_key]["classes"]`` has them.
    neighbors_key
        Use the graph of ``uns[neighbors_key]``. None builds one from ``use_rep`` under keys of its own; a graph that
        happens to be there is never used unasked.
    use_rep
        ``obsm`` key (or ``"X"``) to build the graph from. Where ``"X_pca"`` is absent it is made from raw counts.
    n_neighbors
        Of the graph that is built.
    lam
        Strength of smoothing, or ``"auto"``: :func:`~corpuscle.annotate.path.choose_lam`. None is 1 for the method as
        published; with guards it is from 0 to 1, by how far neighbours disagree. It counts times the degree of a cell,
        so it is not comparable between graphs of other weights.
    laplacian
        ``"unnormalized"``, ``"symmetric"`` or ``"random_walk"``; see :func:`~corpuscle.annotate.refine.refine`.
    transform, temperature
        Done to the scores first; ``"zscore"`` where some types score higher than others everywhere. See
        :func:`~corpuscle.annotate.transform.transform`.
    fidelity
        How much a cell's own scores count: an obs column or (n,) numbers >= 0; 1 if None.
    gate
        Refine only this share of the cells, those whose scores are the least certain (by entropy), above 0, at most 1.
        The others keep theirs, but are seen by their neighbours.
    guard
        Keep types from being absorbed, see :func:`~corpuscle.annotate.guards.refine_guarded`. False is the method as
        published.
    unassigned
        Cells with a smaller margin, in units of the refined scores, are called "unassigned". None names every cell.
    solver, tol, max_iter, chunk
        Of the linear system, see :func:`~corpuscle.annotate.refine.refine`.
    key_added
        Prefix of what is written.
    seed
        Of the approximate neighbour search.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    anndata.AnnData or None
        The copy if ``copy``. With ``key_added="refined"`` there are: ``obsm["refined_logits"]`` (float32, the columns of
        the scores); ``obs["refined_label"]`` (categories in column order), ``"refined_confidence"`` (highest probability,
        scores read as :func:`~corpuscle.annotate.transform.probabilities` says), ``"refined_margin"`` (highest less
        second highest score), ``"refined_changed"`` (whether the highest type is another than that of the scores as they
        came); ``uns["refined"]`` (parameters, the graph and what made it, the solution, a diagnosis before and after,
        cells of each type, warnings); and the graph, where it was built, under ``refined_neighbors``.

    Raises
    ------
    OptionError
        An option is unknown or makes no sense here; scores, graph, representation or names are missing.
    SourceError
        A score is NaN or infinite, or something is of other cells.
    MethodError
        The system has no answer, or the scores do not bear the transform.

    Warns
    -----
    UserWarning
        Refinement as published would erase a type; there is one type only; a view became a copy; the solver did not
        reach its tolerance.

    Notes
    -----
    Source: Hu et al. 2025, arXiv 2508.04747 (GRIT). Guard, gate, ``"auto"`` and the diagnosis are not in the paper. It
    removes errors that are independent between neighbours; where scores of a type are too low everywhere it makes that
    worse, so look at the types, not only at how many cells agree.
    """
    options = _Options(laplacian, solver, tol, max_iter, chunk)
    if lam is None and not guard:
        lam = 1.0
    _check_options(lam, gate, unassigned)
    _check_keys(adata, logits_key, key_added)
    adata, view_note = _own(adata, copy)
    scores = read_scores_of(adata, logits_key, class_names)
    if unassigned is not None and UNASSIGNED in scores.types:
        raise OptionError(f"a type is called {UNASSIGNED!r} already; rename it, or leave unassigned out")
    options = replace(options, weights=_fidelity(adata, fidelity))
    values_nk = transformed(scores.values_nk, transform, temperature)
    if neighbors_key is None:
        cells = built_graph(adata, use_rep, n_neighbors, seed, key_added)
    else:
        cells = given_graph(adata, neighbors_key)
    before = diagnose(values_nk, cells.graph, scores.types)
    refined = _refine(values_nk, cells, scores.types, lam, options, guard=guard)
    kind = reading(values_nk)
    if gate is not None:
        refined = replace(refined, values_nk=_gated(values_nk, refined.values_nk, gate, kind))
    keep_graph(adata, cells)
    _write_obs(adata, scores, refined.values_nk, kind, unassigned, key_added)
    said = {
        "logits_key": logits_key, "use_rep": cells.use_rep, "neighbors_key": cells.neighbors_key, "n_neighbors": n_neighbors,
        "lam": lam, "laplacian": laplacian, "transform": transform, "temperature": temperature, "gate": gate, "guard": guard,
        "fidelity": fidelity if fidelity is None or isinstance(fidelity, str) else "given numbers",
        "unassigned": unassigned, "solver": solver, "tol": tol, "max_iter": max_iter, "chunk": chunk, "seed": seed,
    }  # fmt: skip
    if neighbors_key is not None:
        del said["n_neighbors"]
    adata.uns[key_added] = plain(account(scores, cells, before, refined, said, kind, view_note))
    return adata if copy else None


def _check_options(lam: Any, gate: Any, unassigned: Any) -> None:
    if isinstance(lam, str) and lam != "auto":
        raise OptionError(f"lam={lam!r} is no strength of smoothing; give a number >= 0, or 'auto'")
    if gate is not None and not 0 < gate <= 1:
        raise OptionError(f"gate={gate!r} is not a share of the cells to refine; give one above 0 and at most 1")
    if unassigned is not None and not 0 <= unassigned < math.inf:
        raise OptionError(f"unassigned={unassigned!r} is no margin; give a number >= 0, or None to name every cell")


def _check_keys(adata: AnnData, logits_key: str, key_added: str) -> None:
    """Refuse a name under which something that is not ours would be overwritten."""
    if not key_added or "/" in key_added:
        raise OptionError(f"key_added={key_added!r} cannot name what is written; give a word without a slash")
    if logits_key in (f"{key_added}_logits", f"{key_added}_pca", key_added):
        raise OptionError(f"key_added={key_added!r} would overwrite the scores {logits_key!r}; give another key_added")
    there = adata.uns.get(key_added)
    if there is not None and not (isinstance(there, Mapping) and "logits_key" in there):
        raise OptionError(f"uns[{key_added!r}] is there already and is no refinement; give another key_added")


def _own(adata: AnnData, copy: bool) -> tuple[AnnData, str]:
    """An AnnData that can be written to, and what had to be done for that."""
    if adata.isbacked and (copy or adata.is_view):
        raise OptionError("a backed AnnData cannot be copied without a file; call to_memory() first, or use copy=False")
    if copy:
        return adata.copy(), ""
    if not adata.is_view:
        return adata, ""
    note = "the AnnData was a view of another; it became a copy of its own, and the other has not changed"
    warnings.warn(note, UserWarning, stacklevel=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.uns = dict(adata.uns)
    return adata, note


def _fidelity(adata: AnnData, fidelity: Any) -> Array | None:
    if fidelity is None:
        return None
    if isinstance(fidelity, str):
        if fidelity not in adata.obs:
            raise OptionError(
                f"fidelity: obs has no column {fidelity!r}; it has: {', '.join(map(str, adata.obs)) or 'none'}"
            )
        fidelity = adata.obs[fidelity]
    elif hasattr(fidelity, "index") and hasattr(fidelity, "reindex"):
        if set(fidelity.index) != set(adata.obs_names) or len(fidelity) != adata.n_obs:
            raise SourceError("fidelity: a Series of other cells; give one number for each of obs_names")
        fidelity = fidelity.reindex(adata.obs_names)
    try:
        return np.asarray(fidelity, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError("fidelity: not all values are numbers; give one >= 0 for each cell") from None


def _refine(
    values_nk: Array, cells: CellGraph, types: Sequence[str], lam: Any, options: _Options, *, guard: bool
) -> Refined:
    if len(types) == 1:
        warnings.warn(f"there is one type, {types[0]}: every cell is called that", UserWarning, stacklevel=3)
    path = None
    if lam == "auto":
        lam, path = choose_lam(values_nk, cells.graph, types, **options.as_keywords())
    if not guard or len(types) == 1:
        lam = 1.0 if lam is None else lam  # with one type there is nothing to guard
        solution = solve(values_nk, cells.graph, lam=lam, **options.as_keywords())
        return Refined(solution.values_nk, solution, float(lam), solution.values_nk.argmax(axis=1), path=path)
    guarded = refine_guarded(values_nk, cells.graph, types, lam=lam, **options.as_keywords())
    about = {
        "n_kept": int(np.sum(guarded.kept_n)), "offset": np.asarray(guarded.offset_k, np.float64), "lam": float(guarded.lam),
        "words": list(guarded.words),
    }  # fmt: skip
    published_n = guarded.solution.values_nk.argmax(axis=1)
    return Refined(guarded.values_nk, guarded.solution, float(guarded.lam), published_n, about, path)


def _gated(before_nk: Array, after_nk: Array, gate: float, kind: str) -> Array:
    """Refined rows for the least certain share of the cells, the scores as they were for the rest."""
    entropy_n = certainty(before_nk, kind)[1]
    # Scores that say nothing are the least certain of all.
    order = np.argsort(-np.nan_to_num(entropy_n, nan=np.inf), kind="stable")
    out_nk = before_nk.astype(after_nk.dtype, copy=True)
    chosen = order[: math.ceil(gate * len(order))]
    out_nk[chosen] = after_nk[chosen]
    return out_nk


def _write_obs(
    adata: AnnData, scores: Scores, values_nk: Array, kind: str, unassigned: float | None, key_added: str
) -> None:
    best_n, margin_n = values_nk.argmax(axis=1), margins(values_nk)
    categories, code_n = list(scores.types), best_n
    if unassigned is not None:
        code_n = np.where(margin_n < unassigned, len(categories), best_n)
        categories = [*categories, UNASSIGNED]
    refined = replace(
        scores, values_nk=values_nk.astype(np.float32, copy=False), source=f"{scores.source}, refined", cells=None
    )
    write_scores(adata, refined, f"{key_added}_logits")
    adata.obs[f"{key_added}_label"] = pd.Categorical.from_codes(code_n, categories=categories)
    adata.obs[f"{key_added}_confidence"] = certainty(values_nk, kind)[0].astype(np.float32)
    adata.obs[f"{key_added}_margin"] = margin_n.astype(np.float32)
    adata.obs[f"{key_added}_changed"] = best_n != scores.best_n()

"""Cell type scores from marker genes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.annotate._expression import Expression, expression_of
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources import _marker_scores
from corpuscle.annotate.sources._marker_panel import Panel, panel_of
from corpuscle.annotate.sources._marker_sets import Markers
from corpuscle.annotate.sources.marker_table import read_markers
from corpuscle.errors import GeneError, MethodError, OptionError

__all__ = ["SCORINGS", "marker_scores"]

Array = np.ndarray[Any, Any]

SCORINGS = ("sctype", "ucell", "ulm", "mean")
#: Rank from which on UCell takes all genes for equal.
MAX_RANK = 1500


def marker_scores(
    source: Any,
    markers: Markers | Mapping[str, Any] | str | Path,
    *,
    types: Sequence[str] | None = None,
    scoring: str = "sctype",
    layer: str | None = None,
    logged: bool = False,
    min_genes: int = 1,
    max_rank: int = MAX_RANK,
    count_missing: bool = True,
    aliases: bool = True,
) -> Scores:
    r"""Score cells for types by the expression of marker genes.

    Parameters
    ----------
    source
        A path, a glob pattern, an AnnData, open counts, or an open ``Expression``.
    markers
        :class:`Markers` (of :func:`read_markers` or :func:`asctb_markers`), the path of a table, or a mapping from type to
        genes or to (positive, negative) genes.
    types
        Only these, by name or Cell Ontology id, in this order; None takes all.
    scoring
        How a type's genes become a number; see Notes.
    layer
        Matrix of the source to use instead of the main one; ``"raw"`` is ``raw.X``.
    logged
        The values are log-normalised already; else they are raw counts, from which ``log(1 + c * 10,000 / depth)`` is made.
    min_genes
        Positive markers that a type must have among the genes of the source; one with fewer is left out with a warning.
    max_rank
        Of ``"ucell"``: genes ranked below it are all alike. No more than the source has genes.
    count_missing
        Of ``"ucell"``: markers that the source has not count as ranked last, as published. On a panel of chosen genes that
        punishes types whose markers are not on it; False leaves those markers out.
    aliases
        Match a marker that is not found by its symbol through older and newer names of the gene and common names of
        proteins; False matches symbols only (and mouse genes by ortholog).

    Returns
    -------
    Scores
        (n, K) float32. ``about`` says which genes were found and missing, which types were left out and why.

    Raises
    ------
    GeneError
        No type has enough markers among the genes of the source.
    OptionError
        There is no such scoring or type.
    MethodError
        A cell has no counts, or there are too few cells or genes for the scoring.
    SourceError, NotCountsError
        The source or the table cannot be read.

    Notes
    -----
    ``"sctype"``
        Each gene is standardised over the cells and clipped to [-5, 10]; it weighs ``w = 1 - (count - 1) / (K - 1)``, where
        ``count`` of the K types list it. The score is ``sum(w z) / sqrt(genes)`` of the positive markers less the same of the
        negative ones (after Ianevski et al. 2022). A gene that does not vary is left out.
    ``"ucell"``
        Rank statistic of the positive less that of the negative markers, not below 0 (Andreatta and Carmona 2021). A cell's
        score depends on that cell alone. Markers that the source has not count as ranked last.
    ``"ulm"``
        t value of a linear model of a cell's expression, over all genes, on the markers' weights, negative ones below 0
        (Badia-i-Mompel et al. 2022).
    ``"mean"``
        Weighted mean of the standardised positive markers, less that of the negative ones.

    Weights of the table (1 where it has none) multiply those of ``"sctype"``, ``"ulm"`` and ``"mean"``.

    The source is read once. ``"sctype"`` and ``"mean"`` hold the marker genes of all cells, sparse: 16 bytes a non-zero at
    the peak. ``"ucell"`` and ``"ulm"`` hold a few blocks of cells.

    References
    ----------
    Ianevski A, et al. Fully-automated and ultra-fast cell-type identification using specific marker combinations from
    single-cell transcriptomic data. Nat Commun 13, 1246 (2022).

    Andreatta M, Carmona SJ. UCell: Robust and scalable single-cell gene signature scoring. Comput Struct Biotechnol J 19,
    3796-3798 (2021).

    Badia-i-Mompel P, et al. decoupleR: ensemble of computational methods to infer biological activities from omics data.
    Bioinform Adv 2, vbac016 (2022).
    """
    if scoring not in SCORINGS:
        raise OptionError(f"scoring {scoring!r} is not one of {', '.join(SCORINGS)}")
    if min_genes < 1 or max_rank < 1:
        raise OptionError(f"min_genes {min_genes} and max_rank {max_rank} must be 1 or more")
    table = _markers(markers)
    if types is not None:
        table = table.chosen(types)
    with expression_of(source, layer=layer, logged=logged) as expression:
        panel = panel_of(expression, table, aliases=aliases).with_at_least(
            min_genes, "too few of its markers are in the data"
        )
        _some_left(expression, panel)
        if scoring in ("sctype", "mean"):
            values_nk, panel = _standardised(expression, panel, scoring, min_genes)
        elif scoring == "ucell":
            values_nk = _ranked(expression, panel, max_rank, count_missing)
            panel = _with_note_of_missing(panel, count_missing)
        else:
            values_nk = _linear(expression, panel)
        _warn(panel)
        return Scores(
            values_nk,
            panel.types,
            panel.cl_ids,
            source=f"markers ({table.source}, {scoring})",
            cells=expression.cells,
            about=_about(expression, panel, table, scoring),
        )


def _markers(markers: Any) -> Markers:
    if isinstance(markers, Markers):
        return markers
    if isinstance(markers, Mapping):
        return Markers.of(markers)
    if isinstance(markers, str | Path):
        return read_markers(markers)
    raise OptionError(f"markers are a table, its path, or a mapping from type to genes, not a {type(markers).__name__}")


def _some_left(expression: Expression, panel: Panel) -> None:
    if not panel.types:
        why = next(iter(panel.left_out.values()))
        raise GeneError(
            f"{expression.name}: none of the {len(panel.left_out)} types has enough markers to be scored ({why}); check the "
            f"identifiers, or ask for fewer genes a type"
        )


def _standardised(expression: Expression, panel: Panel, scoring: str, min_genes: int) -> tuple[Array, Panel]:
    x_nm = expression.columns(panel.place_m)
    mean_m, sd_m = _marker_scores.moments(x_nm)
    whole = panel.place_m
    panel = panel.of_genes(_marker_scores.varies(mean_m, sd_m))
    panel = panel.with_at_least(min_genes, "too few of its markers vary between the cells")
    weight_mk = _marker_scores.specificity(panel.up_mk)[:, None] if scoring == "sctype" else np.ones((1, 1))
    while scoring == "sctype" and panel.types:
        # Weight 0 throughout would be a score of 0, which beats negative ones: no statement about the type.
        shared_k: Array = ~np.any(panel.up_mk * weight_mk > 0, axis=0)
        if not shared_k.any():
            break
        panel = panel.without(shared_k, "all of its markers are markers of every other type")
        weight_mk = _marker_scores.specificity(panel.up_mk)[:, None]
    _some_left(expression, panel)
    kept = np.searchsorted(whole, panel.place_m)
    if kept.size < whole.size:
        x_nm = x_nm[:, kept]
    signed_mk = _scaled(panel.up_mk, weight_mk, scoring) - _scaled(panel.down_mk, weight_mk, scoring)
    return _marker_scores.standardised_sums(x_nm, mean_m[kept], sd_m[kept], signed_mk), panel


def _scaled(table_mk: Array, weight_mk: Array, scoring: str) -> Array:
    """Weights of one sign over the root of a type's number of genes, or over their sum; 0 for a type with none."""
    count_k = (table_mk > 0).sum(axis=0)
    by_k = np.sqrt(count_k) if scoring == "sctype" else table_mk.sum(axis=0)
    scaled: Array = table_mk * weight_mk / np.where(count_k > 0, by_k, 1.0)
    return scaled


def _with_note_of_missing(panel: Panel, counted: bool) -> Panel:
    mostly = [
        name
        for name, found, absent in zip(panel.types, (panel.up_mk > 0).sum(axis=0), panel.absent_up, strict=True)
        if len(absent) > found
    ]
    if not counted or not mostly:
        return panel
    note = f"more than half of the markers are not in the data and count as ranked last (count_missing), of: {', '.join(mostly)}"
    return replace(panel, notes=(*panel.notes, note))


def _ranked(expression: Expression, panel: Panel, max_rank: int, count_missing: bool) -> Array:
    n_genes = expression.n_genes
    max_rank = min(max_rank, n_genes)
    parts = []
    for table_mk, absent in ((panel.up_mk, panel.absent_up), (panel.down_mk, panel.absent_down)):
        listed_gk = _over_all_genes(table_mk > 0, panel.place_m, n_genes)
        n_listed_k = (table_mk > 0).sum(axis=0)
        if count_missing:
            n_listed_k = n_listed_k + np.array([len(names) for names in absent])
        if n_listed_k.max(initial=0) > max_rank:
            longest = panel.types[int(n_listed_k.argmax())]
            raise MethodError(
                f"{expression.name}: {n_listed_k.max():,} markers of {longest!r} cannot be ranked within {max_rank:,}; shorten "
                f"the list or raise max_rank"
            )
        parts.append((listed_gk, n_listed_k))
    both_gk = sp.hstack([listed_gk for listed_gk, _ in parts], format="csr")
    scores_nk = _marker_scores.rank_scores(expression, both_gk, np.concatenate([n for _, n in parts]), max_rank)
    n_types = len(panel.types)
    scores_nk[:, :n_types] -= scores_nk[:, n_types:]
    return np.maximum(scores_nk[:, :n_types], 0.0)


def _linear(expression: Expression, panel: Panel) -> Array:
    signed_gk = _over_all_genes(panel.up_mk - panel.down_mk, panel.place_m, expression.n_genes)
    return _marker_scores.linear_t(expression, signed_gk)


def _over_all_genes(table_mk: Array, place_m: Array, n_genes: int) -> sp.csr_matrix:
    """Rows of markers put at their places among all genes."""
    small = sp.coo_matrix(table_mk.astype(np.float64))
    shape = (n_genes, table_mk.shape[1])
    return sp.csr_matrix((small.data, (place_m[small.row], small.col)), shape=shape)


def _warn(panel: Panel) -> None:
    if panel.left_out:
        first, why = next(iter(panel.left_out.items()))
        more = f" and {len(panel.left_out) - 1} more" if len(panel.left_out) > 1 else ""
        warnings.warn(f"types left out of the marker scores: {first} ({why}){more}", stacklevel=3)
    if len(panel.types) == 1:
        warnings.warn(f"only one type, {panel.types[0]}, is scored, so it names every cell", stacklevel=3)


def _about(expression: Expression, panel: Panel, table: Markers, scoring: str) -> dict[str, Any]:
    names_m = [expression.genes[place] for place in panel.place_m]

    def found(table_mk: Array, k: int) -> list[str]:
        return [names_m[g] for g in np.flatnonzero(table_mk[:, k])]

    return {
        "markers": table.source,
        "scoring": scoring,
        "species": expression.species,
        "genes": {name: found(panel.up_mk, k) for k, name in enumerate(panel.types)},
        "negative_genes": {
            name: found(panel.down_mk, k) for k, name in enumerate(panel.types) if panel.down_mk[:, k].any()
        },
        "missing": {
            name: [*panel.absent_up[k], *panel.absent_down[k]]
            for k, name in enumerate(panel.types)
            if panel.absent_up[k] or panel.absent_down[k]
        },
        "left_out": dict(panel.left_out),
        "notes": [*table.notes, *expression.notes, *panel.notes],
    }

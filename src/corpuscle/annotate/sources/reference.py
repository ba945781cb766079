"""Scores from a classifier that is trained on labelled cells."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate._expression import expression_of
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources._classifier import LEAST_GENES, ReferenceClassifier, check_kind, standardised
from corpuscle.annotate.sources._reference_fit import FEW_CELLS, fit_linear, sampled_cells
from corpuscle.annotate.sources._reference_genes import ClassSums, choose_genes, matched_columns, panel_blocks
from corpuscle.annotate.sources._reference_labels import Labels, labels_of, ontology_ids
from corpuscle.errors import GeneError, MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.annotate._expression import Expression

__all__ = ["ReferenceClassifier", "reference_scores", "train_reference"]

Array = np.ndarray[Any, Any]
LEAST_SD = 1e-2


def train_reference(
    reference: Any,
    labels: str | Sequence[Any] | Array = "cell_type",
    *,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    logged: bool = False,
    n_genes: int = 2000,
    C: float = 0.01,
    balanced: bool = True,
    cl_ids: str | Mapping[str, str] | None = None,
    max_cells: int = 20_000,
    seed: int = 0,
) -> ReferenceClassifier:
    """Learn the types of labelled cells.

    Parameters
    ----------
    reference
        A path, glob pattern, AnnData or open counts: raw counts, or log-normalised values with ``logged``.
    labels
        Column of ``obs``, or a label for each cell. Cells without one are left out.
    genes
        Symbols to learn from and to scale over; None takes all of the reference. Give those of the cells to be named where
        they are known, as :func:`reference_scores` does.
    layer, logged
        Which matrix to use, and whether it holds ``log(1 + x)`` of counts scaled to any one sum.
    n_genes
        Genes to learn from: half by how they separate the types, half by their variability.
    C
        Inverse of the L2 penalty. The default is a strong penalty, since what is learned has to hold in another study.
    balanced
        Types count alike, whatever their number of cells; but one of fewer than 10 cells as one of 10.
    cl_ids
        Type -> Cell Ontology id, or a column of ``obs`` with ids. None looks for ``cell_type_ontology_term_id``; types
        without an id are looked up by name.
    max_cells
        Cells to learn from at most, evenly drawn from the large types.
    seed
        Decides which.

    Raises
    ------
    OptionError
        No such column, fewer than two types, or an option that makes no sense.
    GeneError
        Fewer than 20 genes are there, or seen in 3 labelled cells.
    MethodError
        No cell of a type expresses any of the genes.

    Warns
    -----
    UserWarning
        A type has fewer than 10 cells (it is kept), or the optimiser did not converge.

    Notes
    -----
    Expression is ``log(1 + x)`` of counts scaled to 10,000 a cell over ``genes``, standardised by the labelled cells and cut
    at 10. The source is passed over twice, and only ``n_genes`` of ``max_cells`` cells are ever dense.
    """
    _check_options(n_genes, C, max_cells)
    with expression_of(reference, layer=layer, logged=logged) as expression:
        cells = labels_of(expression, labels)
        ids = ontology_ids(expression, cells, cl_ids)
        names, column_u = _universe(expression, genes)
        code_n = np.where(sampled_cells(cells.code_n, max_cells, seed), cells.code_n, -1)
        sums = _class_sums(expression, column_u, code_n, cells.types)
        chosen_v = _chosen(expression, sums, n_genes)
        mean_v, sd_v = _moments(sums, chosen_v)
        z_nv = _training_rows(expression, chosen_v, column_u, code_n, mean_v, sd_v)
        about: dict[str, Any] = {"reference": expression.name, "species": expression.species}
        notes = [f"reference: {line}" for line in (*expression.notes, *_unlabelled_notes(cells))]
    linear = fit_linear(z_nv, code_n[code_n >= 0], strength=C, balanced=balanced)
    warned = [*_few_notes(cells), *([] if linear.converged else ["the optimiser did not converge; a smaller C helps"])]
    for line in warned:
        warnings.warn(f"{about['reference']}: {line}", UserWarning, stacklevel=2)
    about |= {"n_genes": int(chosen_v.size), "C": C, "balanced": balanced, "max_cells": max_cells, "seed": seed}
    return ReferenceClassifier(
        types=cells.types,
        cl_ids=ids,
        cells_k=sums.n_k.astype(np.int64),
        genes=names,
        level_u=sums.level_u,
        chosen_v=chosen_v,
        mean_v=mean_v,
        sd_v=sd_v,
        weights_kv=linear.weights_kv,
        intercept_k=linear.intercept_k,
        about={**about, "notes": [*notes, *warned]},
    )


def reference_scores(
    source: Any,
    reference: Any,
    labels: str | Sequence[Any] | Array = "cell_type",
    *,
    layer: str | None = None,
    logged: bool = False,
    reference_layer: str | None = None,
    reference_logged: bool = False,
    n_genes: int = 2000,
    kind: str = "probability",
    C: float = 0.01,
    balanced: bool = True,
    cl_ids: str | Mapping[str, str] | None = None,
    max_cells: int = 20_000,
    seed: int = 0,
) -> Scores:
    """Score cells by a logistic regression on labelled ones, over the genes that both have.

    Parameters
    ----------
    source
        Cells to name: a path, glob pattern, AnnData or open counts.
    reference
        Labelled cells, likewise; or a :class:`ReferenceClassifier`, which is used as it is.
    labels
        Column of the reference's ``obs``, or a label for each of its cells.
    layer, logged, reference_layer, reference_logged
        Which matrix of each to use, and whether its values are log-normalised.
    kind
        ``"probability"`` (rows sum to 1) or ``"decision"`` (linear scores, centred over the types).
    n_genes, C, balanced, cl_ids, max_cells, seed
        Of the training; see :func:`train_reference`.

    Returns
    -------
    Scores
        (n, K) float32; columns are the reference's types, sorted.

    Raises
    ------
    GeneError
        Fewer than 20 genes are shared.
    OptionError, SourceError, NotCountsError, MethodError
        As :func:`train_reference` and :meth:`ReferenceClassifier.scores`.

    Notes
    -----
    Probabilities are the default because a cell then has at most one vote in what its neighbours are called. Linear scores
    are unbounded, so that a few sure cells can outvote many. Refined log-probabilities would give the labels of refined
    linear scores, since the two differ by a constant a cell. Genes of the mouse are matched by their human orthologs.
    """
    check_kind(kind)
    with expression_of(source, layer=layer, logged=logged) as expression:
        if isinstance(reference, ReferenceClassifier):
            return reference.scores(expression, kind=kind)
        with expression_of(reference, layer=reference_layer, logged=reference_logged) as labelled:
            classifier = train_reference(
                labelled,
                labels,
                genes=_shared_symbols(labelled, expression),
                n_genes=n_genes,
                C=C,
                balanced=balanced,
                cl_ids=cl_ids,
                max_cells=max_cells,
                seed=seed,
            )
        return classifier.scores(expression, kind=kind)


def _shared_symbols(labelled: Expression, expression: Expression) -> list[str]:
    symbols = list(dict.fromkeys(labelled.symbols))
    there_u = matched_columns(expression, symbols) >= 0
    shared = [symbol for symbol, there in zip(symbols, there_u, strict=True) if there]
    if len(shared) < LEAST_GENES:
        raise GeneError(
            f"{expression.name} ({expression.species}, with genes like {expression.genes[0]}) and {labelled.name} "
            f"({labelled.species}, like {labelled.genes[0]}) share {len(shared):,} genes and {LEAST_GENES} are needed; "
            "give human or mouse symbols or Ensembl ids"
        )
    return shared


def _universe(expression: Expression, genes: Sequence[str] | None) -> tuple[tuple[str, ...], Array]:
    """Symbols to scale over, and their columns."""
    wanted = list(dict.fromkeys(expression.symbols if genes is None else genes))
    column_u = matched_columns(expression, wanted)
    names = tuple(name for name, column in zip(wanted, column_u, strict=True) if column >= 0)
    if len(names) < LEAST_GENES:
        raise GeneError(f"{expression.name}: has {len(names):,} of the {len(wanted):,} genes, {LEAST_GENES} are needed")
    return names, column_u[column_u >= 0]


def _class_sums(expression: Expression, column_u: Array, code_n: Array, types: Sequence[str]) -> ClassSums:
    """Sums by type; cells without any of the genes lose their label in ``code_n``."""
    sums = ClassSums.empty(len(types), column_u.size)
    for rows, scaled_nu, log_nu in panel_blocks(expression, column_u, refuse=False):
        code_n[rows][np.diff(log_nu.indptr) == 0] = -1
        sums.update(code_n[rows], scaled_nu, log_nu)
    if not sums.n_k.all():
        name = types[int(np.flatnonzero(sums.n_k == 0)[0])]
        raise MethodError(f"{expression.name}: no cell of type {name!r} expresses any of the genes; leave the type out")
    return sums


def _chosen(expression: Expression, sums: ClassSums, n_genes: int) -> Array:
    chosen_v = choose_genes(sums, n_genes)
    if chosen_v.size < LEAST_GENES:
        raise GeneError(
            f"{expression.name}: {chosen_v.size:,} of the genes are seen in 3 labelled cells and {LEAST_GENES} are needed; "
            "give more cells or genes"
        )
    return chosen_v


def _moments(sums: ClassSums, chosen_v: Array) -> tuple[Array, Array]:
    """(v,) mean and standard deviation of log expression over the labelled cells."""
    n = sums.n_k.sum()
    mean_v = sums.log_ku[:, chosen_v].sum(axis=0) / n
    variance_v = np.maximum(sums.square_ku[:, chosen_v].sum(axis=0) / n - mean_v**2, 0)
    return mean_v, np.maximum(np.sqrt(variance_v), LEAST_SD)


def _training_rows(
    expression: Expression, chosen_v: Array, column_u: Array, code_n: Array, mean_v: Array, sd_v: Array
) -> Array:
    """(labelled cells, v) float32 standardised log expression of the chosen genes."""
    zero_v = mean_v / sd_v
    z_nv = np.empty((int((code_n >= 0).sum()), mean_v.size), np.float32)
    done = 0
    for rows, _, log_nu in panel_blocks(expression, column_u, refuse=False):
        kept = np.flatnonzero(code_n[rows] >= 0)
        z_nv[done : done + kept.size] = standardised(log_nu[kept][:, chosen_v], sd_v, zero_v).toarray() - zero_v
        done += kept.size
    return z_nv


def _few_notes(cells: Labels) -> list[str]:
    few = [f"{name} ({n})" for name, n in zip(cells.types, cells.n_k, strict=True) if n < FEW_CELLS]
    return (
        [f"types with fewer than {FEW_CELLS} labelled cells are learned from little: {', '.join(few)}"] if few else []
    )


def _unlabelled_notes(cells: Labels) -> list[str]:
    if not cells.n_unlabelled:
        return []
    return [f"{cells.n_unlabelled:,} cells have no label and were left out"]


def _check_options(n_genes: int, strength: float, max_cells: int) -> None:
    if n_genes < LEAST_GENES:
        raise OptionError(f"n_genes must be at least {LEAST_GENES}, not {n_genes}")
    if not (strength > 0 and np.isfinite(strength)):
        raise OptionError(f"C must be above 0, not {strength}")
    if max_cells < 2:
        raise OptionError(f"max_cells must be at least 2, not {max_cells}")
